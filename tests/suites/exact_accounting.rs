//! The ledger's figures are exact: at every allocation event, of Rust and of C, what is live on the
//! ledger is what is counted, and live <= granted <= budget.
//!
//! One test, since the counters are the process's. Set-up (ledger, spec, directories), the caller's
//! batches and what was handed over detached are not counted.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test prints its figures and fails by panicking"
)]

use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};

use arrow_array::{Array, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use bywash::{
    AttemptId, ChargeMode, Codec, MapId, MapOutput, MemoryLedger, RecordOutput, RecordWriter,
    ShuffleWriter, TaskMemory, minimum_budget,
};
use bywash_tests::alloc::{self, Event};
use bywash_tests::case::{Charge, IdShape, Input, Placement, ShuffleCase};
use bywash_tests::dirs::Dirs;
use bywash_tests::generate::{ColumnPlan, Plan, all_types};
use bywash_tests::records::{Lengths, RecordCase, RecordOracle};
use bywash_tests::seed::run_seed;

bywash_tests::install_counting_allocator!();

#[test]
fn the_ledger_is_exact_at_every_allocation_event() {
    alloc::assert_installed();
    alloc::set_hook(compare);
    let mut worst = String::new();
    for (name, plan) in plans() {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd { level: 1 }, Codec::Zstd { level: 3 }] {
            for (above, spill_percent) in [(0, 0), (4 << 20, 30), (512 << 20, 0)] {
                for charge in [Charge::Ledger, Charge::Detached] {
                    let case = ShuffleCase {
                        plan: plan.clone(),
                        partitions: 40,
                        placement: Placement::Ids(IdShape::Uniform),
                        codec,
                        budget_above_minimum: above,
                        spill_percent,
                        named: false,
                        charge,
                    };
                    let label = format!("{name} {codec} minimum+{above} {charge:?}");
                    worst.push_str(&one_task(&label, &case));
                }
            }
        }
    }
    for lengths in [Lengths::Fixed(104), Lengths::OneIn(300, 400_000)] {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd { level: 3 }] {
            for (above, spill_percent) in [(0, 0), (4 << 20, 30), (512 << 20, 0)] {
                for charge in [Charge::Ledger, Charge::Detached] {
                    let case = RecordCase {
                        codec,
                        budget_above_minimum: above,
                        spill_percent,
                        charge,
                        ..RecordCase::plain(lengths, &[8192; 12])
                    };
                    let label = format!("records {lengths:?} {codec} minimum+{above} {charge:?}");
                    worst.push_str(&records(&label, &case));
                }
            }
        }
    }
    for tasks in [2, 3] {
        worst.push_str(&several_tasks(tasks, Turns::OneCallAtATime));
        worst.push_str(&several_tasks(tasks, Turns::None));
    }
    println!("largest excursions of live from counted, in bytes:\n{worst}");
    println!("{} events", alloc::events());
}

fn one_task(label: &str, case: &ShuffleCase) -> String {
    let (input, dirs) = (case.input(), case.dirs());
    let minimum = minimum_budget(&input.spec, 1).unwrap();
    let ledger = MemoryLedger::new(minimum + case.budget_above_minimum);
    let base = watch(&ledger);
    let task = ledger.admit(1, minimum).unwrap().remove(0);
    let mut writer = call(label, || new_writer(&input, &task, &dirs, 0));
    for (index, (batch, ids)) in input.batches.iter().zip(&input.ids).enumerate() {
        call(label, || writer.write_with_ids(batch, ids)).unwrap();
        if case.spill_percent > 0 && index % 3 == 2 {
            call(label, || writer.spill()).unwrap();
        }
    }
    let output = call(label, || writer.finish()).unwrap();
    call(label, || drop(task));
    call(label, || drop(output));
    at_rest(label, &ledger, base);

    // Reading, on a ledger of its own that holds a few batches.
    let ledger = MemoryLedger::new(READ_BUDGET);
    assert_eq!(watch(&ledger), base, "{label}");
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let output = call(label, || MapOutput::open(&dirs.out, MapId(0), &task)).unwrap();
    for partition in 0..case.partitions {
        let mut check = input.oracle.partition(partition);
        let mut kept = Vec::new();
        let charge = ChargeMode::from(case.charge);
        let mut reader = call(label, || output.read(partition, &task, charge)).unwrap();
        while let Some(batch) = next(label, &mut reader, case.charge) {
            check.next(&batch).unwrap();
            kept.push(batch);
            if kept.len() > 2 {
                let first = kept.remove(0);
                call(label, || drop(first));
            }
        }
        check.end().unwrap();
        call(label, || drop(reader));
        call(label, || drop(kept));
    }
    call(label, || drop(output));
    call(label, || drop(task));
    at_rest(label, &ledger, base);
    EXCURSIONS.report(label)
}

/// As [`one_task`], of records.
fn records(label: &str, case: &RecordCase) -> String {
    let (calls, dirs) = (case.input(), case.dirs());
    let oracle = RecordOracle::new(&calls);
    let minimum = case.spec().minimum_budget(1).unwrap();
    let ledger = MemoryLedger::new(minimum + case.budget_above_minimum);
    let base = watch(&ledger);
    let task = ledger.admit(1, minimum).unwrap().remove(0);
    let spec = case.spec();
    let mut writer = call(label, || {
        RecordWriter::new(&spec, &task, &dirs.spill, &dirs.out, MapId(0), AttemptId(0)).unwrap()
    });
    for (index, records) in calls.iter().enumerate() {
        call(label, || records.write(&mut writer)).unwrap();
        if case.spill_percent > 0 && index % 3 == 2 {
            call(label, || writer.spill()).unwrap();
        }
    }
    let output = call(label, || writer.finish()).unwrap();
    call(label, || drop(task));
    call(label, || drop(output));
    at_rest(label, &ledger, base);

    let ledger = MemoryLedger::new(READ_BUDGET);
    assert_eq!(watch(&ledger), base, "{label}");
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let output = call(label, || RecordOutput::open(&dirs.out, MapId(0), &task)).unwrap();
    for partition in 0..case.partitions {
        let mut expected = oracle.partition(partition).iter();
        let mut kept = Vec::new();
        let mut reader = call(label, || output.read(partition, &task, case.charge.into())).unwrap();
        while let Some(records) = alloc::tracked(|| reader.next()) {
            let records = records.unwrap();
            let mut handed_over = 0;
            if case.charge == Charge::Detached {
                // Offsets and bytes lie in one block.
                let given = alloc::give_away(records.offsets().as_ptr().cast());
                handed_over = given.map_or(0, |range| range.len() as u64);
            }
            EXCURSIONS.check(label, handed_over);
            assert!(records.iter().all(|record| expected.next().unwrap() == record));
            kept.push(records);
            if kept.len() > 2 {
                let first = kept.remove(0);
                call(label, || drop(first));
            }
        }
        assert!(expected.next().is_none());
        call(label, || drop(reader));
        call(label, || drop(kept));
    }
    call(label, || drop(output));
    call(label, || drop(task));
    at_rest(label, &ledger, base);
    EXCURSIONS.report(label)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turns {
    /// Tasks on threads of their own, one call at a time: the figures must be exact.
    OneCallAtATime,
    /// All at once: each thread's call in progress does not count.
    None,
}

fn several_tasks(tasks: usize, turns: Turns) -> String {
    let label = format!("{tasks} tasks, turns: {turns:?}");
    let case = ShuffleCase {
        plan: plans().remove(2).1,
        partitions: 40,
        placement: Placement::Ids(IdShape::Uniform),
        codec: Codec::Lz4,
        budget_above_minimum: 0,
        spill_percent: 0,
        named: false,
        charge: Charge::Ledger,
    };
    let (input, dirs) = (case.input(), case.dirs());
    let minimum = minimum_budget(&input.spec, tasks).unwrap();
    let ledger = MemoryLedger::new(minimum + (6 << 20));
    let base = watch(&ledger);
    CALLS_AT_ONCE.store(if turns == Turns::None { tasks as u64 } else { 1 }, Ordering::Relaxed);
    let turn = Mutex::new(());
    let admitted = ledger.admit(tasks, minimum / tasks as u64).unwrap();
    std::thread::scope(|scope| {
        for (map, task) in (0..).zip(admitted) {
            let (input, dirs, turn, label) = (&input, &dirs, &turn, &label);
            let take = move || (turns == Turns::OneCallAtATime).then(|| turn.lock().unwrap());
            scope.spawn(move || {
                let mut writer = {
                    let _turn = take();
                    call(label, || new_writer(input, &task, dirs, map))
                };
                for (batch, ids) in input.batches.iter().zip(&input.ids) {
                    let _turn = take();
                    call(label, || writer.write_with_ids(batch, ids)).unwrap();
                }
                let _turn = take();
                let output = call(label, || writer.finish()).unwrap();
                call(label, || drop(output));
                call(label, || drop(task));
            });
        }
    });
    at_rest(&label, &ledger, base);
    CALLS_AT_ONCE.store(1, Ordering::Relaxed);
    EXCURSIONS.report(&label)
}

fn new_writer(input: &Input, task: &TaskMemory, dirs: &Dirs, map: u64) -> ShuffleWriter {
    let (map, attempt) = (MapId(map), AttemptId(0));
    ShuffleWriter::new(&input.spec, task, &dirs.spill, &dirs.out, map, attempt).unwrap()
}

/// One batch; a detached one is the caller's from within the call on, so what the call handed over
/// may be counted until it returns.
fn next(label: &str, reader: &mut bywash::PartitionReader, charge: Charge) -> Option<RecordBatch> {
    let batch = alloc::tracked(|| reader.next())?.unwrap();
    let mut given = Vec::new();
    if charge == Charge::Detached {
        for column in batch.columns() {
            let data = column.to_data();
            let nulls = data.nulls().map(NullBuffer::buffer);
            for buffer in data.buffers().iter().chain(nulls) {
                // Many buffers of a batch lie in one block.
                let address = buffer.data_ptr().as_ptr();
                if !given.iter().any(|range: &Range<usize>| range.contains(&address.addr())) {
                    given.extend(alloc::give_away(address));
                }
            }
        }
    }
    let handed_over = given.iter().map(|range| range.len() as u64).sum();
    EXCURSIONS.check(label, handed_over);
    Some(batch)
}

/// One call into the library, counted, with a look at the excursions it made.
fn call<R>(label: &str, f: impl FnOnce() -> R) -> R {
    let result = alloc::tracked(f);
    EXCURSIONS.check(label, 0);
    result
}

/// Makes the hook look at `ledger`; returns what is counted already.
fn watch(ledger: &MemoryLedger) -> u64 {
    *WATCHED.write().unwrap() = Some(ledger.clone());
    let base = alloc::counted();
    BASE.store(base, Ordering::Relaxed);
    base
}

fn at_rest(label: &str, ledger: &MemoryLedger, base: u64) {
    assert_eq!((ledger.granted(), ledger.live()), (0, 0), "{label}: at the end");
    // Things made once in a process (thread locals, tables) may stay.
    let left = alloc::counted() - base;
    assert!(left <= 64 << 10, "{label}: {left} bytes are still allocated at the end");
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
    let others = (CALLS_AT_ONCE.load(Ordering::Relaxed) - 1) * alloc::largest_event();
    let slack = slack + i64::try_from(others).unwrap();
    let excursion = event.excursion(live);
    EXCURSIONS.note(excursion, slack);
    EXCURSIONS.counted.fetch_max(event.after, Ordering::Relaxed);
    // Two figures cannot be read at one instant while other threads move them.
    if others == 0 && (live > granted || granted > capacity) {
        DISORDER.fetch_add(1, Ordering::Relaxed);
    }
}

/// The largest excursions since the last report, in bytes above the slack and in all.
struct Excursions {
    above: AtomicI64,
    below: AtomicI64,
    largest_above: AtomicI64,
    largest_below: AtomicI64,
    counted: AtomicU64,
}

impl Excursions {
    fn note(&self, excursion: i64, slack: i64) {
        self.above.fetch_max(excursion - slack, Ordering::Relaxed);
        self.below.fetch_max(-excursion - slack, Ordering::Relaxed);
        self.largest_above.fetch_max(excursion, Ordering::Relaxed);
        self.largest_below.fetch_max(-excursion, Ordering::Relaxed);
    }

    /// Ends a call in which `handed_over` bytes became the caller's.
    fn check(&self, label: &str, handed_over: u64) {
        let above = self.above.swap(0, Ordering::Relaxed);
        let below = self.below.swap(0, Ordering::Relaxed);
        let handed_over = i64::try_from(handed_over).unwrap();
        assert!(above <= ALLOWED, "{label}: live was {above} bytes above what is counted");
        assert!(
            below - handed_over <= ALLOWED,
            "{label}: live was {below} bytes below what is counted ({handed_over} handed over)"
        );
        let disorder = DISORDER.swap(0, Ordering::Relaxed);
        assert_eq!(disorder, 0, "{label}: live <= granted <= budget was broken at so many events");
    }

    fn report(&self, label: &str) -> String {
        let above = self.largest_above.swap(0, Ordering::Relaxed);
        let below = self.largest_below.swap(0, Ordering::Relaxed);
        let counted = self.counted.swap(0, Ordering::Relaxed);
        format!("{label}: {above} above, {below} below, of up to {counted} counted\n")
    }
}

/// Narrow, wide and string-heavy data.
fn plans() -> Vec<(&'static str, Plan)> {
    let plan = |types: &[DataType], batch_rows: Vec<usize>, value_bytes_max: usize| {
        let columns = (0..).zip(types).map(|(label, data_type)| ColumnPlan {
            value_bytes_max,
            ..ColumnPlan::plain(data_type.clone(), label)
        });
        Plan { seed: run_seed(), columns: columns.collect(), batch_rows, metadata: false }
    };
    vec![
        ("narrow", plan(&[DataType::Int64, DataType::Int32], vec![8192; 40], 0)),
        ("wide", plan(&all_types(), vec![1000; 12], 20)),
        (
            "strings",
            plan(&[DataType::Utf8, DataType::Binary, DataType::LargeUtf8], vec![4000; 12], 4000),
        ),
    ]
}

static WATCHED: RwLock<Option<MemoryLedger>> = RwLock::new(None);
static BASE: AtomicU64 = AtomicU64::new(0);
static CALLS_AT_ONCE: AtomicU64 = AtomicU64::new(1);
static DISORDER: AtomicU64 = AtomicU64::new(0);
static EXCURSIONS: Excursions = Excursions {
    above: AtomicI64::new(0),
    below: AtomicI64::new(0),
    largest_above: AtomicI64::new(0),
    largest_below: AtomicI64::new(0),
    counted: AtomicU64::new(0),
};
const ALLOWED: i64 = 1 << 20;
const READ_BUDGET: u64 = 64 << 20;
