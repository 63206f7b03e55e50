//! Sorts that are read while memory goes to others: what was given to many runs is given back, nothing is lost.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bywash::{
    ChargeMode, Consumer, ErrorKind, FsStore, MemoryLedger, Reservation, SortColumn, SortedBatches,
    Sorter, SpillDirs, SpillOptions, Store, TaskMemory, minimum_sort_budget,
};
use bywash_tests::dirs::on_disk;
use bywash_tests::faults::{Fault, FaultStore, Repeat};
use bywash_tests::seed::{Rng, run_seed};
use bywash_tests::sort::{SortInput, copy};

const CAPACITY: u64 = 8 << 20;
/// Of a batch: about what is staged at once.
const ROWS: usize = 8000;

/// How rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Runs interleave row by row.
    Random,
    /// Runs follow one another, so that a batch goes over many blocks of one.
    Rising,
    /// Some rows are chains of blocks.
    Large,
}

const SHAPES: [Shape; 3] = [Shape::Random, Shape::Rising, Shape::Large];

fn input(shape: Shape, batches: usize) -> SortInput {
    let mut rng = Rng::labelled(run_seed(), &[7]);
    let mut number = 0;
    let batches: Vec<RecordBatch> = (0..batches)
        .map(|_| {
            let keys: Int64Array = (0..ROWS)
                .map(|_| {
                    number += 1;
                    Some(if shape == Shape::Rising {
                        number / 3
                    } else {
                        rng.bits().cast_signed() >> 50
                    })
                })
                .collect();
            let large = rng.index(4 * ROWS);
            let text = |row| {
                let bytes = if shape == Shape::Large && row == large { 70_000 } else { row % 60 };
                Some("t".repeat(bytes))
            };
            let texts: StringArray = (0..ROWS).map(text).collect();
            let columns = [("key", Arc::new(keys) as ArrayRef), ("text", Arc::new(texts) as _)];
            RecordBatch::try_from_iter(columns).unwrap()
        })
        .collect();
    SortInput::new(&batches[0].schema(), batches, &[SortColumn::ascending(0)])
}

/// A sort with a run for each batch or two, about to be read.
fn many_runs(
    input: &SortInput,
    ledger: &MemoryLedger,
    dirs: &Arc<SpillDirs>,
) -> (TaskMemory, SortedBatches) {
    let minimum = minimum_sort_budget(&input.spec, 1).unwrap();
    let task = ledger.admit(1, minimum).unwrap().remove(0);
    let mut sorter = Sorter::new(&input.spec, &task, dirs).unwrap();
    for batch in &input.batches {
        sorter.write(batch).unwrap();
        sorter.spill().unwrap();
    }
    let sorted = sorter.finish(ChargeMode::Ledger).unwrap();
    assert!(sorted.progress().fan_in > 30, "{:?}", sorted.progress());
    (task, sorted)
}

/// Whatever is free.
fn take_free(consumer: &Consumer) -> Vec<Reservation> {
    let mut taken = Vec::new();
    for bytes in (0..30).rev().map(|bits| 1 << bits) {
        while let Ok(more) = consumer.try_reserve(bytes) {
            taken.push(more);
        }
    }
    taken
}

#[test]
fn rows_are_not_lost_when_another_task_takes_what_is_free() {
    for (shape, at) in SHAPES.into_iter().flat_map(|shape| [0, 1, 5].map(|at| (shape, at))) {
        let input = input(shape, 100);
        let dir = on_disk();
        let dirs = SpillDirs::open(
            Arc::new(FsStore::new()),
            &[dir.path().to_owned()],
            SpillOptions::default(),
        );
        let dirs = dirs.unwrap();
        let ledger = MemoryLedger::new(CAPACITY);
        let (task, mut sorted) = many_runs(&input, &ledger, &dirs);
        let mut batches = Vec::new();
        batches.extend(sorted.by_ref().take(at).map(|batch| copy(&batch.unwrap())));
        let other = ledger.admit(1, 0).unwrap().remove(0);
        let consumer = other.consumer("another");
        let mut taken = take_free(&consumer);
        let (before, merges) = (ledger.granted(), sorted.progress().write.run_merges);
        let mut refused = 0;
        for batch in sorted.by_ref() {
            match batch {
                Ok(batch) => batches.push(copy(&batch)),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{error}");
                    refused += 1;
                    assert!(refused < 100, "it never goes on: {error}");
                    taken.pop();
                }
            }
            if sorted_gave_back(&ledger, before) {
                // What it gives back goes to the other as well.
                taken.extend(take_free(&consumer));
            }
        }
        input.check(&batches).unwrap();
        let more = sorted.progress().write.run_merges - merges;
        println!("{shape:?} after {at}: {more} merges, {refused} refused");
        // The memory of a batch that was dropped may do for all others.
        assert!(more == 1 || (more == 0 && at > 0), "{shape:?} after {at}: {more} merges");
        drop((sorted, taken, consumer, other, task));
        assert_eq!((ledger.granted(), dirs.used_bytes()), (0, 0));
    }
}

fn sorted_gave_back(ledger: &MemoryLedger, before: u64) -> bool {
    ledger.granted() + (1 << 20) < before
}

#[test]
fn rows_are_not_lost_when_the_capacity_falls() {
    for shape in SHAPES {
        let input = input(shape, 100);
        let dir = on_disk();
        let dirs = SpillDirs::open(
            Arc::new(FsStore::new()),
            &[dir.path().to_owned()],
            SpillOptions::default(),
        );
        let dirs = dirs.unwrap();
        let ledger = MemoryLedger::new(CAPACITY);
        let (task, mut sorted) = many_runs(&input, &ledger, &dirs);
        let mut batches = vec![copy(&sorted.next().unwrap().unwrap())];
        let lower = CAPACITY / 2;
        ledger.set_capacity(lower);
        ledger.reclaim_over();
        for batch in sorted.by_ref() {
            batches.push(copy(&batch.unwrap()));
        }
        input.check(&batches).unwrap();
        drop((sorted, task));
        assert_eq!((ledger.granted(), dirs.used_bytes()), (0, 0));
    }
}

/// The rest is merged from where it was, however far an attempt had come.
#[test]
fn a_directory_that_fails_while_the_rest_is_merged_is_given_up_for_another() {
    for shape in SHAPES {
        let input = input(shape, 100);
        let mut at = 0;
        loop {
            let store = Arc::new(FaultStore::new(Arc::new(FsStore::new())));
            let places = [on_disk(), on_disk()];
            let paths = places.each_ref().map(|place| place.path().to_owned());
            let dirs = SpillDirs::open(
                Arc::clone(&store) as Arc<dyn Store>,
                &paths,
                SpillOptions::default(),
            );
            let dirs = dirs.unwrap();
            let ledger = MemoryLedger::new(CAPACITY);
            let (task, mut sorted) = many_runs(&input, &ledger, &dirs);
            let mut batches = Vec::new();
            let other = ledger.admit(1, 0).unwrap().remove(0);
            let taken = take_free(&other.consumer("another"));
            let merges = sorted.progress().write.run_merges;
            store.arm(at, Fault::Error(28), Repeat::Once);
            let mut failed = None;
            for batch in sorted.by_ref() {
                match batch {
                    Ok(batch) => batches.push(copy(&batch)),
                    Err(error) => failed = Some(error),
                }
            }
            let fired = store.fired();
            store.disarm();
            match failed {
                None => {
                    input.check(&batches).unwrap();
                    assert_eq!(sorted.progress().write.run_merges, merges + 1, "{shape:?} {at}");
                }
                // What cannot be read is lost; what cannot be written is written elsewhere.
                Some(error) => assert!(format!("{fired:?}").contains("Read"), "{fired:?}: {error}"),
            }
            drop((sorted, taken, other, task));
            assert_eq!((ledger.granted(), dirs.used_bytes()), (0, 0));
            if fired.is_none() {
                break;
            }
            at = at * 3 / 2 + 1;
        }
        assert!(at > 100, "{shape:?}: {at} operations");
    }
}
