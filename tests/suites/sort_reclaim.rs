//! Memory taken back from a sort: by another thread at any moment, by a spill at every stage, and by
//! rows that the caller keeps. The rows are the same.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test prints its figures and fails by panicking"
)]

use arrow_schema::DataType;
use bywash::{
    ChargeMode, Codec, ErrorKind, MemoryLedger, SortProgress, SortedBatches, Sorter,
    minimum_sort_budget,
};
use bywash_tests::dirs::Dirs;
use bywash_tests::generate::{ColumnPlan, Plan};
use bywash_tests::reclaiming::{ABOVE_MINIMUM, reclaiming};
use bywash_tests::seed::run_seed;
use bywash_tests::sort::{SortCase, SortInput, copy};

/// Also in the middle of calls: the sort is busy then, and spills at its next step.
#[test]
fn the_same_rows_with_memory_taken_back_at_random_moments() {
    let input = case(&[20_000, 1, 0, 9000, 12_000, 25_000]).input();
    let mut spills = 0;
    for (run, above) in (0..).zip(ABOVE_MINIMUM) {
        let dirs = Dirs::new();
        let minimum = minimum_sort_budget(&input.spec, 1).unwrap();
        let ledger = MemoryLedger::new(minimum + above);
        let task = ledger.admit(1, minimum).unwrap().remove(0);
        let mut sorter = Sorter::new(&input.spec, &task, &dirs.spill).unwrap();
        let canceller = sorter.canceller();
        let batches = reclaiming(&ledger, run, |between| {
            for batch in &input.batches {
                sorter.write(batch).unwrap();
                between();
            }
            let sorted = sorter.finish(ChargeMode::Ledger).unwrap();
            let mut batches = Vec::new();
            for batch in sorted {
                batches.push(copy(&batch.unwrap()));
                between();
            }
            batches
        });
        input.check(&batches).unwrap();
        spills += canceller.progress().write.spills_reclaim;
        drop(task);
        assert_eq!((ledger.granted(), ledger.live(), dirs.spill.used_bytes()), (0, 0, 0));
    }
    println!("{spills} spills for another thread");
    assert!(spills > 0, "nothing was ever taken back");
}

/// Before the first row is read, in the middle, after the last: on request and for another thread.
#[test]
fn a_spill_at_every_stage_of_reading_changes_nothing() {
    let input = case(&[30_000, 30_000]).input();
    for on_request in [true, false] {
        for after in [0, 1, usize::MAX] {
            let (dirs, ledger) = (Dirs::new(), MemoryLedger::new(256 << 20));
            let task = ledger.admit(1, 0).unwrap().remove(0);
            let mut sorted = filled(&input, &task, &dirs);
            let mut batches = Vec::new();
            while batches.len() < after {
                let Some(batch) = sorted.next() else { break };
                batches.push(copy(&batch.unwrap()));
            }
            assert_eq!(sorted.progress().runs, 0, "it fits");
            let held = ledger.granted();
            let freed = if on_request { sorted.spill().unwrap() } else { ledger.reclaim(u64::MAX) };
            assert_eq!(held - ledger.granted(), freed);
            let SortProgress { runs, .. } = sorted.progress();
            if after < usize::MAX {
                assert!(freed > 0 && runs == 1, "{freed} bytes and {runs} runs");
            } else {
                assert_eq!((freed, runs), (0, 0), "nothing is left to spill");
            }
            batches.extend(sorted.by_ref().map(|batch| copy(&batch.unwrap())));
            input.check(&batches).unwrap();
            drop((sorted, task));
            assert_eq!((ledger.granted(), ledger.live(), dirs.spill.used_bytes()), (0, 0, 0));
        }
    }
}

/// Batches that the caller keeps make the rows in memory go to disk before anybody is refused; then
/// the error says who holds the budget, and no row is lost.
#[test]
fn kept_batches_send_the_rest_to_disk_first() {
    let input = case(&[40_000, 40_000]).input();
    let bytes: u64 = input.batches.iter().map(|b| b.get_array_memory_size() as u64).sum();
    let dirs = Dirs::new();
    // The rows fit, but not twice.
    let ledger = MemoryLedger::new(minimum_sort_budget(&input.spec, 1).unwrap() + bytes * 3 / 2);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let mut sorted = filled(&input, &task, &dirs);
    assert_eq!(sorted.progress().runs, 0, "it fits");
    let (mut kept, mut copies, mut spilled_with) = (Vec::new(), Vec::new(), None);
    loop {
        match sorted.next() {
            Some(Ok(batch)) => {
                copies.push(copy(&batch));
                kept.push(batch);
            }
            Some(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::BudgetHeldByCaller, "{error}");
                assert!(spilled_with.is_some(), "it was refused before it spilled");
                kept.clear();
            }
            None => break,
        }
        if sorted.progress().runs > 0 {
            spilled_with.get_or_insert(kept.len());
        }
    }
    assert!(spilled_with.is_some_and(|kept| kept > 0), "it never spilled: {spilled_with:?}");
    input.check(&copies).unwrap();
}

fn filled(input: &SortInput, task: &bywash::TaskMemory, dirs: &Dirs) -> SortedBatches {
    let mut sorter = Sorter::new(&input.spec, task, &dirs.spill).unwrap();
    for batch in &input.batches {
        sorter.write(batch).unwrap();
    }
    sorter.finish(ChargeMode::Ledger).unwrap()
}

fn case(batch_rows: &[usize]) -> SortCase {
    let types = [DataType::Int64, DataType::Utf8, DataType::Float64];
    let columns = (0..).zip(types).map(|(label, t)| ColumnPlan::plain(t, label));
    SortCase {
        plan: Plan {
            seed: run_seed(),
            columns: columns.collect(),
            batch_rows: batch_rows.to_vec(),
            metadata: false,
        },
        by: vec![(1, true, false), (2, false, true)],
        codec: Codec::None,
        budget_above_minimum: 0,
        spill_percent: 0,
        reclaim_percent: 0,
        runs_max: 64,
        detached: false,
        into_sink: false,
    }
}
