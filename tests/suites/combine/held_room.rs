//! The memory of the next batch is held from birth: whatever comes between two batches, no group is
//! lost, and where less than a batch is to be had, less comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use bywash::{
    Aggregate, ChargeMode, ColumnCombiner, ErrorKind, GroupBatches, GroupSpec, LedgerOptions,
    MemoryLedger,
};
use bywash_tests::case::admit;
use bywash_tests::dirs::Dirs;
use bywash_tests::lender::{Lender, Loan};

const GROUPS: i64 = 100_000;
const CAPACITY: u64 = 64 << 20;

/// Each key of text with the sum of its values.
type Sums = BTreeMap<String, i128>;

fn rows(from: i64, to: i64) -> RecordBatch {
    let keys: StringArray = (from..to).map(|key| Some(format!("{key:0>7}"))).collect();
    let values: Int64Array = (from..to).map(Some).collect();
    let columns: [(_, ArrayRef); 2] = [("k", Arc::new(keys)), ("v", Arc::new(values))];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn spec() -> GroupSpec {
    GroupSpec::new(rows(0, 0).schema(), &[0], &[Aggregate::Sum(1), Aggregate::CountRows]).unwrap()
}

/// All groups, each of two rows; in memory, or after spills.
fn grouped(ledger: &MemoryLedger, spilled: bool, mode: ChargeMode, dirs: &Dirs) -> GroupBatches {
    let spec = spec();
    let task = admit(ledger, spec.minimum_budget().unwrap()).unwrap();
    let mut combiner = ColumnCombiner::new(&spec, &task, &dirs.spill).unwrap();
    for _ in 0..2 {
        for from in (0..GROUPS).step_by(5000) {
            combiner.write(&rows(from, from + 5000)).unwrap();
        }
        if spilled {
            combiner.spill().unwrap();
        }
    }
    assert_eq!(combiner.progress().spills() > 0, spilled);
    combiner.finish(mode).unwrap()
}

fn take(sums: &mut Sums, batch: &RecordBatch) {
    let keys = batch.column(0).as_string::<i32>();
    let totals = batch.column(1).as_primitive::<Decimal128Type>();
    let counts = batch.column(2).as_primitive::<Int64Type>();
    for row in 0..batch.num_rows() {
        assert_eq!(counts.value(row), 2);
        let before = sums.insert(keys.value(row).to_owned(), totals.value(row));
        assert!(before.is_none(), "{} was given out twice", keys.value(row));
    }
}

fn assert_all(sums: &Sums) {
    let expected: Sums =
        (0..GROUPS).map(|key| (format!("{key:0>7}"), i128::from(key) * 2)).collect();
    assert!(*sums == expected, "{} groups where {GROUPS} are right", sums.len());
}

fn each_way(modes: &[ChargeMode], check: impl Fn(bool, ChargeMode)) {
    for mode in modes {
        for spilled in [false, true] {
            println!("{mode:?}, spilled: {spilled}");
            check(spilled, *mode);
        }
    }
}

/// Lets the capacity fall as far as it was promised.
fn shrink(ledger: &MemoryLedger) {
    ledger.set_capacity(spec().minimum_budget().unwrap());
    ledger.reclaim_over();
}

const OWN: [ChargeMode; 2] = [ChargeMode::Detached, ChargeMode::Ledger];

#[test]
fn a_capacity_that_falls_between_batches_loses_no_group() {
    let dirs = Dirs::new();
    each_way(&OWN, |spilled, mode| {
        let ledger = MemoryLedger::new(CAPACITY);
        let mut groups = grouped(&ledger, spilled, mode, &dirs);
        let mut sums = Sums::new();
        take(&mut sums, &groups.next().unwrap().unwrap());
        shrink(&ledger);
        assert!(ledger.over() > 0, "parts made for more memory stay");
        for batch in groups.by_ref() {
            take(&mut sums, &batch.unwrap());
        }
        assert_all(&sums);
        drop(groups);
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    });
}

#[test]
fn a_capacity_that_falls_before_the_first_batch_loses_no_group() {
    let dirs = Dirs::new();
    each_way(&OWN, |spilled, mode| {
        let ledger = MemoryLedger::new(CAPACITY);
        let groups = grouped(&ledger, spilled, mode, &dirs);
        shrink(&ledger);
        let mut sums = Sums::new();
        groups.for_each(|batch| take(&mut sums, &batch.unwrap()));
        assert_all(&sums);
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    });
}

#[test]
fn others_that_take_all_between_batches_cost_no_group() {
    let dirs = Dirs::new();
    each_way(&OWN, |spilled, mode| {
        let ledger = MemoryLedger::new(CAPACITY);
        let mut groups = grouped(&ledger, spilled, mode, &dirs);
        let other = admit(&ledger, 0).unwrap().consumer("others");
        let (mut taken, mut sums) = (Vec::new(), Sums::new());
        for batch in groups.by_ref() {
            take(&mut sums, &batch.unwrap());
            for bytes in [16 << 20, 1 << 20, 64 << 10, 4 << 10] {
                while let Ok(reservation) = other.try_reserve(bytes) {
                    taken.push(reservation);
                }
            }
        }
        assert_all(&sums);
        drop((groups, taken));
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    });
}

#[test]
fn what_the_caller_keeps_under_a_fallen_capacity_is_told_and_no_group_is_lost() {
    let dirs = Dirs::new();
    each_way(&[ChargeMode::Ledger], |spilled, mode| {
        let ledger = MemoryLedger::new(CAPACITY);
        let mut groups = grouped(&ledger, spilled, mode, &dirs);
        let (mut sums, mut kept) = (Sums::new(), vec![groups.next().unwrap().unwrap()]);
        take(&mut sums, &kept[0]);
        shrink(&ledger);
        let (mut refused, mut batches) = (0, 0);
        for next in groups.by_ref() {
            match next {
                Ok(batch) => {
                    take(&mut sums, &batch);
                    kept.push(batch);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::BudgetHeldByCaller, "{error}");
                    assert!(!kept.is_empty(), "what is held from birth holds a batch");
                    batches += kept.len();
                    kept.clear();
                    refused += 1;
                }
            }
            assert!(refused < 1000, "no more than a few groups at a time");
        }
        println!("refused {refused} times, {batches} batches");
        assert_all(&sums);
        assert!(refused > 0, "the caller held too much");
        drop((groups, kept));
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    });
}

#[test]
fn smaller_batches_come_before_a_refusal() {
    let dirs = Dirs::new();
    each_way(&[ChargeMode::Ledger], |spilled, mode| {
        let ledger = MemoryLedger::new(CAPACITY);
        let mut groups = grouped(&ledger, spilled, mode, &dirs);
        shrink(&ledger);
        let (mut sizes, mut kept) = (Vec::new(), Vec::new());
        let error = loop {
            match groups.next().unwrap() {
                Ok(batch) => {
                    sizes.push(batch.num_rows());
                    kept.push(batch);
                }
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::BudgetHeldByCaller);
        assert!(sizes.len() > 1 && sizes.iter().min() < sizes.iter().max(), "{sizes:?}");
        // It stays so for as long as all is held, and a risen capacity ends it.
        assert_eq!(groups.next().unwrap().unwrap_err().kind(), ErrorKind::BudgetHeldByCaller);
        ledger.set_capacity(CAPACITY);
        let mut sums = Sums::new();
        for batch in &kept {
            take(&mut sums, batch);
        }
        groups.for_each(|batch| take(&mut sums, &batch.unwrap()));
        assert_all(&sums);
    });
}

#[test]
fn a_host_that_lends_nothing_for_a_while_costs_no_group() {
    let dirs = Dirs::new();
    each_way(&[ChargeMode::Host], |spilled, mode| {
        let stints = Arc::new(AtomicBool::new(false));
        let stinting = Arc::clone(&stints);
        let host = Lender::new(0, 0, move |_, _| {
            if stinting.load(Ordering::Relaxed) { Loan::Nothing } else { Loan::All }
        });
        let ledger = MemoryLedger::with_options(LedgerOptions {
            parent: Some(Arc::<Lender>::clone(&host)),
            parent_slack: 0,
            ..LedgerOptions::new(CAPACITY)
        });
        host.watch(&ledger);
        let mut groups = grouped(&ledger, spilled, mode, &dirs);
        let (mut sums, mut refused) = (Sums::new(), 0);
        stints.store(true, Ordering::Relaxed);
        while let Some(next) = groups.next() {
            match next {
                Ok(batch) => {
                    take(&mut sums, &batch);
                    stints.store(true, Ordering::Relaxed);
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{error}");
                    let again = groups.next().unwrap().unwrap_err();
                    assert_eq!(again.kind(), ErrorKind::MemoryLimit, "nothing changed");
                    refused += 1;
                    stints.store(false, Ordering::Relaxed);
                }
            }
        }
        assert_all(&sums);
        assert!(refused > 0, "the host did not lend at least once");
        drop(groups);
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
        host.settle();
        host.check_settled().unwrap();
    });
}
