//! Who held the peak: the parts sum to the whole, with writers, readers and buffers handed out.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bywash::{ChargeMode, MemoryLedger};
use bywash_tests::writers::Writers;

fn check(ledger: &MemoryLedger) -> Vec<(&'static str, u64)> {
    let explanation = ledger.explain();
    let sum: u64 = explanation.peak.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(sum, explanation.peak_granted, "{explanation}");
    assert_eq!(explanation.peak_granted, ledger.peak_granted());
    assert!(explanation.peak.is_sorted_by(|one, next| one.1 >= next.1), "{explanation}");
    explanation.peak
}

#[test]
fn parts_sum_to_the_peak_at_every_step() {
    let writers = Writers::new();
    let ledger = MemoryLedger::new(16 << 20);
    let tasks = ledger.admit(3, 0).unwrap();
    let mut running: Vec<_> =
        (0u64..).zip(&tasks).map(|(map, task)| writers.writer(task, map)).collect();
    for _ in 0..6 {
        for writer in &mut running {
            writer.write(&writers.rows(40_000)).unwrap();
            check(&ledger);
        }
        ledger.reclaim(1 << 20);
        check(&ledger);
    }
    let outputs: Vec<_> = running.into_iter().map(|writer| writer.finish().unwrap()).collect();
    let peak = check(&ledger);
    assert_eq!(peak.first().map(|(name, _)| *name), Some("shuffle-writer"));

    // Buffers that are held on to become the peak.
    let ledger = MemoryLedger::unlimited();
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let mut kept = Vec::new();
    for output in &outputs {
        for partition in 0..output.partitions() {
            for batch in output.read(partition, &task, ChargeMode::Ledger).unwrap() {
                kept.push(batch.unwrap());
                check(&ledger);
            }
        }
    }
    let peak = check(&ledger);
    assert_eq!(peak.first().map(|(name, _)| *name), Some("exported"), "{peak:?}");
    let rows: usize = kept.iter().map(RecordBatch::num_rows).sum();
    assert_eq!(rows, 3 * 6 * 40_000);
}

#[test]
fn parts_sum_to_the_peak_with_threads() {
    let writers = Arc::new(Writers::new());
    let ledger = MemoryLedger::new(24 << 20);
    let tasks = ledger.admit(4, 0).unwrap();
    std::thread::scope(|scope| {
        for (map, task) in (0u64..).zip(tasks) {
            let (writers, ledger) = (&writers, &ledger);
            scope.spawn(move || {
                let mut writer = writers.writer(&task, map);
                for _ in 0..4 {
                    writer.write(&writers.rows(40_000)).unwrap();
                    check_now(ledger);
                }
                let output = writer.finish().unwrap();
                for partition in 0..output.partitions() {
                    let read = output.read(partition, &task, ChargeMode::Ledger).unwrap();
                    // Kept for a step, so that buffers are given back on all threads all the time.
                    let batches: Vec<_> = read.map(Result::unwrap).collect();
                    check_now(ledger);
                    drop(batches);
                }
            });
        }
    });
    check(&ledger);
}

/// As `check`, while the peak may rise in between.
fn check_now(ledger: &MemoryLedger) {
    let explanation = ledger.explain();
    let sum: u64 = explanation.peak.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(sum, explanation.peak_granted, "{explanation}");
}
