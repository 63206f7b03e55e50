//! A sort's memory and storage: a spill asks for no memory and a finish does without; the ledger's
//! figures are exact at every allocation event; with every storage operation failing in turn, in each of
//! five ways, a sort fails or is right, and leaves nothing.
//!
//! Scenarios are child processes: Rust aborts where an allocation is refused, and the counters are a
//! process's own.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test prints its figures and fails by panicking"
)]

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use arrow_schema::DataType;
use bywash::{
    ChargeMode, Codec, FsStore, MemoryLedger, Sorter, SpillOptions, Store, minimum_sort_budget,
};
use bywash_tests::alloc::{self, Event, Refusals};
use bywash_tests::child;
use bywash_tests::dirs::Dirs;
use bywash_tests::faults::{Fault, FaultStore, Repeat};
use bywash_tests::generate::{ColumnPlan, Plan, all_types};
use bywash_tests::seed::run_seed;
use bywash_tests::sort::{SortCase, copy, is_sortable};

bywash_tests::install_counting_allocator!();

const CHILD: &str = "child";
const CODECS: [Codec; 3] = [Codec::None, Codec::Lz4, Codec::Zstd { level: 1 }];
const FAULTS: [(&str, Fault, Repeat); 5] = [
    ("error", Fault::IO, Repeat::Once),
    ("after", Fault::IO_AFTER, Repeat::Once),
    ("full", Fault::NO_SPACE, Repeat::Once),
    ("short", Fault::SHORT, Repeat::Once),
    ("broken", Fault::IO, Repeat::Forever),
];

#[test]
fn a_spill_needs_no_memory_and_a_finish_does_without() {
    child::run(CHILD, "refused");
}

#[test]
fn the_ledger_is_exact_at_every_allocation_event() {
    child::run(CHILD, "accounting");
}

#[test]
fn every_storage_operation_failing_in_turn() {
    std::thread::scope(|scope| {
        for (name, ..) in FAULTS {
            scope.spawn(move || child::run(CHILD, name));
        }
    });
}

#[test]
fn child() {
    match child::argument().as_deref() {
        None => {}
        Some("refused") => CODECS.into_iter().for_each(refused),
        Some("accounting") => accounting(),
        Some(name) => {
            let (_, fault, repeat) = FAULTS.into_iter().find(|(found, ..)| *found == name).unwrap();
            failing(fault, repeat);
        }
    }
}

/// Spills while rows come and while they are read, and a finish, with all memory refused.
fn refused(codec: Codec) {
    for runs_max in [4, 64] {
        let case = SortCase { codec, runs_max, ..plain(&[9000, 6000, 12_000], 2) };
        let (input, dirs) = (case.input(), Dirs::new());
        let minimum = minimum_sort_budget(&input.spec, 1).unwrap();
        let ledger = MemoryLedger::new(minimum + (1 << 20));
        let task = ledger.admit(1, minimum).unwrap().remove(0);
        let mut sorter = Sorter::new(&input.spec, &task, &dirs.spill).unwrap();
        for batch in &input.batches {
            sorter.write(batch).unwrap();
            let (spilled, refusals) = alloc::refuse(|| sorter.spill());
            assert!(spilled.unwrap() > 0 || sorter.progress().runs > 0);
            assert_eq!(refusals, Refusals::default(), "a spill asked for memory");
        }
        let finish = || sorter.finish(ChargeMode::Ledger);
        let (sorted, refusals) = alloc::refuse(finish);
        println!("{codec}, {runs_max} runs: a finish was refused {refusals:?}");
        let sorted: Vec<_> = sorted.unwrap().map(|batch| copy(&batch.unwrap())).collect();
        input.check(&sorted).unwrap();
    }
    // All in memory, and then not any more.
    let case = SortCase { codec, ..plain(&[9000, 6000], 2) };
    let (input, dirs) = (case.input(), Dirs::new());
    let ledger = MemoryLedger::new(64 << 20);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let mut sorter = Sorter::new(&input.spec, &task, &dirs.spill).unwrap();
    for batch in &input.batches {
        sorter.write(batch).unwrap();
    }
    let (sorted, refusals) = alloc::refuse(|| sorter.finish(ChargeMode::Ledger));
    assert_eq!(refusals, Refusals::default(), "a finish in memory asked for some");
    let mut sorted = sorted.unwrap();
    let mut batches = vec![copy(&sorted.next().unwrap().unwrap())];
    assert_eq!(sorted.progress().runs, 0);
    let (spilled, refusals) = alloc::refuse(|| sorted.spill());
    assert!(spilled.unwrap() > 0);
    assert_eq!(refusals, Refusals::default(), "a spill while reading asked for memory");
    assert_eq!(sorted.progress().runs, 1);
    batches.extend(sorted.map(|batch| copy(&batch.unwrap())));
    input.check(&batches).unwrap();
}

/// A sort with an operation failing, then with the next one, until it has no more.
fn failing(fault: Fault, repeat: Repeat) {
    let shapes = [
        // Few columns in several passes; rows larger than a block; spilled while read.
        SortCase { runs_max: 3, ..plain(&[6000, 6000, 6000, 6000, 6000], 2) },
        {
            let mut case = SortCase { runs_max: 3, ..plain(&[25, 25, 25], 2) };
            case.plan.columns[1].value_bytes_max = 300_000;
            case.budget_above_minimum = 1 << 20;
            case
        },
        SortCase {
            budget_above_minimum: 32 << 20,
            spill_percent: 0,
            reclaim_percent: 40,
            ..plain(&[12_000], 2)
        },
    ];
    for (shape, case) in shapes.into_iter().enumerate() {
        let input = case.input();
        let (mut at, mut failed, mut survived) = (0, 0, 0);
        loop {
            let store = Arc::new(FaultStore::new(Arc::new(FsStore::new())));
            let dirs =
                Dirs::with_store(Arc::clone(&store) as Arc<dyn Store>, SpillOptions::default());
            let minimum = minimum_sort_budget(&input.spec, 1).unwrap();
            let ledger = MemoryLedger::new(minimum + case.budget_above_minimum);
            let task = ledger.admit(1, minimum).unwrap().remove(0);
            store.arm(at, fault, repeat);
            let sorted = case.sort(&input, &task, &dirs.spill, &ledger);
            let fired = store.fired();
            store.disarm();
            match sorted {
                Ok((batches, _)) => {
                    input.check(&batches).unwrap();
                    survived += 1;
                }
                Err(error) => {
                    assert!(fired.is_some(), "{error}");
                    failed += 1;
                }
            }
            drop(task);
            assert_eq!((ledger.granted(), ledger.live()), (0, 0), "operation {at}: {fired:?}");
            assert_eq!(dirs.spill.used_bytes(), 0, "operation {at}: {fired:?}");
            assert!(dirs.spill_files().is_empty(), "operation {at}: {fired:?}");
            if fired.is_none() {
                break;
            }
            at += 1;
        }
        println!("shape {shape}: {failed} failures and {survived} without harm in {at} operations");
        assert!(failed > 0, "no storage operation failed");
    }
}

/// Sorts of narrow, wide and string-heavy rows at several budgets, every event compared.
fn accounting() {
    alloc::assert_installed();
    alloc::set_hook(compare);
    for (name, types, rows, value_bytes_max) in [
        ("narrow", vec![DataType::Int64, DataType::Int32], vec![8192; 30], 0),
        ("wide", all_types().into_iter().filter(is_sortable).collect(), vec![1000; 10], 20),
        ("strings", vec![DataType::Utf8, DataType::Binary], vec![3000; 10], 4000),
    ] {
        for codec in CODECS {
            for (above, spill_percent) in [(0, 0), (4 << 20, 30), (512 << 20, 0)] {
                for detached in [false, true] {
                    let columns = (0..).zip(&types).map(|(label, data_type)| ColumnPlan {
                        value_bytes_max,
                        ..ColumnPlan::plain(data_type.clone(), label)
                    });
                    let columns = columns.collect();
                    let plan = Plan {
                        seed: run_seed(),
                        columns,
                        batch_rows: rows.clone(),
                        metadata: false,
                    };
                    let case = SortCase { plan, codec, spill_percent, ..plain(&[], 0) };
                    one_accounted(
                        &format!("{name} {codec} minimum+{above}"),
                        &case,
                        above,
                        detached,
                    );
                }
            }
        }
    }
    println!("{} events", alloc::events());
}

fn one_accounted(label: &str, case: &SortCase, above: u64, detached: bool) {
    let (input, dirs) = (case.input(), Dirs::new());
    let minimum = minimum_sort_budget(&input.spec, 1).unwrap();
    let ledger = MemoryLedger::new(minimum + above);
    *WATCHED.write().unwrap() = Some(ledger.clone());
    let base = alloc::counted();
    BASE.store(base, Ordering::Relaxed);
    let task = ledger.admit(1, minimum).unwrap().remove(0);
    let mut sorter = call(label, || Sorter::new(&input.spec, &task, &dirs.spill)).unwrap();
    for (index, batch) in input.batches.iter().enumerate() {
        call(label, || sorter.write(batch)).unwrap();
        if case.spill_percent > 0 && index % 3 == 2 {
            call(label, || sorter.spill()).unwrap();
        }
    }
    let mode = if detached { ChargeMode::Detached } else { ChargeMode::Ledger };
    let mut sorted = call(label, || sorter.finish(mode)).unwrap();
    let mut rows = 0;
    loop {
        // A detached batch is the caller's from within the call on.
        let Some(batch) = alloc::tracked(|| sorted.next()) else { break };
        let batch = batch.unwrap();
        rows += batch.num_rows();
        let (above, below) =
            (ABOVE.swap(i64::MIN, Ordering::Relaxed), BELOW.swap(i64::MIN, Ordering::Relaxed));
        assert!(above <= ALLOWED, "{label}: live was {above} above what is counted");
        assert!(detached || below <= ALLOWED, "{label}: live was {below} below what is counted");
        call(label, || drop(batch));
    }
    assert_eq!(rows, input.expected.num_rows());
    call(label, || drop(sorted));
    call(label, || drop(task));
    assert_eq!((ledger.granted(), ledger.live()), (0, 0), "{label}: at the end");
    assert_eq!(
        DISORDER.load(Ordering::Relaxed),
        0,
        "{label}: live <= granted <= budget was broken"
    );
    let left = alloc::counted() - base;
    assert!(left <= 64 << 10, "{label}: {left} bytes are still allocated at the end");
}

fn call<R>(label: &str, work: impl FnOnce() -> R) -> R {
    let result = alloc::tracked(work);
    let above = ABOVE.swap(i64::MIN, Ordering::Relaxed);
    let below = BELOW.swap(i64::MIN, Ordering::Relaxed);
    assert!(above <= ALLOWED, "{label}: live was {above} bytes above what is counted");
    assert!(below <= ALLOWED, "{label}: live was {below} bytes below what is counted");
    result
}

fn compare(event: Event) {
    let watched = WATCHED.read().unwrap();
    let Some(ledger) = &*watched else { return };
    let (live, granted, capacity) = (ledger.live(), ledger.granted(), ledger.capacity());
    let base = BASE.load(Ordering::Relaxed);
    let event = Event {
        before: event.before.saturating_sub(base),
        after: event.after.saturating_sub(base),
        ..event
    };
    let slack = i64::try_from(event.after / 100).unwrap();
    let excursion = event.excursion(live);
    ABOVE.fetch_max(excursion - slack, Ordering::Relaxed);
    BELOW.fetch_max(-excursion - slack, Ordering::Relaxed);
    if live > granted || granted > capacity {
        DISORDER.fetch_add(1, Ordering::Relaxed);
    }
}

/// A number and a text, so many columns of both, sorted by the first; a spill after every write.
fn plain(batch_rows: &[usize], columns: usize) -> SortCase {
    let types = [DataType::Int32, DataType::Utf8];
    let columns = (0..).zip(types).take(columns).map(|(label, t)| ColumnPlan::plain(t, label));
    SortCase {
        plan: Plan {
            seed: run_seed(),
            columns: columns.collect(),
            batch_rows: batch_rows.to_vec(),
            metadata: false,
        },
        by: vec![(0, false, false), (1, true, true)],
        codec: Codec::None,
        budget_above_minimum: 0,
        spill_percent: 100,
        reclaim_percent: 0,
        runs_max: 64,
        detached: false,
        into_sink: false,
    }
}

static WATCHED: RwLock<Option<MemoryLedger>> = RwLock::new(None);
static BASE: AtomicU64 = AtomicU64::new(0);
static DISORDER: AtomicU64 = AtomicU64::new(0);
static ABOVE: AtomicI64 = AtomicI64::new(i64::MIN);
static BELOW: AtomicI64 = AtomicI64::new(i64::MIN);
const ALLOWED: i64 = 1 << 20;
