//! Grouped batches against a map of what rows look like.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Float64Type, Int64Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    UInt64Array,
};
use arrow_cast::cast;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bywash::{
    Aggregate, ChargeMode, ColumnCombiner, CombineSpec, ErrorKind, Figure, GroupSpec, MemoryLedger,
};
use bywash_tests::case::admit;
use bywash_tests::dirs::Dirs;
use bywash_tests::generate::{ColumnPlan, Plan, all_types};
use bywash_tests::seed::{Rng, run_seed};

/// Groups all batches in a ledger of `above` bytes over the minimum.
fn group(
    spec: &GroupSpec,
    batches: &[RecordBatch],
    above: u64,
) -> bywash::Result<Vec<RecordBatch>> {
    let dirs = Dirs::new();
    let ledger = MemoryLedger::new(spec.minimum_budget()? + above);
    let task = admit(&ledger, spec.minimum_budget()?).unwrap();
    let mut combiner = ColumnCombiner::new(spec, &task, &dirs.spill)?;
    for batch in batches {
        combiner.write(batch)?;
    }
    let mut groups = Vec::new();
    let mut combined = combiner.finish(ChargeMode::Detached)?;
    for batch in combined.by_ref() {
        groups.push(batch?);
        assert!(ledger.granted() <= ledger.capacity());
    }
    assert!(combined.next().is_none());
    drop(combined);
    assert_eq!((ledger.granted(), ledger.live(), dirs.spill.used_bytes()), (0, 0, 0));
    Ok(groups)
}

fn text(column: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::new().with_null("null");
    // As numbers, for the formatter knows few time zones and no time that is out of range.
    let number = match column.data_type() {
        DataType::Date32 | DataType::Time32(_) => Some(DataType::Int32),
        time if time.is_temporal() && !matches!(time, DataType::Interval(_)) => {
            Some(DataType::Int64)
        }
        _ => None,
    };
    let column = match number {
        Some(number) => cast(&column.slice(row, 1), &number).unwrap(),
        None => column.slice(row, 1),
    };
    let text = ArrayFormatter::try_new(&column, &options).unwrap().value(0).to_string();
    if column.data_type().is_floating() && text.starts_with("-0") && text.parse() == Ok(-0.0) {
        return text[1..].to_owned();
    }
    text
}

fn tiny(spec: GroupSpec) -> GroupSpec {
    spec.with_combine(CombineSpec::new().with_tiny_parts())
}

#[test]
fn every_type_can_be_grouped_by_and_comes_back() {
    for (label, data_type) in (0..).zip(all_types()) {
        let columns = vec![ColumnPlan::plain(data_type.clone(), label)];
        let plan =
            Plan { seed: run_seed(), columns, batch_rows: vec![700, 0, 900], metadata: false };
        let batches = plan.batches();
        // Twice, so that every group has two rows at least.
        let twice = [&batches[..], &batches[..]].concat();
        let spec =
            GroupSpec::new(batches[0].schema(), &[0], &[Aggregate::CountRows, Aggregate::Count(0)]);
        let spec = tiny(spec.unwrap());
        let mut expected = BTreeMap::<String, (i64, i64)>::new();
        for batch in &twice {
            let column = batch.column(0);
            let nulls = column.logical_nulls();
            for row in 0..batch.num_rows() {
                let count = expected.entry(text(column, row)).or_default();
                count.0 += 1;
                count.1 += i64::from(nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)));
            }
        }
        for above in [0, 4 << 20] {
            let mut found = BTreeMap::new();
            for batch in group(&spec, &twice, above).unwrap() {
                assert_eq!(batch.schema().field(0).data_type(), &data_type);
                let count =
                    |at: usize, row: usize| batch.column(at).as_primitive::<Int64Type>().value(row);
                for row in 0..batch.num_rows() {
                    let counts = (count(1, row), count(2, row));
                    let before = found.insert(text(batch.column(0), row), counts);
                    assert!(before.is_none(), "{data_type}: a group twice");
                }
            }
            assert_eq!(found, expected, "{data_type}");
        }
    }
}

#[test]
fn several_columns_with_strings_and_nulls_are_one_key() {
    let types = [DataType::Utf8, DataType::Int32, DataType::LargeBinary, DataType::Boolean];
    let columns = (0..).zip(types).map(|(label, data_type)| ColumnPlan {
        value_bytes_max: 3,
        ..ColumnPlan::plain(data_type, label)
    });
    let plan = Plan {
        seed: run_seed(),
        columns: columns.collect(),
        batch_rows: vec![2000; 3],
        metadata: false,
    };
    let batches = plan.batches();
    let by = [3, 0, 2];
    let spec = tiny(GroupSpec::new(batches[0].schema(), &by, &[Aggregate::CountRows]).unwrap());
    let row_text = |batch: &RecordBatch, columns: &[usize], row: usize| {
        columns.iter().map(|at| text(batch.column(*at), row)).collect::<Vec<_>>()
    };
    let mut expected = BTreeMap::<_, i64>::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            *expected.entry(row_text(batch, &by, row)).or_default() += 1;
        }
    }
    let mut found = BTreeMap::new();
    for batch in group(&spec, &batches, 0).unwrap() {
        for row in 0..batch.num_rows() {
            let count = batch.column(3).as_primitive::<Int64Type>().value(row);
            assert!(found.insert(row_text(&batch, &[0, 1, 2], row), count).is_none());
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn what_comes_out_is_known_before_and_no_name_stands_twice() {
    let metadata = |of: &str| HashMap::from([(of.to_owned(), "x".to_owned())]);
    let keys = Field::new("count", DataType::Int64, false).with_metadata(metadata("field"));
    let fields = vec![keys, Field::new("sum(count)", DataType::Int64, false)];
    let schema = Arc::new(Schema::new(fields).with_metadata(metadata("schema")));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1, 1])), Arc::new(Int64Array::from(vec![2, 2]))];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    let aggregates = [Aggregate::Sum(0), Aggregate::Sum(0), Aggregate::CountRows];
    let spec = GroupSpec::new(Arc::clone(&schema), &[0, 1], &aggregates).unwrap();
    let names: Vec<_> = spec.output_schema().fields().iter().map(|field| field.name()).collect();
    assert_eq!(names, ["count", "sum(count)", "sum(count)_2", "sum(count)_3", "count_2"]);
    assert_eq!(spec.output_schema().field(0).metadata(), schema.field(0).metadata());
    assert!(spec.output_schema().metadata().is_empty());
    let found = group(&spec, &[batch], 0).unwrap();
    assert_eq!(&found[0].schema(), spec.output_schema());
}

fn numbers(rows: usize, distinct: u64) -> (SchemaRef, RecordBatch) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, false),
        Field::new("i", DataType::Int64, true),
        Field::new("f", DataType::Float64, true),
        Field::new("d", DataType::Decimal128(20, 2), true),
        Field::new("u", DataType::UInt64, true),
    ]));
    let mut rng = Rng::new(run_seed());
    let keys: Int64Array = (0..rows).map(|_| Some(rng.below(distinct).cast_signed())).collect();
    let integers: Int64Array =
        (0..rows).map(|_| (!rng.chance(30)).then(|| rng.bits().cast_signed())).collect();
    // Whole numbers, so that sums are exact in any order.
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let floats: Float64Array =
        (0..rows).map(|_| (!rng.chance(30)).then(|| rng.below(1 << 20) as f64 - 1e5)).collect();
    let decimals: Decimal128Array = (0..rows)
        .map(|_| (!rng.chance(30)).then(|| i128::from(rng.bits().cast_signed())))
        .collect();
    let decimals = decimals.with_precision_and_scale(20, 2).unwrap();
    let unsigned: UInt64Array = (0..rows).map(|_| (!rng.chance(30)).then(|| rng.bits())).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(keys),
        Arc::new(integers),
        Arc::new(floats),
        Arc::new(decimals),
        Arc::new(unsigned),
    ];
    (Arc::clone(&schema), RecordBatch::try_new(schema, columns).unwrap())
}

#[test]
fn sums_and_extremes_are_exact_and_skip_nulls() {
    let (schema, batch) = numbers(20_000, 5_000);
    let mut aggregates = Vec::new();
    for column in 1..5 {
        aggregates.extend([Aggregate::Sum(column), Aggregate::Min(column), Aggregate::Max(column)]);
    }
    let spec = GroupSpec::new(schema, &[0], &aggregates).unwrap();
    let keys = batch.column(0).as_primitive::<Int64Type>();
    let mut rows = BTreeMap::<i64, Vec<usize>>::new();
    keys.values().iter().enumerate().for_each(|(row, key)| rows.entry(*key).or_default().push(row));
    let i = batch.column(1).as_primitive::<Int64Type>();
    let f = batch.column(2).as_primitive::<Float64Type>();
    let d = batch.column(3).as_primitive::<Decimal128Type>();
    let u = batch.column(4).as_primitive::<UInt64Type>();
    for (spec, above) in [(tiny(spec.clone()), 0), (spec.clone(), 0), (spec, 64 << 20)] {
        let mut groups = 0;
        for found in group(&spec, std::slice::from_ref(&batch), above).unwrap() {
            groups += found.num_rows();
            for at in 0..found.num_rows() {
                let rows = &rows[&found.column(0).as_primitive::<Int64Type>().value(at)];
                let whole = |column: usize| {
                    let column = found.column(column).as_primitive::<Decimal128Type>();
                    column.is_valid(at).then(|| column.value(at))
                };
                let integers: Vec<i64> =
                    rows.iter().filter(|r| i.is_valid(**r)).map(|r| i.value(*r)).collect();
                let sum = integers.iter().map(|v| i128::from(*v)).reduce(|a, b| a + b);
                assert_eq!(whole(1), sum);
                let value = |column: usize| {
                    let column = found.column(column).as_primitive::<Int64Type>();
                    column.is_valid(at).then(|| column.value(at))
                };
                assert_eq!(value(2), integers.iter().min().copied());
                assert_eq!(value(3), integers.iter().max().copied());
                let floats: Vec<f64> =
                    rows.iter().filter(|r| f.is_valid(**r)).map(|r| f.value(*r)).collect();
                let value = |column: usize| {
                    let column = found.column(column).as_primitive::<Float64Type>();
                    column.is_valid(at).then(|| column.value(at))
                };
                assert_eq!(value(4), floats.iter().copied().reduce(|a, b| a + b));
                assert_eq!(value(5), floats.iter().copied().reduce(f64::min));
                assert_eq!(value(6), floats.iter().copied().reduce(f64::max));
                let decimals: Vec<i128> =
                    rows.iter().filter(|r| d.is_valid(**r)).map(|r| d.value(*r)).collect();
                assert_eq!(whole(7), decimals.iter().copied().reduce(|a, b| a + b));
                assert_eq!(whole(8), decimals.iter().min().copied());
                assert_eq!(whole(9), decimals.iter().max().copied());
                let unsigned: Vec<u64> =
                    rows.iter().filter(|r| u.is_valid(**r)).map(|r| u.value(*r)).collect();
                assert_eq!(whole(10), unsigned.iter().map(|v| i128::from(*v)).reduce(|a, b| a + b));
                let value = |column: usize| {
                    let column = found.column(column).as_primitive::<UInt64Type>();
                    column.is_valid(at).then(|| column.value(at))
                };
                assert_eq!(value(11), unsigned.iter().min().copied());
                assert_eq!(value(12), unsigned.iter().max().copied());
            }
        }
        assert_eq!(groups, rows.len());
    }
}

#[test]
fn floats_group_and_order_as_sql_says() {
    let schema = Arc::new(Schema::new(vec![Field::new("f", DataType::Float64, true)]));
    let values = [Some(0.0), Some(-0.0), Some(f64::NAN), Some(-f64::NAN), None, Some(1.0), None];
    let column: ArrayRef = Arc::new(Float64Array::from(values.to_vec()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
    let spec = GroupSpec::new(Arc::clone(&schema), &[0], &[Aggregate::CountRows]).unwrap();
    let groups = group(&spec, std::slice::from_ref(&batch), 0).unwrap();
    let mut counts = BTreeMap::new();
    for row in 0..groups[0].num_rows() {
        counts.insert(text(groups[0].column(0), row), text(groups[0].column(1), row));
    }
    let expected = [("0.0", "2"), ("1.0", "1"), ("NaN", "2"), ("null", "2")];
    assert_eq!(counts, expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into());
    // All rows are one group; NaN is the greatest value.
    let spec = GroupSpec::new(schema, &[], &[Aggregate::Min(0), Aggregate::Max(0)]).unwrap();
    let groups = group(&spec, &[batch], 0).unwrap();
    assert_eq!(
        (text(groups[0].column(0), 0), text(groups[0].column(1), 0)),
        ("0.0".into(), "NaN".into())
    );
    assert!(group(&spec, &[], 0).unwrap().is_empty(), "no rows, no group");
}

#[test]
fn a_sum_that_does_not_fit_is_an_error_and_never_wraps() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("x", DataType::Int64, true),
        Field::new("d", DataType::Decimal128(38, 0), false),
    ]));
    let most = 10i128.pow(38) - 1;
    let batch = |values: &[i128]| {
        let values =
            Decimal128Array::from(values.to_vec()).with_precision_and_scale(38, 0).unwrap();
        let others = Int64Array::from(vec![None; values.len()]);
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(others), Arc::new(values)]).unwrap()
    };
    let spec = GroupSpec::new(Arc::clone(&schema), &[], &[Aggregate::Sum(1)]).unwrap();
    let groups = group(&spec, &[batch(&[most, -most, most])], 0).unwrap();
    assert_eq!(groups[0].column(0).as_primitive::<Decimal128Type>().value(0), most);
    for values in [&[most, 1][..], &[most, most], &[-most, -1]] {
        let error = group(&spec, &[batch(values)], 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("38 digits; sum smaller groups"), "{error}");
        assert_eq!(error.figure(Figure::Column), Some(1), "the column of the input");
    }
    // Integers cannot overflow it.
    let schema = Arc::new(Schema::new(vec![Field::new("i", DataType::Int64, false)]));
    let spec = GroupSpec::new(Arc::clone(&schema), &[], &[Aggregate::Sum(0)]).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX; 1000]));
    let batch = RecordBatch::try_new(schema, vec![column]).unwrap();
    let groups = group(&spec, &[batch], 0).unwrap();
    let sum = groups[0].column(0).as_primitive::<Decimal128Type>().value(0);
    assert_eq!(sum, i128::from(i64::MAX) * 1000);
}

#[test]
fn what_cannot_be_grouped_is_refused_when_it_is_said() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("s", DataType::Utf8, true),
        Field::new("l", DataType::new_list(DataType::Int8, true), true),
    ]));
    let text = Arc::new(Schema::new(vec![Field::new("s", DataType::Utf8, true)]));
    for (schema, by, aggregate, kind, says) in [
        (&text, 1, Aggregate::CountRows, ErrorKind::InvalidArgument, "column 1"),
        (&text, 0, Aggregate::Sum(0), ErrorKind::Unsupported, "s Utf8"),
        (&text, 0, Aggregate::Min(0), ErrorKind::Unsupported, "s Utf8"),
        (&text, 0, Aggregate::Max(7), ErrorKind::InvalidArgument, "column 7"),
        (&schema, 0, Aggregate::CountRows, ErrorKind::Unsupported, "l List"),
    ] {
        let error = GroupSpec::new(Arc::clone(schema), &[by], &[aggregate]).unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(says), "{error}");
    }
    // Another schema is refused, and the combiner goes on.
    let spec = GroupSpec::new(Arc::clone(&text), &[0], &[Aggregate::CountRows]).unwrap();
    let dirs = Dirs::new();
    let ledger = MemoryLedger::new(spec.minimum_budget().unwrap());
    let task = admit(&ledger, ledger.capacity()).unwrap();
    let mut combiner = ColumnCombiner::new(&spec, &task, &dirs.spill).unwrap();
    let wrong: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let wrong = RecordBatch::try_from_iter([("s", wrong)]).unwrap();
    assert_eq!(combiner.write(&wrong).unwrap_err().kind(), ErrorKind::InvalidArgument);
    let right: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
    let right = RecordBatch::try_new(text, vec![right]).unwrap();
    combiner.write(&right).unwrap();
    let rows: usize =
        combiner.finish(ChargeMode::Ledger).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 2);
    // One byte below the minimum it is not made.
    let below = MemoryLedger::new(spec.minimum_budget().unwrap() - 1);
    let task = admit(&below, 0).unwrap();
    let error = ColumnCombiner::new(&spec, &task, &dirs.spill).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemoryLimit);
}
