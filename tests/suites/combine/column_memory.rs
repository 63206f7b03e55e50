//! Groups of columns in exactly the memory that was promised, and beside what the caller keeps.

use std::sync::Arc;

use arrow_array::builder::FixedSizeBinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bywash::{
    Aggregate, ChargeMode, ColumnCombiner, ErrorKind, Figure, GroupBatches, GroupSpec,
    MemoryLedger, SortColumn, SortSpec, Sorter, minimum_sort_budget,
};
use bywash_tests::case::admit;
use bywash_tests::dirs::Dirs;

/// A combiner that took `batches` in `above` bytes more than its minimum.
fn filled(
    spec: &GroupSpec,
    batches: &[RecordBatch],
    above: u64,
    dirs: &Dirs,
) -> (MemoryLedger, ColumnCombiner) {
    let minimum = spec.minimum_budget().unwrap();
    let ledger = MemoryLedger::new(minimum + above);
    let task = admit(&ledger, minimum).unwrap();
    let mut combiner = ColumnCombiner::new(spec, &task, &dirs.spill).unwrap();
    for batch in batches {
        combiner.write(batch).unwrap();
    }
    (ledger, combiner)
}

/// The sum of the last column, a count of rows.
fn rows(batch: &RecordBatch) -> i64 {
    batch.columns().last().unwrap().as_primitive::<Int64Type>().values().iter().sum()
}

#[test]
fn many_columns_and_aggregates_are_made_in_every_budget_from_the_minimum() {
    let columns = 150;
    let fields = (0..columns).map(|at| Field::new(format!("c{at}"), DataType::Int64, false));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let each =
        |at| [Aggregate::Sum(at), Aggregate::Min(at), Aggregate::Max(at), Aggregate::Count(at)];
    let aggregates: Vec<_> = (1..columns).flat_map(each).chain([Aggregate::CountRows]).collect();
    let spec = GroupSpec::new(Arc::clone(&schema), &[0], &aggregates).unwrap();
    let column: ArrayRef = Arc::new((0..50).map(Some).collect::<Int64Array>());
    let batch = RecordBatch::try_new(schema, vec![column; columns]).unwrap();
    let dirs = Dirs::new();
    for mib in [0, 4, 8, 16, 24, 48, 64, 128] {
        let (ledger, combiner) = filled(&spec, std::slice::from_ref(&batch), mib << 20, &dirs);
        let groups = combiner.finish(ChargeMode::Detached).unwrap();
        assert_eq!(groups.map(|batch| rows(&batch.unwrap())).sum::<i64>(), 50, "{mib} MiB above");
        assert!(ledger.peak_granted() <= ledger.capacity());
    }
    let below = MemoryLedger::new(spec.minimum_budget().unwrap() - 1);
    let task = admit(&below, 0).unwrap();
    let error = ColumnCombiner::new(&spec, &task, &dirs.spill).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemoryLimit);
    assert_eq!(error.figure(Figure::Requested), Some(spec.minimum_budget().unwrap()));
    assert_eq!(below.granted(), 0);
}

/// By a number and a value of `width` bytes, null but for each `valid`th row.
fn wide_values(width: i32, count: i64, valid: i64) -> (GroupSpec, RecordBatch) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, false),
        Field::new("wide", DataType::FixedSizeBinary(width), true),
    ]));
    let mut wide = FixedSizeBinaryBuilder::new(width);
    for row in 0..count {
        if row % valid == valid - 1 {
            wide.append_value(vec![7; usize::try_from(width).unwrap()]).unwrap();
        } else {
            wide.append_null();
        }
    }
    let columns: Vec<ArrayRef> =
        vec![Arc::new((0..count).map(Some).collect::<Int64Array>()), Arc::new(wide.finish())];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    (GroupSpec::new(schema, &[0, 1], &[Aggregate::CountRows]).unwrap(), batch)
}

#[test]
fn nulls_that_are_wider_in_a_batch_than_in_a_key_fit() {
    let dirs = Dirs::new();
    for (width, above, valid) in [
        (256, 0, i64::MAX),
        (256, 0, 3),
        (1024, 1 << 20, i64::MAX),
        (4096, 4 << 20, i64::MAX),
        (4096, 0, 100),
        (30_000, 0, i64::MAX),
    ] {
        let (spec, batch) = wide_values(width, 20_000, valid);
        let batches: Vec<_> = (0..20).map(|part| batch.slice(part * 1000, 1000)).collect();
        let (ledger, combiner) = filled(&spec, &batches, above, &dirs);
        let mut found = 0;
        for batch in combiner.finish(ChargeMode::Detached).unwrap() {
            let batch = batch.unwrap();
            let nulls = batch.column(1).null_count();
            let keys = batch.column(0).as_primitive::<Int64Type>();
            let valid = keys.values().iter().filter(|key| **key % valid == valid - 1).count();
            assert_eq!(nulls + valid, batch.num_rows());
            found += rows(&batch);
        }
        assert_eq!(found, 20_000, "{width} bytes, {above} above");
        assert!(ledger.peak_granted() <= ledger.capacity());
        assert_eq!(ledger.granted(), 0);
    }
}

/// Reads all, keeping batches until there is no memory for more.
fn read_keeping(groups: &mut GroupBatches) -> (i64, usize) {
    let (mut kept, mut found, mut refused) = (Vec::new(), 0, 0);
    loop {
        match groups.next() {
            Some(Ok(batch)) => {
                found += rows(&batch);
                kept.push(batch);
            }
            Some(Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::BudgetHeldByCaller, "{error}");
                assert!(error.figure(Figure::Held).unwrap() > 0);
                assert!(!kept.is_empty(), "one batch fits");
                kept.clear();
                refused += 1;
            }
            None => return (found, refused),
        }
    }
}

#[test]
fn what_does_not_fit_beside_kept_batches_comes_when_they_are_gone() {
    let dirs = Dirs::new();
    for (width, valid) in [(8, i64::MAX), (8, 1), (256, 2)] {
        let (spec, batch) = wide_values(width, 60_000, valid);
        for above in [0, 1 << 20] {
            let (ledger, combiner) = filled(&spec, std::slice::from_ref(&batch), above, &dirs);
            let mut groups = combiner.finish(ChargeMode::Ledger).unwrap();
            let (found, refused) = read_keeping(&mut groups);
            assert_eq!(found, 60_000);
            assert!(refused > 0, "{width} {above}: the caller held too much at least once");
            assert!(groups.next().is_none(), "the end stays the end");
            drop(groups);
            assert_eq!(ledger.granted(), 0);
        }
    }
}

#[test]
fn nobody_can_charge_a_host_that_is_not_there() {
    let dirs = Dirs::new();
    let (spec, batch) = wide_values(8, 10, 2);
    let (ledger, combiner) = filled(&spec, std::slice::from_ref(&batch), 0, &dirs);
    let error = combiner.finish(ChargeMode::Host).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(ledger.granted(), 0);

    let spec = SortSpec::new(batch.schema(), &[SortColumn::ascending(0)]).unwrap();
    let ledger = MemoryLedger::new(minimum_sort_budget(&spec, 1).unwrap());
    let task = admit(&ledger, 0).unwrap();
    let mut sorter = Sorter::new(&spec, &task, &dirs.spill).unwrap();
    sorter.write(&batch).unwrap();
    let error = sorter.finish(ChargeMode::Host).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(ledger.granted(), 0);
}
