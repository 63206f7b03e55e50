//! Batches charged to the host, from the writer to the last reference.

use bywash::{ChargeMode, ErrorKind, MemoryLedger};
use bywash_core::memory::Block;
use bywash_tests::case::{IdShape, ShuffleCase, admit};
use bywash_tests::lender::Lender;
use bywash_tests::seed::run_seed;

use crate::rules::lent;

#[test]
fn without_a_host_nothing_is_charged_to_it() {
    let case = ShuffleCase::simple(run_seed(), vec![2000; 2], IdShape::Uniform);
    let (input, dirs) = (case.input(), case.dirs());
    let ledger = MemoryLedger::new(64 << 20);
    let task = admit(&ledger, 0).unwrap();
    let output = case.write(&input, &dirs, &task).unwrap();
    let refused = output.read(0, &task, ChargeMode::Host).map(drop).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{refused}");
    // The mechanism below keeps it charged where it is.
    let block = Block::try_new_to_keep(&task.consumer("block"), 1 << 20, 0).unwrap();
    let owner = block.into_owner(ChargeMode::Host);
    drop((output, task));
    assert_eq!((ledger.granted(), ledger.exported()), (1 << 20, 1 << 20));
    drop(owner);
    assert_eq!((ledger.granted(), ledger.live(), ledger.exported()), (0, 0, 0));
}

#[test]
fn batches_are_the_hosts_until_the_last_is_dropped() {
    for ledger_first in [true, false] {
        let case = ShuffleCase::simple(run_seed(), vec![20_000; 3], IdShape::Uniform);
        let (input, dirs) = (case.input(), case.dirs());
        let lender = Lender::generous();
        let ledger = lent(&lender, 1 << 20);
        let task = admit(&ledger, 0).unwrap();
        let output = case.write(&input, &dirs, &task).unwrap();
        assert_eq!(lender.books().handed_over, 0);
        let kept: Vec<Vec<_>> = (0..case.partitions)
            .map(|partition| {
                let read = output.read(partition, &task, ChargeMode::Host).unwrap();
                read.map(Result::unwrap).collect()
            })
            .collect();
        drop(output);
        // Nothing of them is the ledger's.
        assert_eq!((ledger.granted(), ledger.live(), ledger.exported()), (0, 0, 0));
        let books = lender.books();
        let held: usize =
            kept.iter().flatten().map(arrow_array::RecordBatch::get_array_memory_size).sum();
        assert!(books.handed_over > 0 && books.handed_over <= 2 * held as u64, "{books:?} {held}");
        let mut handles = Some((task, ledger));
        if ledger_first {
            lender.settle();
            drop(handles.take());
            assert_eq!(lender.lent(), books.handed_over);
        } else {
            assert!(lender.lent() <= books.handed_over + (1 << 20));
        }
        for (partition, batches) in (0..).zip(&kept) {
            input.oracle.check(partition, batches).unwrap();
        }
        // On another thread, as engines do.
        std::thread::spawn(move || drop(kept)).join().unwrap();
        lender.settle();
        drop(handles);
        lender.check_settled().unwrap();
    }
}
