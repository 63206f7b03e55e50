//! Rows per second of the combiner: `combine_bench [ROWS] [MEMORY]...`.
//!
//! Keys are 64-bit integers, evenly spread over 1, 1,000 and 10 million; the value is one too. Once as
//! records with a sum and a count, once as columns with a sum. Beside it the same in a `HashMap` of the
//! standard library, which knows no budget: medians of interleaved runs.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints its figures")]

use std::collections::HashMap;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use bywash::{
    Aggregate, ChargeMode, ColumnCombiner, CombineSpec, Combiner, CountingSum, FsStore, GroupSpec,
    KeyValues, MemoryLedger, Slices, SpillDirs, SpillOptions, Store, default_spill_dirs,
};
use bywash_cli::report::as_f64;
use bywash_cli::sizes::{human_size, parse_size};

const RUNS: usize = 3;
const STEP: usize = 8192;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--");
    let rows: usize = arguments.next().map_or(20_000_000, |rows| rows.parse().unwrap());
    let mut budgets: Vec<u64> = arguments.map(|size| parse_size(&size).unwrap()).collect();
    if budgets.is_empty() {
        budgets = vec![64 << 20, 4 << 30];
    }
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let dirs: Vec<PathBuf> = default_spill_dirs(&store).unwrap().dirs;
    let dirs = SpillDirs::open(store, &dirs, SpillOptions::default()).unwrap();
    for distinct in [1u64, 1_000, 10_000_000] {
        let keys: Vec<i64> = (0..rows as u64).map(|i| (mix(i) % distinct).cast_signed()).collect();
        let values: Vec<i64> = (0..rows as u64).map(|i| (mix(i) >> 40).cast_signed()).collect();
        let mut runs: Vec<(String, Vec<f64>)> = Vec::new();
        for run in 0..RUNS {
            let mut measured = vec![("HashMap, no budget".to_owned(), hash_map(&keys, &values))];
            for &budget in &budgets {
                let label = human_size(budget);
                measured
                    .push((format!("records, {label}"), records(&keys, &values, budget, &dirs)));
                measured
                    .push((format!("columns, {label}"), columns(&keys, &values, budget, &dirs)));
            }
            for (at, (label, seconds)) in measured.into_iter().enumerate() {
                if run == 0 {
                    runs.push((label, Vec::new()));
                }
                runs[at].1.push(seconds);
            }
        }
        for (label, seconds) in &mut runs {
            seconds.sort_by(f64::total_cmp);
            let millions = as_f64(rows as u64) / 1e6 / seconds[RUNS / 2];
            println!("{distinct:>9} keys  {label:<22} {millions:>7.2} M rows/s");
        }
    }
}

fn hash_map(keys: &[i64], values: &[i64]) -> f64 {
    let started = Instant::now();
    let mut groups = HashMap::<i64, (i64, u64)>::new();
    for (key, value) in keys.iter().zip(values) {
        let group = groups.entry(*key).or_default();
        *group = (group.0 + value, group.1 + 1);
    }
    let sum: i64 = groups.values().map(|(sum, count)| sum ^ count.cast_signed()).sum();
    black_box(sum);
    started.elapsed().as_secs_f64()
}

fn records(keys: &[i64], values: &[i64], budget: u64, dirs: &Arc<SpillDirs>) -> f64 {
    let started = Instant::now();
    let ledger = MemoryLedger::new(budget);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let mut combiner = Combiner::new(&CombineSpec::new(), CountingSum, &task, dirs).unwrap();
    for (keys, values) in keys.chunks(STEP).zip(values.chunks(STEP)) {
        let keys: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let slices = |bytes| Slices::Fixed { bytes, width: 8 };
        combiner.write(&KeyValues::try_new(slices(&keys), slices(&values)).unwrap()).unwrap();
    }
    let groups = combiner.finish().unwrap().drain_into(|batch| {
        black_box(batch.value(0));
        Ok(())
    });
    black_box(groups.unwrap());
    started.elapsed().as_secs_f64()
}

fn columns(keys: &[i64], values: &[i64], budget: u64, dirs: &Arc<SpillDirs>) -> f64 {
    let started = Instant::now();
    let ledger = MemoryLedger::new(budget);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let batch = |keys: &[i64], values: &[i64]| {
        let column = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        RecordBatch::try_from_iter([("k", column(keys)), ("v", column(values))]).unwrap()
    };
    let spec = GroupSpec::new(batch(&[], &[]).schema(), &[0], &[Aggregate::Sum(1)]).unwrap();
    let mut combiner = ColumnCombiner::new(&spec, &task, dirs).unwrap();
    for (keys, values) in keys.chunks(STEP).zip(values.chunks(STEP)) {
        combiner.write(&batch(keys, values)).unwrap();
    }
    for groups in combiner.finish(ChargeMode::Ledger).unwrap() {
        black_box(groups.unwrap());
    }
    started.elapsed().as_secs_f64()
}

/// A step of splitmix64.
const fn mix(i: u64) -> u64 {
    let mut z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
