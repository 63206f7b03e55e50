//! What a task still holds when its owner is done with it is named.

use bywash::{ChargeMode, MemoryLedger};
use bywash_tests::writers::Writers;

#[test]
fn a_task_without_leaks_says_so() {
    let ledger = MemoryLedger::new(1 << 20);
    let task = ledger.admit(1, 1000).unwrap().remove(0);
    let consumer = task.consumer("clean");
    drop(consumer.reserve(500).unwrap());
    let report = task.close();
    assert_eq!((report.task, report.held(), report.holders.len()), (1, 0, 0));
    assert_eq!(report.to_string(), "task 1 holds 0 B");
}

#[test]
fn a_leaked_reservation_is_named() {
    let ledger = MemoryLedger::new(1 << 20);
    let mut tasks = ledger.admit(2, 0).unwrap();
    let other = tasks.remove(0).consumer("other task's");
    let _not_ours = other.reserve(1).unwrap();
    let task = tasks.remove(0);
    let (small, large) = (task.consumer("small"), task.consumer("large"));
    let _leaked = small.reserve(10).unwrap();
    let mut leaked = large.reserve(3000).unwrap();
    leaked.set_live(2000);
    let report = task.close();
    assert_eq!((report.task, report.held()), (2, 3010));
    let mut held: Vec<_> =
        report.holders.iter().map(|holder| (holder.name, holder.granted, holder.live)).collect();
    held.sort_unstable();
    assert_eq!(held, [("large", 3000, 2000), ("small", 10, 0)]);
    let text = report.to_string();
    assert!(text.contains("large of task 2: granted 3000 B, live 2000 B"), "{text}");
    // The account goes on as long as somebody holds it.
    assert_eq!(ledger.granted(), 3011);
    drop(leaked);
    assert_eq!(ledger.granted(), 11);
}

#[test]
fn buffers_with_the_caller_are_named() {
    let writers = Writers::new();
    let ledger = MemoryLedger::new(64 << 20);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let mut writer = writers.writer(&task, 0);
    writer.write(&writers.rows(1000)).unwrap();
    let output = writer.finish().unwrap();
    let read = output.read(0, &task, ChargeMode::Ledger).unwrap();
    let batches: Vec<_> = read.map(Result::unwrap).collect();
    drop(output);
    let report = task.close();
    let [holder] = &report.holders[..] else { panic!("buffers alone: {report}") };
    assert_eq!((holder.name, holder.task), ("exported", 1));
    assert_eq!((report.held(), holder.granted), (ledger.granted(), ledger.exported()));
    assert!(report.held() > 0);
    // They stay charged to the ledger, and are named there too, until the last one is dropped.
    let named: u64 = ledger.holders().iter().map(|holder| holder.granted).sum();
    assert_eq!(named, ledger.granted());
    drop(batches);
    assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    assert!(ledger.holders().is_empty());
}

/// What was leaked by a task that is gone is still named by the ledger.
#[test]
fn holders_outlive_their_task_s_handle() {
    let ledger = MemoryLedger::new(1 << 20);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let reservation = task.consumer("forgotten").reserve(100).unwrap();
    drop(task);
    let holders = ledger.holders();
    assert_eq!((holders[0].name, holders[0].granted), ("forgotten", 100));
    assert_eq!(ledger.snapshot().tasks, 1, "a task ends with its last holder");
    drop(reservation);
    assert_eq!(ledger.snapshot().tasks, 0);
}
