//! Whatever goes in comes back in order: the same rows, equal ones in the order they came, for random
//! schemas, orders, codecs, budgets, spills and reclaims, against the naive oracle.
#![expect(clippy::print_stdout, reason = "a test prints its figures")]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType};
use bywash::{
    AttemptId, ChargeMode, Codec, ErrorKind, Figure, MapId, MemoryLedger, Partitioning,
    RangeBounds, RangeSample, ShuffleSpec, ShuffleWriter, SortColumn, Sorter, minimum_sort_budget,
};
use bywash_tests::dirs::Dirs;
use bywash_tests::generate::{ColumnPlan, Plan, Texture, all_types};
use bywash_tests::search::{Case, run_cases};
use bywash_tests::seed::{Rng, run_seed};
use bywash_tests::sort::{REACHED, SortCase, SortInput, is_sortable, read_all};

#[test]
fn random_sorts_equal_the_oracle() {
    let cases = std::env::var("BYWASH_CASES").map_or(300, |text| text.parse().unwrap());
    run_cases::<SortCase>("sort_oracle", run_seed(), 0..cases, 2);
    println!("{REACHED:?}");
    if cases >= 300 {
        for (what, count) in [
            ("in memory", &REACHED.in_memory),
            ("of one pass", &REACHED.single_pass),
            ("of several passes", &REACHED.multi_pass),
            ("with rows too large to stage", &REACHED.oversized),
            ("spilled while it was read", &REACHED.spilled_while_read),
            ("sent to a sink", &REACHED.into_sink),
        ] {
            assert!(count.load(Ordering::Relaxed) > 0, "no sort was {what}");
        }
    }
}

/// Every type that has an order, both directions, nulls first and last, at the minimum.
#[test]
fn every_type_is_sorted_both_ways() {
    for data_type in all_types().into_iter().filter(is_sortable) {
        for (descending, nulls_last) in [(false, false), (false, true), (true, false), (true, true)]
        {
            let by = vec![(0, descending, nulls_last)];
            let types = [data_type.clone(), DataType::Utf8];
            let case = SortCase { by, spill_percent: 50, ..plain(&types, &[700, 1, 900]) };
            case.run().unwrap_or_else(|error| panic!("{case:?}: {error}"));
        }
    }
}

#[test]
fn nothing_at_all_is_sorted() {
    for batch_rows in [&[][..], &[0], &[0, 0, 0]] {
        for types in [&[][..], &[DataType::Utf8, DataType::Null]] {
            let case = SortCase { spill_percent: 100, ..plain(types, batch_rows) };
            case.run().unwrap_or_else(|error| panic!("{case:?}: {error}"));
        }
    }
}

/// Rows that are all equal, or all null, in several runs, merged in several passes: none overtakes.
#[test]
fn equal_rows_stay_in_their_order() {
    for texture in [Texture::Zero, Texture::Repeated] {
        for null_percent in [0, 100] {
            for types in [[DataType::Int64], [DataType::Utf8]] {
                let mut case = plain(&types, &[3000; 12]);
                case.plan.columns[0].texture = texture;
                case.plan.columns[0].null_percent = null_percent;
                case.spill_percent = 100;
                case.runs_max = 3;
                case.run().unwrap_or_else(|error| panic!("{case:?}: {error}"));
            }
        }
    }
}

/// Without columns to sort by, rows come back as they came.
#[test]
fn an_order_by_nothing_changes_nothing() {
    let mut case = plain(&[DataType::Utf8], &[5000; 4]);
    case.by.clear();
    case.spill_percent = 60;
    case.run().unwrap_or_else(|error| panic!("{case:?}: {error}"));
}

/// Strings of up to 3 MiB among short ones, as payload and as key: rows larger than a block and than
/// what is staged, several passes.
#[test]
fn rows_larger_than_a_block_find_their_place() {
    for codec in [Codec::None, Codec::Lz4] {
        for value_bytes_max in [60_000, 3 << 20] {
            for texture in [Texture::Noise, Texture::Zero, Texture::Repeated] {
                let types = [DataType::Binary, DataType::Int32, DataType::Utf8];
                let mut case = plain(&types, &[60; 3]);
                case.by = vec![(1, false, false), (0, true, true), (2, false, true)];
                (case.codec, case.runs_max) = (codec, 4);
                for column in &mut case.plan.columns {
                    (column.value_bytes_max, column.texture) = (value_bytes_max, texture);
                }
                case.plan.columns[1].texture = Texture::Small;
                case.run().unwrap_or_else(|error| panic!("{case:?}: {error}"));
            }
        }
    }
}

/// Rows already in order and in reverse: what is galloped over is right.
#[test]
fn rows_in_order_are_merged_in_slices() {
    let mut case = plain(&[DataType::Int64], &[4000; 10]);
    case.by.clear();
    let mut input = case.input();
    for descending in [false, true] {
        let by = [SortColumn { column: 1, descending, nulls_last: false }];
        let schema = Arc::clone(input.spec.schema());
        input = SortInput::new(&schema, input.batches, &by);
        let dirs = Dirs::new();
        let minimum = minimum_sort_budget(&input.spec, 1).unwrap();
        let ledger = MemoryLedger::new(minimum);
        let task = ledger.admit(1, minimum).unwrap().remove(0);
        let sorted = case.sort(&input, &task, &dirs.spill, &ledger).unwrap();
        input.check(&sorted.0).unwrap();
    }
}

/// Runs whose rows take turns: one by one, about as many on end as it takes until a lane is galloped over,
/// and in stretches longer than a block; also with rows that are equal where they meet. By a number, whose
/// prefix is all of it, and by texts that are equal for longer than a prefix.
#[test]
fn rows_of_runs_that_take_turns_are_merged_in_slices() {
    let mut rng = Rng::new(run_seed());
    for (least, most) in [(1, 1), (5, 9), (25, 40), (1, 300), (700, 900)] {
        for equal in [1, 4] {
            let batches = taking_turns(&mut rng, (least, most), equal).unwrap();
            for (column, descending) in [(0, false), (1, false), (1, true)] {
                let by = [SortColumn { column, descending, nulls_last: false }];
                let schema = batches[0].schema();
                let mut input = SortInput::new(&schema, batches.clone(), &by);
                // Merged at once, in passes, from memory, and into blocks.
                for (runs_max, above, spill_percent, into_sink) in [
                    (64, 0, 100, false),
                    (3, 0, 100, false),
                    (64, 1 << 20, 0, false),
                    (64, 0, 100, true),
                ] {
                    let case = SortCase { spill_percent, into_sink, ..plain(&[], &[]) };
                    input.spec = input.spec.with_runs_max(runs_max);
                    let dirs = Dirs::new();
                    let minimum = minimum_sort_budget(&input.spec, 1).unwrap();
                    let ledger = MemoryLedger::new(minimum + above);
                    let task = ledger.admit(1, minimum).unwrap().remove(0);
                    let sorted = case.sort(&input, &task, &dirs.spill, &ledger);
                    let (sorted, progress) = sorted.unwrap();
                    let what = format!("{least}..={most} on end, {equal} equal, {by:?}, {case:?}");
                    input.check(&sorted).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
                    let passes = if above > 0 { 0 } else { 1 + u64::from(runs_max == 3) };
                    assert!(progress.passes >= passes, "{what}: {progress:?}");
                }
            }
        }
    }
}

/// Four batches, each larger than what is staged, of a key, a text that follows from it and their place among all rows. Of all keys in order
/// each batch in turn has between `least` and `most`; so many on end are `equal`.
fn taking_turns(
    rng: &mut Rng,
    (least, most): (u64, u64),
    equal: i64,
) -> Result<Vec<RecordBatch>, ArrowError> {
    let (batches, rows) = (4, 16_000);
    let mut keys = vec![Vec::<i64>::new(); batches];
    let (mut next, mut batch) = (0, 0);
    while next < rows {
        let end = rows.min(next + rng.within(least, most).cast_signed());
        keys[batch].extend((next..end).map(|key| key / equal));
        (next, batch) = (end, (batch + 1) % batches);
    }
    let mut number = 0..;
    let batch = |keys: Vec<i64>| {
        let texts = keys.iter().map(|key| format!("the same for a while {key:09}"));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        let numbers = Int64Array::from_iter_values(number.by_ref().take(keys.len()));
        let columns: [(_, ArrayRef); 3] = [
            ("key", Arc::new(Int64Array::from(keys))),
            ("text", texts),
            ("number", Arc::new(numbers)),
        ];
        RecordBatch::try_from_iter(columns)
    };
    keys.into_iter().map(batch).collect()
}

#[test]
fn the_minimum_works_and_one_byte_less_fails_before_the_first_row() {
    let mixed = vec![DataType::Int64, DataType::Utf8, DataType::Decimal128(20, 2)];
    let every_type: Vec<DataType> = all_types().into_iter().filter(is_sortable).collect();
    let shapes = [
        (mixed.clone(), Codec::None, 5000),
        (mixed.clone(), Codec::Lz4, 5000),
        (mixed.clone(), Codec::Zstd { level: 1 }, 5000),
        (mixed, Codec::Zstd { level: 19 }, 2000),
        (vec![DataType::Int32, DataType::Float64], Codec::None, 9000),
        (vec![DataType::Boolean], Codec::Lz4, 9000),
        (vec![DataType::FixedSizeBinary(700), DataType::Int8], Codec::ZSTD, 1500),
        (vec![DataType::Utf8, DataType::LargeBinary, DataType::Utf8], Codec::None, 4000),
        (vec![DataType::Int64; 150], Codec::None, 1000),
        (vec![DataType::Utf8; 60], Codec::ZSTD, 500),
        (every_type, Codec::Lz4, 1500),
        (vec![], Codec::None, 9000),
    ];
    for (types, codec, rows) in shapes {
        let case = SortCase { codec, ..plain(&types, &[rows; 6]) };
        let (input, dirs) = (case.input(), Dirs::new());
        let minimum = minimum_sort_budget(&input.spec, 1).unwrap();
        let what = format!("{} columns, {codec}, {rows} rows: {minimum}", types.len());
        let ledger = MemoryLedger::new(minimum);
        let task = ledger.admit(1, minimum).unwrap().remove(0);
        let sorted = case.sort(&input, &task, &dirs.spill, &ledger);
        let (sorted, progress) = sorted.unwrap_or_else(|error| panic!("{what}: {error}"));
        input.check(&sorted).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        assert!(progress.runs > 1 && progress.write.spills_pressure > 0, "{what}: {progress:?}");
        assert!(ledger.peak_granted() <= minimum, "{what}");
        drop((sorted, task));
        assert_eq!((ledger.granted(), ledger.live()), (0, 0), "{what}");

        let ledger = MemoryLedger::new(minimum - 1);
        assert!(ledger.admit(1, minimum).is_err(), "{what}");
        let task = ledger.admit(1, 0).unwrap().remove(0);
        let error = Sorter::new(&input.spec, &task, &dirs.spill).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{what}: {error}");
        assert_eq!(error.figure(Figure::Requested), Some(minimum), "{what}: {error}");
        assert_eq!(error.figure(Figure::Available), Some(minimum - 1), "{what}: {error}");
        assert_eq!((ledger.granted(), ledger.live()), (0, 0), "{what}");
    }
}

/// A batch that does not fit beside those the caller keeps is given once they are dropped.
#[test]
fn batches_that_are_kept_are_named_and_lose_nothing() {
    let case = SortCase { spill_percent: 100, ..plain(&[DataType::Utf8], &[20_000; 8]) };
    let (input, dirs) = (case.input(), Dirs::new());
    let minimum = minimum_sort_budget(&input.spec, 1).unwrap();
    let ledger = MemoryLedger::new(minimum);
    let task = ledger.admit(1, minimum).unwrap().remove(0);
    let mut sorter = Sorter::new(&input.spec, &task, &dirs.spill).unwrap();
    for batch in &input.batches {
        sorter.write(batch).unwrap();
    }
    let mut sorted = sorter.finish(ChargeMode::Ledger).unwrap();
    let (mut kept, mut copies, mut refused) = (Vec::new(), Vec::new(), 0);
    for next in sorted.by_ref() {
        match next {
            Ok(batch) => {
                copies.push(bywash_tests::sort::copy(&batch));
                kept.push(batch);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::BudgetHeldByCaller, "{error}");
                assert!(!kept.is_empty());
                kept.clear();
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the budget never was too small");
    input.check(&copies).unwrap();
}

/// Kept rows make those in memory go to disk before anybody is refused.
#[test]
fn the_minimum_holds_for_tasks_together() {
    let case = plain(&[DataType::Int64, DataType::Utf8], &[20_000; 4]);
    let (input, dirs) = (case.input(), Dirs::new());
    for tasks in [2, 5] {
        let minimum = minimum_sort_budget(&input.spec, tasks).unwrap();
        let ledger = MemoryLedger::new(minimum);
        let admitted = ledger.admit(tasks, minimum / tasks as u64).unwrap();
        std::thread::scope(|scope| {
            for task in &admitted {
                let (input, dirs) = (&input, &dirs);
                scope.spawn(move || {
                    let mut sorter = Sorter::new(&input.spec, task, &dirs.spill).unwrap();
                    for batch in &input.batches {
                        sorter.write(batch).unwrap();
                    }
                    let sorted = sorter.finish(ChargeMode::Ledger).unwrap();
                    input.check(&read_all(sorted).unwrap()).unwrap();
                });
            }
        });
        assert!(ledger.peak_granted() <= minimum);
    }
}

/// Three inputs, sampled apart, their samples sent as bytes; rows are shuffled by the bounds and each
/// partition is sorted: one after the other they are all rows in order.
#[test]
fn a_sort_over_many_partitions_is_one_sort() {
    let mut case = plain(&[DataType::Int32, DataType::Utf8], &[3000, 1, 0, 2500, 4000, 800]);
    case.by = vec![(1, true, true), (0, false, false)];
    let input = case.input();
    let (spec, dirs, ledger) = (&input.spec, Dirs::new(), MemoryLedger::new(64 << 20));
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let consumer = task.consumer("ranges");

    let sent: Vec<Vec<u8>> = (input.batches.chunks(2).zip(0..))
        .map(|(batches, seed)| {
            let mut sample = RangeSample::try_new(&consumer, 200, seed).unwrap();
            for batch in batches {
                spec.sample(batch, &mut sample).unwrap();
            }
            sample.to_bytes()
        })
        .collect();
    let samples: Vec<RangeSample> =
        sent.iter().map(|bytes| RangeSample::try_from_bytes(&consumer, bytes).unwrap()).collect();
    let bounds = RangeBounds::determine(&consumer, &samples, 12).unwrap().to_bytes();
    let bounds = RangeBounds::try_from_bytes(&consumer, &bounds).unwrap();
    let partitions = bounds.partitions();
    assert!(partitions > 6, "{partitions} partitions");

    let ids = Partitioning::Ids;
    let shuffle = ShuffleSpec::new(Arc::clone(spec.schema()), partitions, ids).unwrap();
    let (map, attempt) = (MapId(0), AttemptId(0));
    let writer = ShuffleWriter::new(&shuffle, &task, &dirs.spill, &dirs.out, map, attempt);
    let mut writer = writer.unwrap();
    for batch in &input.batches {
        let mut ids = vec![u32::MAX; batch.num_rows()];
        spec.partition_ids(&bounds, batch, &mut ids).unwrap();
        writer.write_with_ids(batch, &ids).unwrap();
    }
    let output = writer.finish().unwrap();
    let mut all = Vec::new();
    for partition in 0..partitions {
        let mut sorter = Sorter::new(spec, &task, &dirs.spill).unwrap();
        for batch in output.read(partition, &task, ChargeMode::Ledger).unwrap() {
            sorter.write(&batch.unwrap()).unwrap();
        }
        all.extend(read_all(sorter.finish(ChargeMode::Ledger).unwrap()).unwrap());
    }
    input.check(&all).unwrap();

    // What is not of this sort is refused before it is looked at.
    let other = plain(&[DataType::Date32], &[5]).input();
    let mut sample = RangeSample::try_new(&consumer, 5, 0).unwrap();
    let error = spec.sample(&other.batches[0], &mut sample).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    let error = spec.partition_ids(&bounds, &input.batches[0], &mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

/// Columns of `types` with labels from 0, sorted by the first, at the minimum budget.
fn plain(types: &[DataType], batch_rows: &[usize]) -> SortCase {
    let columns = (0..).zip(types).map(|(label, t)| ColumnPlan::plain(t.clone(), label));
    SortCase {
        plan: Plan {
            seed: run_seed(),
            columns: columns.collect(),
            batch_rows: batch_rows.to_vec(),
            metadata: true,
        },
        by: vec![(0, false, false)],
        codec: Codec::None,
        budget_above_minimum: 0,
        spill_percent: 0,
        reclaim_percent: 0,
        runs_max: 64,
        detached: false,
        into_sink: false,
    }
}
