//! The least budget: exactly that groups real data that does not fit, and with one byte less no combiner
//! is made and the error says how much is needed and how much is there.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use bywash::{
    AccumulatorSize, Aggregate, ChargeMode, Codec, ColumnCombiner, CombineSpec, Count, Error,
    ErrorKind, Figure, GroupSpec, MemoryLedger, Merge, Result,
};
use bywash_tests::case::admit;
use bywash_tests::combine::{
    Collect, Keys, Records, combiner, oracle, read_all, records, write_all,
};
use bywash_tests::dirs::Dirs;
use bywash_tests::generate::{ColumnPlan, Plan, Texture};
use bywash_tests::seed::{Rng, run_seed};

/// A count in an accumulator of so many bytes.
#[derive(Debug, Clone, Copy)]
struct WideCount(u32);

impl Merge for WideCount {
    fn size(&self) -> AccumulatorSize {
        AccumulatorSize::Fixed(self.0)
    }

    fn create(&mut self, _: &[u8], accumulator: &mut [u8]) -> Result<usize> {
        accumulator.fill(0);
        accumulator[0] = 1;
        Ok(accumulator.len())
    }

    fn merge(&mut self, accumulator: &mut [u8], len: usize, _: &[u8]) -> Result<usize> {
        accumulator[0] += 1;
        Ok(len)
    }

    fn merge_accumulators(&mut self, to: &mut [u8], len: usize, other: &[u8]) -> Result<usize> {
        to[0] += other[0];
        Ok(len)
    }
}

/// Groups `records` in exactly the minimum and compares; then a byte less.
fn in_the_minimum<M: Merge + Copy + Send + 'static>(
    spec: &CombineSpec,
    merge: M,
    records: &Records,
    is_right: impl Fn(&[Vec<u8>], &[u8]) -> bool,
) {
    let dirs = Dirs::new();
    let minimum = spec.minimum_budget(&merge).unwrap();
    let ledger = MemoryLedger::new(minimum);
    let task = admit(&ledger, minimum).unwrap();
    let mut made = combiner(spec, merge, &task, &dirs).unwrap();
    write_all(&mut made, records, 700).unwrap();
    let progress = made.progress();
    assert!(progress.spills_pressure > 1, "{spec:?}: {progress:?}");
    let groups = read_all(made.finish().unwrap()).unwrap();
    let expected = oracle(records);
    assert_eq!(groups.len(), expected.len(), "{spec:?}");
    for (key, values) in &expected {
        assert!(is_right(values, &groups[key]), "{spec:?}: the group of {key:?}");
    }
    assert!(ledger.peak_granted() <= minimum, "{spec:?}");
    drop(task);
    refused_below(minimum, |ledger| {
        let task = admit(ledger, 0).unwrap();
        combiner(spec, merge, &task, &dirs).unwrap_err()
    });
}

/// One byte below the minimum nothing is made.
fn refused_below(minimum: u64, make: impl Fn(&MemoryLedger) -> Error) {
    let ledger = MemoryLedger::new(minimum - 1);
    assert!(admit(&ledger, minimum).is_err());
    let error = make(&ledger);
    assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{error}");
    assert_eq!(error.figure(Figure::Requested), Some(minimum), "{error}");
    assert_eq!(error.figure(Figure::Available), Some(minimum - 1), "{error}");
    assert_eq!((ledger.granted(), ledger.live()), (0, 0));
}

#[test]
fn records_are_combined_in_exactly_the_minimum_and_in_no_byte_less() {
    let mut rng = Rng::new(run_seed());
    for codec in [Codec::None, Codec::Lz4, Codec::ZSTD, Codec::Zstd { level: 19 }] {
        let spec = CombineSpec::new().with_codec(codec);
        let counted =
            |values: &[Vec<u8>], count: &[u8]| (values.len() as u64).to_le_bytes() == *count;
        let many = records(&mut rng, 60_000, Keys::Uniform(40_000), 0);
        in_the_minimum(&spec, Count, &many, counted);
        in_the_minimum(&spec.with_tiny_parts(), Count, &many[..20_000].to_vec(), counted);

        // A few and many values of a key, one after the other.
        let collected = |values: &[Vec<u8>], all: &[u8]| {
            let mut values = values.to_vec();
            values.sort();
            values == Collect::values(all)
        };
        let of_keys = |rng: &mut Rng, keys| records(rng, 20_000, keys, 60);
        in_the_minimum(&spec, Collect, &of_keys(&mut rng, Keys::Uniform(10_000)), collected);
        in_the_minimum(&spec, Collect, &of_keys(&mut rng, Keys::Uniform(300)), collected);

        // The largest that is promised, at once and put together.
        for times in [1, 2] {
            let value = (LARGEST - (16 << 10)) / usize::from(times) - 4;
            let large = large_records(&mut rng, value, times);
            in_the_minimum(&spec, Collect, &large, collected);
        }
        too_large_by_one(&spec, &large_records(&mut rng, LARGEST - (16 << 10) - 4 + 1, 1));

        let wide = |values: &[Vec<u8>], count: &[u8]| values.len() == usize::from(count[0]);
        for (width, count) in
            [(1, 60_000), (3000, 4000), (5000, 4000), (100_000, 80), (2 << 20, 50)]
        {
            if width < 1 << 20 || codec == Codec::Lz4 {
                let records = records(&mut rng, count, Keys::Uniform(count as u64 / 2), 0);
                in_the_minimum(&spec, WideCount(width), &records, wide);
            }
        }
        // The longest key that is promised beside an accumulator of a fixed size.
        let long: Records = (0..60).map(|row| (vec![row % 30; 4088], Vec::new())).collect();
        in_the_minimum(&spec, WideCount((128 << 10) - 4096), &long, wide);
    }
}

/// Of 60 keys of 16 KiB, each `times`.
fn large_records(rng: &mut Rng, value: usize, times: u8) -> Records {
    (0..60 * times).map(|row| (vec![row % 60; 16 << 10], rng.bytes(value))).collect()
}

/// What is above the largest that is promised is named.
fn too_large_by_one(spec: &CombineSpec, records: &Records) {
    let dirs = Dirs::new();
    let ledger = MemoryLedger::new(spec.minimum_budget(&Collect).unwrap());
    let task = admit(&ledger, ledger.capacity()).unwrap();
    let mut made = combiner(spec, Collect, &task, &dirs).unwrap();
    let error = write_all(&mut made, records, 700).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{error}");
    // As it came: a value, of which an accumulator is four bytes longer.
    assert_eq!(error.figure(Figure::RowBytes), Some(LARGEST as u64 + 1 - 4), "{error}");
}

/// What groups of columns are made of.
struct Shape {
    keys: Vec<DataType>,
    value_bytes_max: usize,
    /// Sums and extremes of the number, so many of each.
    aggregates: usize,
    combine: CombineSpec,
    rows: usize,
}

#[test]
fn columns_are_grouped_in_exactly_the_minimum_and_in_no_byte_less() {
    let combine = CombineSpec::new();
    let plain = || Shape {
        keys: vec![DataType::Int64],
        value_bytes_max: 20,
        aggregates: 1,
        combine,
        rows: 12_000,
    };
    let strings = vec![DataType::Utf8, DataType::LargeBinary];
    for shape in [
        plain(),
        Shape { keys: strings.clone(), ..plain() },
        Shape { keys: strings.clone(), value_bytes_max: 3000, rows: 1500, ..plain() },
        Shape { keys: vec![DataType::Int32; 40], ..plain() },
        Shape { keys: vec![DataType::Utf8; 40], rows: 3000, ..plain() },
        Shape {
            keys: vec![DataType::FixedSizeBinary(1000), DataType::Boolean],
            rows: 3000,
            ..plain()
        },
        Shape { aggregates: 100, rows: 3000, ..plain() },
        Shape { combine: combine.with_codec(Codec::ZSTD), keys: strings.clone(), ..plain() },
        Shape { combine: combine.with_codec(Codec::Zstd { level: 19 }), ..plain() },
        Shape { combine: combine.with_codec(Codec::None), ..plain() },
        Shape { combine: combine.with_tiny_parts(), keys: strings, ..plain() },
    ] {
        grouped_in_the_minimum(&shape);
    }
}

fn grouped_in_the_minimum(shape: &Shape) {
    let keys = shape.keys.len();
    let columns = (0..).zip(&shape.keys).map(|(label, key)| ColumnPlan {
        value_bytes_max: shape.value_bytes_max,
        ..ColumnPlan::plain(key.clone(), label)
    });
    let number = ColumnPlan { texture: Texture::Small, ..ColumnPlan::plain(DataType::Int64, 99) };
    let plan = Plan {
        seed: run_seed(),
        columns: columns.chain([number]).collect(),
        batch_rows: vec![shape.rows; 2],
        metadata: false,
    };
    let batches = plan.batches();
    // Twice, so that every group has two rows at least.
    let twice = [&batches[..], &batches[..]].concat();
    let each = [Aggregate::Sum(keys), Aggregate::Min(keys), Aggregate::Max(keys)];
    let aggregates: Vec<_> = each.repeat(shape.aggregates);
    let aggregates: Vec<_> = aggregates.into_iter().chain([Aggregate::CountRows]).collect();
    let by: Vec<usize> = (0..keys).collect();
    let spec = GroupSpec::new(batches[0].schema(), &by, &aggregates).unwrap();
    let spec = spec.with_combine(shape.combine);
    let what = format!("{:?} {} {:?}", shape.keys.first(), shape.rows, shape.combine);

    let mut expected = BTreeMap::<_, (i64, Option<i128>)>::new();
    for batch in &twice {
        let numbers = batch.column(keys).as_primitive::<Int64Type>();
        for (row, key) in texts(batch, keys).into_iter().enumerate() {
            let (count, sum) = expected.entry(key).or_default();
            *count += 1;
            if numbers.is_valid(row) {
                *sum = Some(sum.unwrap_or(0) + i128::from(numbers.value(row)));
            }
        }
    }
    let dirs = Dirs::new();
    let minimum = spec.minimum_budget().unwrap();
    let ledger = MemoryLedger::new(minimum);
    let task = admit(&ledger, minimum).unwrap();
    let mut combiner = ColumnCombiner::new(&spec, &task, &dirs.spill).unwrap();
    for batch in &twice {
        combiner.write(batch).unwrap();
    }
    let progress = combiner.progress();
    assert!(progress.spills_pressure > 1, "{what}: {progress:?}");
    let mut found = BTreeMap::new();
    for batch in combiner.finish(ChargeMode::Ledger).unwrap() {
        let batch = batch.unwrap();
        let counts = batch.columns().last().unwrap().as_primitive::<Int64Type>();
        let sums = batch.column(keys).as_primitive::<Decimal128Type>();
        for (row, key) in texts(&batch, keys).into_iter().enumerate() {
            let sum = sums.is_valid(row).then(|| sums.value(row));
            let before = found.insert(key, (counts.value(row), sum));
            assert!(before.is_none(), "{what}: a group twice");
        }
    }
    assert!(found == expected, "{what}: {} groups, {} are right", found.len(), expected.len());
    assert!(ledger.peak_granted() <= minimum, "{what}");
    drop(task);
    assert_eq!((ledger.granted(), ledger.live()), (0, 0), "{what}");
    refused_below(minimum, |ledger| {
        let task = admit(ledger, 0).unwrap();
        ColumnCombiner::new(&spec, &task, &dirs.spill).unwrap_err()
    });
}

/// What the first `keys` columns of each row look like.
fn texts(batch: &RecordBatch, keys: usize) -> Vec<String> {
    let options = FormatOptions::new().with_null("null");
    let columns: Vec<ArrayFormatter<'_>> = batch.columns()[..keys]
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let text = |row: usize| {
        let values = columns.iter().map(|column| column.value(row).to_string());
        values.collect::<Vec<_>>().join("|")
    };
    (0..batch.num_rows()).map(text).collect()
}

/// Bytes of a key and its accumulator that need no memory beyond the minimum.
const LARGEST: usize = 32_756;
