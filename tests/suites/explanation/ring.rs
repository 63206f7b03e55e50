//! Records of spills, as the ledger keeps and prints them, by a clock of the test's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bywash::{
    Clock, Consumer, LedgerOptions, MemoryLedger, Party, Spill, SpillCause, SpillRecord, TaskMemory,
};
use bywash_core::memory::SPILL_RECORDS_MAX;

/// A clock that stands where it was set.
#[derive(Debug, Default)]
pub(crate) struct SetClock(AtomicU64);

impl SetClock {
    pub(crate) fn set(&self, time: Duration) {
        self.0.store(u64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

fn ledger() -> (MemoryLedger, Arc<SetClock>) {
    let clock = Arc::new(SetClock::default());
    let ledger = MemoryLedger::with_options(LedgerOptions {
        clock: Some(Arc::clone(&clock) as Arc<dyn Clock>),
        ..LedgerOptions::new(1000)
    });
    (ledger, clock)
}

fn two_consumers(ledger: &MemoryLedger) -> (TaskMemory, Consumer, Consumer) {
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let (writer, reader) = (task.consumer("writer"), task.consumer("reader"));
    (task, writer, reader)
}

fn spill(cause: SpillCause, asked: Option<(Party, u64)>) -> Spill {
    let took = Duration::from_millis(20);
    Spill { cause, asked, held: 400, freed: 300, written: 90, took, failed: false }
}

#[test]
fn a_record_has_what_was_told_and_when() {
    let (ledger, clock) = ledger();
    let (_task, writer, reader) = two_consumers(&ledger);
    clock.set(Duration::from_millis(500));
    writer.record_spill(&spill(SpillCause::Reclaim, Some((reader.party(), 250))));
    clock.set(Duration::from_millis(800));
    writer.record_spill(&Spill { failed: true, ..spill(SpillCause::Request, None) });

    let records = ledger.explain().spills;
    let [first, second] = &records[..] else { panic!("two spills: {records:?}") };
    let SpillRecord { number, cause, asker, asked, holder, held, .. } = *first;
    assert_eq!((number, cause), (1, SpillCause::Reclaim));
    assert_eq!((asker, asked), (Party { task: Some(1), consumer: "reader" }, 250));
    assert_eq!((holder, held), (Party { task: Some(1), consumer: "writer" }, 400));
    assert_eq!((first.freed, first.written, first.failed), (300, 90, false));
    assert_eq!(first.started, Duration::from_millis(480));
    assert_eq!(first.took, Duration::from_millis(20));
    assert_eq!((second.number, second.failed), (2, true));
    assert_eq!((second.asker, second.asked), (second.holder, 0));
    assert_eq!(second.started, Duration::from_millis(780));
    let snapshot = ledger.snapshot();
    assert_eq!((snapshot.spills, snapshot.spills_failed), ([0, 1, 1, 0], 1));
    assert_eq!((snapshot.spill_freed, snapshot.spill_written), (600, 180));
    assert_eq!(snapshot.spill_time, Duration::from_millis(40));
}

#[test]
fn the_ring_keeps_the_last() {
    let (ledger, _clock) = ledger();
    let (_task, writer, _reader) = two_consumers(&ledger);
    for count in 1..=200u64 {
        writer.record_spill(&Spill { held: count, ..spill(SpillCause::Request, None) });
        let records = ledger.explain().spills;
        let first = (count + 1).saturating_sub(SPILL_RECORDS_MAX as u64).max(1);
        let numbers: Vec<u64> = records.iter().map(|record| record.number).collect();
        assert_eq!(numbers, (first..=count).collect::<Vec<_>>());
        assert!(records.iter().all(|record| record.held == record.number), "{records:?}");
    }
    assert_eq!(ledger.snapshot().spills.iter().sum::<u64>(), 200);
    assert_eq!(SPILL_RECORDS_MAX, 64);
}

#[test]
fn an_explanation_reads_as_text() {
    let (ledger, clock) = ledger();
    let (task, writer, reader) = two_consumers(&ledger);
    let mut held = writer.try_reserve(400).unwrap();
    held.set_live(399);
    let second = reader.try_reserve(200).unwrap();
    drop(second);
    clock.set(Duration::from_millis(1_500));
    writer.record_spill(&spill(SpillCause::Pressure, Some((writer.party(), 512))));
    writer.record_spill(&spill(SpillCause::Reclaim, Some((Party::HOST, 100))));
    writer.record_spill(&spill(SpillCause::Reclaim, None));
    writer.record_spill(&spill(SpillCause::Request, None));
    let failed = spill(SpillCause::OversizedRow, None);
    writer.record_spill(&Spill { freed: 0, failed: true, ..failed });
    let end = "it held 400 B, gave back 300 B, wrote 90 B in 20.000ms";
    let at = "at 1.480s";
    let expected = format!(
        "memory: capacity 1000 B, granted 400 B, live 399 B\n\
         \x20 writer of task 1: granted 400 B, live 399 B, peak 400 B, spilled 1200 B, reclaimable 0 B\n\
         peak: granted 600 B, 60 % of the capacity\n\
         \x20 writer 400 B\n\
         \x20 reader 200 B\n\
         spills: 5: 1 pressure, 2 reclaim, 1 request, 1 oversized_row\n\
         \x20 #1 {at} pressure: writer of task 1 needed 512 B that its task could not have; {end}\n\
         \x20 #2 {at} reclaim: writer of task 1 was asked for 100 B by host; {end}\n\
         \x20 #3 {at} reclaim: writer of task 1 was asked for all it had; {end}\n\
         \x20 #4 {at} request: writer of task 1 was told to by its caller; {end}\n\
         \x20 #5 {at} oversized_row: writer of task 1 had a row too large to stage; it held 400 B, \
         gave back 0 B, wrote 90 B in 20.000ms, and FAILED\n"
    );
    assert_eq!(ledger.explain().to_string(), expected);
    drop((held, task));
}

#[test]
fn nothing_to_explain_is_said_shortly() {
    let text = MemoryLedger::unlimited().explain().to_string();
    assert_eq!(text, "memory: no limit, granted 0 B, live 0 B\npeak: granted 0 B\nspills: 0\n");
}
