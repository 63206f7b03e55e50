//! Real writers: for every cause the record names the right parties and agrees with all counters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bywash::{
    Clock, LedgerOptions, MemoryLedger, Party, ShuffleWriter, SpillCause, SpillRecord, TaskMemory,
    minimum_budget,
};
use bywash_tests::faults::{Fault, FaultStore, Repeat};
use bywash_tests::writers::Writers;

use crate::ring::SetClock;

const WRITER: &str = "shuffle-writer";

/// A ledger with a clock that stands at an hour, and one task.
fn ledger(capacity: u64) -> (MemoryLedger, TaskMemory) {
    let clock = Arc::new(SetClock::default());
    clock.set(HOUR);
    let clock: Arc<dyn Clock> = clock;
    let options = LedgerOptions { clock: Some(clock), ..LedgerOptions::new(capacity) };
    let ledger = MemoryLedger::with_options(options);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    (ledger, task)
}

/// A writer that holds sorted chunks of a ledger with room.
fn roomy(writers: &Writers) -> (MemoryLedger, TaskMemory, ShuffleWriter) {
    let (ledger, task) = ledger(64 << 20);
    let mut writer = writers.writer(&task, 0);
    writer.write(&writers.rows(150_000)).unwrap();
    (ledger, task, writer)
}

/// The records, after checking them against the ledger's and the writer's counters and `since`.
fn checked(ledger: &MemoryLedger, writer: &ShuffleWriter, since: Instant) -> Vec<SpillRecord> {
    let records = ledger.explain().spills;
    let (snapshot, progress) = (ledger.snapshot(), writer.progress());
    let count = |cause| records.iter().filter(|record| record.cause == cause).count() as u64;
    assert_eq!(snapshot.spills, SpillCause::ALL.map(count));
    let failed = records.iter().filter(|record| record.failed).count() as u64;
    assert_eq!(snapshot.spills_failed, failed);
    assert_eq!(progress.spills() + failed, records.len() as u64);
    let sum = |figure: fn(&SpillRecord) -> u64| records.iter().map(figure).sum::<u64>();
    assert_eq!(snapshot.spill_freed, sum(|record| record.freed));
    assert_eq!(snapshot.spill_written, sum(|record| record.written));
    // Merges of runs write too, and are no spills.
    assert!(progress.run_merges > 0 || progress.spilled_bytes == snapshot.spill_written);
    let took: Duration = records.iter().map(|record| record.took).sum();
    assert_eq!(snapshot.spill_time, took);
    assert!(took <= since.elapsed(), "spills took {took:?}");
    for record in &records {
        assert_eq!(record.holder, Party { task: Some(1), consumer: WRITER });
        assert!(record.freed <= record.held && record.held <= ledger.peak_granted(), "{record}");
        assert_eq!(record.started, HOUR.saturating_sub(record.took), "{record}");
        assert_eq!(record.written == 0, record.failed, "{record}");
    }
    records
}

#[test]
fn pressure_names_the_writer_and_what_it_needed() {
    let writers = Writers::new();
    let (ledger, task) = ledger(minimum_budget(&writers.spec, 1).unwrap().max(2 << 20));
    let since = Instant::now();
    let mut writer = writers.writer(&task, 0);
    for _ in 0..5 {
        writer.write(&writers.rows(150_000)).unwrap();
    }
    let records = checked(&ledger, &writer, since);
    assert!(records.len() > 2, "{records:?}");
    for record in &records {
        assert_eq!((record.cause, record.asker), (SpillCause::Pressure, record.holder));
        assert!(record.asked > 0 && record.asked < ledger.capacity(), "{record}");
        assert!(record.freed > 0, "{record}");
    }
}

/// A writer that its own share stops asked the others before it spilled: they spilled for nothing,
/// as what they gave was not for it.
#[test]
fn a_task_at_its_share_asks_nobody() {
    let writers = Writers::new();
    let ledger = MemoryLedger::new(8 << 20);
    let tasks = ledger.admit(2, 0).unwrap();
    let mut running: Vec<_> =
        (0u64..).zip(&tasks).map(|(map, task)| writers.writer(task, map)).collect();
    for _ in 0..20 {
        for writer in &mut running {
            writer.write(&writers.rows(40_000)).unwrap();
        }
    }
    let explanation = ledger.explain();
    assert!(explanation.spills.len() > 2, "{explanation}");
    for record in &explanation.spills {
        assert_eq!((record.cause, record.asker), (SpillCause::Pressure, record.holder), "{record}");
    }
}

#[test]
fn a_reclaiming_host_is_named_with_what_it_missed() {
    let writers = Writers::new();
    let since = Instant::now();
    let (ledger, _task, writer) = roomy(&writers);
    let held = ledger.granted();
    let freed = ledger.reclaim(12_345);
    let records = checked(&ledger, &writer, since);
    let [record] = &records[..] else { panic!("one spill: {records:?}") };
    assert_eq!(
        (record.cause, record.asker, record.asked),
        (SpillCause::Reclaim, Party::HOST, 12_345)
    );
    assert_eq!((record.held, record.freed), (held, freed));
    assert_eq!(ledger.granted(), held - freed);
}

#[test]
fn another_consumer_is_named_with_what_it_missed() {
    let writers = Writers::new();
    let since = Instant::now();
    let (ledger, task, writer) = roomy(&writers);
    let free = ledger.capacity() - ledger.granted();
    let other = task.consumer("other");
    let reserved = other.reserve(free + 777).unwrap();
    let records = checked(&ledger, &writer, since);
    let [record] = &records[..] else { panic!("one spill: {records:?}") };
    let asker = Party { task: Some(task.number()), consumer: "other" };
    assert_eq!((record.cause, record.asker, record.asked), (SpillCause::Reclaim, asker, 777));
    drop(reserved);
}

#[test]
fn a_caller_s_request_is_told_apart() {
    let writers = Writers::new();
    let since = Instant::now();
    let (ledger, _task, mut writer) = roomy(&writers);
    let held = ledger.granted();
    let freed = writer.spill().unwrap();
    let records = checked(&ledger, &writer, since);
    let [record] = &records[..] else { panic!("one spill: {records:?}") };
    assert_eq!((record.cause, record.held, record.freed), (SpillCause::Request, held, freed));
    assert_eq!((record.asker, record.asked), (record.holder, 0));
}

#[test]
fn an_oversized_row_is_told_apart() {
    let writers = Writers::new();
    let (ledger, task) = ledger(4 << 20);
    let since = Instant::now();
    let mut writer = writers.writer(&task, 0);
    writer.write(&writers.rows(1000)).unwrap();
    writer.write(&writers.long_row(6 << 20)).unwrap();
    let records = checked(&ledger, &writer, since);
    // The rows before it, then the row itself, for which nothing was held.
    let [before, row] = &records[..] else { panic!("two spills: {records:?}") };
    for record in [before, row] {
        assert_eq!((record.cause, record.asker), (SpillCause::OversizedRow, record.holder));
    }
    assert_eq!(row.freed, 0);
    assert!(row.written > 0, "{row}");
}

#[test]
fn a_failed_spill_gives_up_all_and_says_so() {
    let store = Arc::new(FaultStore::new(Arc::new(bywash::FsStore::new())));
    let writers = Writers::on(Arc::clone(&store) as Arc<dyn bywash::Store>);
    let since = Instant::now();
    let (ledger, _task, mut writer) = roomy(&writers);
    let held = ledger.granted();
    store.arm(0, Fault::IO, Repeat::Forever);
    writer.spill().unwrap_err();
    store.disarm();
    let records = checked(&ledger, &writer, since);
    let [record] = &records[..] else { panic!("one spill: {records:?}") };
    assert!(record.failed, "{record}");
    assert_eq!((record.held, record.freed, record.written), (held, held, 0));
    assert_eq!(ledger.granted(), 0);
}

const HOUR: Duration = Duration::from_secs(3600);
