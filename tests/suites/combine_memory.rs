//! The combiner's memory: exact at every allocation event, and none for a spill or a finish.
//!
//! Each test is a child process: the counters are the process's, and Rust aborts where an allocation
//! is refused.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test suite")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, RwLock};

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bywash::{
    Aggregate, ChargeMode, Codec, ColumnCombiner, CombineSpec, Combiner, Count, GroupSpec,
    KeyValues, MemoryLedger, Merge, Slices,
};
use bywash_tests::alloc::{self, Event, Refusals};
use bywash_tests::case::admit;
use bywash_tests::child;
use bywash_tests::combine::{Collect, Keys, Records, key, records};
use bywash_tests::dirs::Dirs;
use bywash_tests::seed::{Rng, run_seed};

bywash_tests::install_counting_allocator!();

const CHILD: &str = "child";

#[test]
fn the_ledger_is_exact_at_every_allocation_event() {
    child::run(CHILD, "exact");
}

#[test]
fn a_spill_and_a_finish_need_no_memory() {
    child::run(CHILD, "refused");
}

#[test]
fn child() {
    match child::argument().as_deref() {
        Some("exact") => exact(),
        Some("refused") => refused(),
        Some(other) => panic!("{other}"),
        None => {}
    }
}

fn specs() -> Vec<(String, CombineSpec)> {
    let mut specs = Vec::new();
    for codec in [Codec::None, Codec::Lz4, Codec::ZSTD] {
        for (name, spec) in [
            ("plain", CombineSpec::new()),
            ("tiny", CombineSpec::new().with_tiny_parts()),
            ("equal hashes", CombineSpec::new().with_tiny_parts().with_constant_hash()),
        ] {
            specs.push((format!("{name} {codec}"), spec.with_codec(codec)));
        }
    }
    specs
}

fn exact() {
    alloc::assert_installed();
    alloc::set_hook(compare);
    let mut rng = Rng::new(run_seed());
    for (name, spec) in specs() {
        for above in [0, 1 << 20, 64 << 20] {
            let records = records(&mut rng, 20_000, Keys::Zipf(15_000), 30);
            watched(&format!("{name}, minimum + {above}, count"), &spec, Count, above, &records);
            // The values of the most frequent key must fit.
            let above = above + (2 << 20);
            watched(&format!("{name}, minimum + {above}"), &spec, Collect, above, &records);
        }
    }
    println!("{} events", alloc::events());
}

fn watched<M: Merge + Send + Copy + 'static>(
    label: &str,
    spec: &CombineSpec,
    merge: M,
    above: u64,
    records: &Records,
) {
    let dirs = Dirs::new();
    let minimum = spec.minimum_budget(&merge).unwrap();
    let ledger = MemoryLedger::new(minimum + above);
    *WATCHED.write().unwrap() = Some((ledger.clone(), alloc::counted()));
    let base = alloc::counted();
    let task = admit(&ledger, minimum).unwrap();
    let mut combiner = alloc::tracked(|| Combiner::new(spec, merge, &task, &dirs.spill)).unwrap();
    each_call(records, |records| alloc::tracked(|| combiner.write(records)).unwrap());
    let mut combined = alloc::tracked(|| combiner.finish()).unwrap();
    let mut groups = 0;
    while let Some(batch) = alloc::tracked(|| combined.next_batch()).unwrap() {
        groups += batch.len();
        if groups > 1000 && groups % 3 == 0 {
            alloc::tracked(|| ledger.reclaim(1));
        }
    }
    alloc::tracked(|| drop(combined));
    assert!(groups > 5000, "{label}");
    assert_eq!((ledger.granted(), ledger.live()), (0, 0), "{label}");
    assert!(alloc::counted() - base < 64 << 10, "{label}: still allocated at the end");
    assert_eq!(DISORDER.swap(0, Ordering::Relaxed), 0, "{label}: live <= granted <= budget");
    let excursion = EXCURSION.swap(0, Ordering::Relaxed);
    println!("{label}: live was at most {excursion} bytes from what is counted");
    assert!(excursion < ALLOWED, "{label}: live was {excursion} bytes from what is counted");
    *WATCHED.write().unwrap() = None;
}

fn each_call(records: &Records, mut call: impl FnMut(&KeyValues<'_>)) {
    for part in records.chunks(700) {
        let keys: Vec<&[u8]> = part.iter().map(|(key, _)| &key[..]).collect();
        let values: Vec<&[u8]> = part.iter().map(|(_, value)| &value[..]).collect();
        call(&KeyValues::try_new(Slices::Each(&keys), Slices::Each(&values)).unwrap());
    }
}

fn compare(event: Event) {
    let watched = WATCHED.read().unwrap();
    let Some((ledger, base)) = &*watched else { return };
    let (live, granted, capacity) = (ledger.live(), ledger.granted(), ledger.capacity());
    let event = Event {
        before: event.before.saturating_sub(*base),
        after: event.after.saturating_sub(*base),
        ..event
    };
    EXCURSION.fetch_max(event.excursion(live).abs(), Ordering::Relaxed);
    if live > granted || granted > capacity {
        DISORDER.fetch_add(1, Ordering::Relaxed);
    }
}

fn refused() {
    let mut rng = Rng::new(run_seed());
    for (name, spec) in specs() {
        let dirs = Dirs::new();
        let minimum = spec.minimum_budget(&Collect).unwrap();
        let ledger = MemoryLedger::new(minimum + (4 << 20));
        let task = admit(&ledger, minimum).unwrap();
        let mut combiner = Combiner::new(&spec, Collect, &task, &dirs.spill).unwrap();
        // Enough spills for runs to be merged.
        for spills in 0..90 {
            let records = records(&mut rng, 400, Keys::Uniform(3000), 30);
            each_call(&records, |records| combiner.write(records).unwrap());
            if spills == 0 {
                // Warms up what is made once in a thread.
                combiner.spill().unwrap();
            }
            let (freed, refusals) = alloc::refuse(|| combiner.spill());
            freed.unwrap();
            assert_eq!(refusals, Refusals::default(), "{name}: a spill asked for memory");
        }
        let records = records(&mut rng, 2000, Keys::Uniform(3000), 30);
        each_call(&records, |records| combiner.write(records).unwrap());
        let progress = combiner.progress();
        assert!(progress.run_merges > 0, "{name}: {progress:?}");
        let (combined, refusals) = alloc::refuse(|| combiner.finish());
        assert_eq!(refusals, Refusals::default(), "{name}: a finish asked for memory");
        let groups = bywash_tests::combine::read_all(combined.unwrap()).unwrap();
        assert!(groups.len() > 2000);

        // What is being read is spilled without memory, too.
        // No more keys than a table takes whose hash tells none apart, and more than its floor.
        let mut combiner = Combiner::new(&spec, Collect, &task, &dirs.spill).unwrap();
        let few: Records = (0..60).map(|number| (key(number), vec![1; 16 << 10])).collect();
        each_call(&few, |records| combiner.write(records).unwrap());
        assert_eq!(combiner.progress().spills(), 0, "{name}: it fits");
        let combined = combiner.finish().unwrap();
        let (freed, refusals) = alloc::refuse(|| ledger.reclaim(u64::MAX));
        assert_eq!(refusals, Refusals::default(), "{name}: a reclaim asked for memory");
        assert!(freed > 0, "{name}: there was something to give");
        assert_eq!(combined.progress().spills_reclaim, 1, "{name}");
        assert_eq!(bywash_tests::combine::read_all(combined).unwrap().len(), 60, "{name}");
    }
    columns_refused(&mut rng);
}

/// Rows of columns are spilled and finished without memory, too.
fn columns_refused(rng: &mut Rng) {
    let field = |name| Field::new(name, DataType::Int64, false);
    let schema = Arc::new(Schema::new(vec![field("k"), field("v")]));
    let aggregates = [Aggregate::Sum(1), Aggregate::CountRows];
    let spec = GroupSpec::new(Arc::clone(&schema), &[0], &aggregates).unwrap();
    for (name, combine) in specs() {
        let spec = spec.clone().with_combine(combine);
        let dirs = Dirs::new();
        let minimum = spec.minimum_budget().unwrap();
        let ledger = MemoryLedger::new(minimum + (4 << 20));
        let task = admit(&ledger, minimum).unwrap();
        let mut combiner = ColumnCombiner::new(&spec, &task, &dirs.spill).unwrap();
        let mut write = |combiner: &mut ColumnCombiner| {
            let keys: Int64Array = (0..5000).map(|_| Some(rng.below(3000).cast_signed())).collect();
            let columns: Vec<ArrayRef> = vec![Arc::new(keys.clone()), Arc::new(keys)];
            combiner.write(&RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()).unwrap();
        };
        for spills in 0..4 {
            write(&mut combiner);
            if spills == 0 {
                combiner.spill().unwrap();
            }
            let (freed, refusals) = alloc::refuse(|| combiner.spill());
            freed.unwrap();
            assert_eq!(refusals, Refusals::default(), "{name}: a spill asked for memory");
        }
        write(&mut combiner);
        let (groups, refusals) = alloc::refuse(|| combiner.finish(ChargeMode::Detached));
        assert_eq!(refusals, Refusals::default(), "{name}: a finish asked for memory");
        let rows: usize = groups.unwrap().map(|batch| batch.unwrap().num_rows()).sum();
        assert!((2000..=3000).contains(&rows), "{name}: {rows}");
    }
}

static WATCHED: RwLock<Option<(MemoryLedger, u64)>> = RwLock::new(None);
static EXCURSION: AtomicI64 = AtomicI64::new(0);
static DISORDER: AtomicI64 = AtomicI64::new(0);
/// Handles, names and the combiner's own struct: they do not grow with data.
const ALLOWED: i64 = 32 << 10;
