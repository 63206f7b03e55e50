//! Sorts of rows about as large as a block, and of many columns: merged from runs, in exactly the memory
//! that a sort needs at least.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use bywash::{
    ChargeMode, Codec, Error, MemoryLedger, PartitionSink, Result, SortColumn, SortSpec, Sorter,
    minimum_sort_budget,
};
use bywash_tests::dirs::Dirs;

/// A sorter at the minimum that spilled after each batch.
fn spilled(spec: &SortSpec, batches: &[RecordBatch], dirs: &Dirs) -> (MemoryLedger, Sorter) {
    let minimum = minimum_sort_budget(spec, 1).unwrap();
    let ledger = MemoryLedger::new(minimum);
    let task = ledger.admit(1, minimum).unwrap().remove(0);
    let mut sorter = Sorter::new(spec, &task, &dirs.spill).unwrap();
    for batch in batches {
        sorter.write(batch).unwrap();
        sorter.spill().unwrap();
    }
    (ledger, sorter)
}

fn strings(value: &str, rows: usize) -> RecordBatch {
    let values: ArrayRef = Arc::new(StringArray::from(vec![Some(value); rows]));
    RecordBatch::try_from_iter_with_nullable([("value", values, true)]).unwrap()
}

/// Fails when more comes than went in: rows that are read again and again never end.
struct Bounded {
    left: usize,
}

impl PartitionSink for Bounded {
    fn write(&mut self, _partition: u32, bytes: &[u8]) -> Result<()> {
        self.left = self
            .left
            .checked_sub(bytes.len())
            .ok_or(const { Error::invalid("more was sent than went in") })?;
        Ok(())
    }
}

/// A row that is above a block's size in a chunk, and not when encoded, is no chain in a run.
#[test]
fn rows_between_a_block_and_a_chain_are_merged_once() {
    // The least block has 32 KiB.
    for len in (32 << 10) - 16..=(32 << 10) + 1 {
        let value = "x".repeat(len);
        // More than is staged at once: what is only staged is not spilled.
        let batches = [strings(&value, 6), strings("y", 6), strings(&value, 6), strings(&value, 6)];
        let spec = SortSpec::new(batches[0].schema(), &[SortColumn::ascending(0)]).unwrap();
        let dirs = Dirs::new();
        let (_ledger, sorter) = spilled(&spec, &batches, &dirs);
        assert!(sorter.progress().runs > 1, "{len}");
        let (rows, _) = sorter.finish_into(&mut Bounded { left: 40 * len }).unwrap();
        assert_eq!(rows, 24, "{len}");
    }
}

#[test]
fn many_columns_are_sorted_in_the_least_memory() {
    for columns in [300, 3000] {
        let fields = (0..columns).map(|at| Field::new(format!("c{at}"), DataType::Int64, true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let column: ArrayRef = Arc::new((0..40).map(Some).collect::<Int64Array>());
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column; columns]).unwrap();
        let spec = SortSpec::new(schema, &[SortColumn::descending(0)]).unwrap();
        let dirs = Dirs::new();
        let (_ledger, sorter) = spilled(&spec, &[batch.clone(), batch.clone(), batch], &dirs);
        let sorted = sorter.finish(ChargeMode::Ledger).unwrap();
        assert_eq!(sorted.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 120, "{columns}");
    }
}

/// Slots for many runs leave room for the largest row.
#[test]
fn a_large_row_comes_back_beside_many_runs() {
    let dirs = Dirs::new();
    let batch = strings("short", 20_000);
    let spec = SortSpec::new(batch.schema(), &[SortColumn::ascending(0)]).unwrap();
    let ledger = MemoryLedger::new(8 << 20);
    let task = ledger.admit(1, minimum_sort_budget(&spec, 1).unwrap()).unwrap().remove(0);
    let mut sorter = Sorter::new(&spec, &task, &dirs.spill).unwrap();
    for _ in 0..300 {
        sorter.write(&batch).unwrap();
        sorter.spill().unwrap();
    }
    sorter.write(&strings(&"a".repeat(1 << 20), 1)).unwrap();
    let sorted = sorter.finish(ChargeMode::Ledger).unwrap();
    assert!(sorted.progress().fan_in > 100, "slots took what was free");
    assert_eq!(sorted.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 6_000_001);
}

#[test]
fn what_is_spilled_while_it_is_read_was_merged_from_a_run() {
    let dirs = Dirs::new();
    let batch = strings("short", 50_000);
    let spec = SortSpec::new(batch.schema(), &[SortColumn::ascending(0)]).unwrap();
    let ledger = MemoryLedger::new(64 << 20);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let mut sorter = Sorter::new(&spec, &task, &dirs.spill).unwrap();
    sorter.write(&batch).unwrap();
    let mut sorted = sorter.finish(ChargeMode::Ledger).unwrap();
    drop(sorted.next().unwrap().unwrap());
    assert_eq!((sorted.progress().passes, sorted.progress().fan_in), (0, 0));
    assert!(sorted.spill().unwrap() > 0);
    assert_eq!((sorted.progress().passes, sorted.progress().fan_in), (1, 1));
}

/// A short list of runs is full again and again: what is large already is left alone.
#[test]
fn runs_are_written_anew_a_logarithmic_number_of_times() {
    let dirs = Dirs::new();
    let batch = strings("some twenty bytes of text", 12_000);
    let spec = SortSpec::new(batch.schema(), &[SortColumn::ascending(0)]).unwrap();
    let spec = spec.with_codec(Codec::None).with_runs_max(8);
    let ledger = MemoryLedger::new(16 << 20);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let mut sorter = Sorter::new(&spec, &task, &dirs.spill).unwrap();
    let mut runs = 0;
    while runs < 150 {
        sorter.write(&batch).unwrap();
        sorter.spill().unwrap();
        runs = sorter.progress().runs;
    }
    let before = sorter.progress().write.bytes;
    let sorted = sorter.finish(ChargeMode::Ledger).unwrap();
    let progress = sorted.progress();
    // Each time the list is full all of it: 12 times the bytes.
    let times = progress.write.spilled_bytes / before;
    assert!(times <= 5, "{times} times the bytes: {progress:?}");
}
