//! One external sort as plain numbers, against a stable sort of row numbers by what values are.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_buffer::i256;
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, IntervalUnit, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use bywash::{
    ChargeMode, Codec, ErrorKind, MemoryLedger, PartitionSink, Reservation, SortColumn,
    SortProgress, SortSpec, SortedBatches, Sorter, SpillDirs, TaskMemory, minimum_sort_budget,
};

use crate::block_stream::BlockStream;
use crate::dirs::Dirs;
use crate::generate::{ColumnPlan, Plan};
use crate::search::Case;
use crate::seed::Rng;

/// A sort of a random input with random settings.
#[derive(Debug, Clone)]
pub struct SortCase {
    /// The input; a column that counts the rows is added to it.
    pub plan: Plan,
    /// The labels of the columns to sort by, and how.
    pub by: Vec<(u64, bool, bool)>,
    /// The codec of the runs.
    pub codec: Codec,
    /// Bytes of budget above the minimum.
    pub budget_above_minimum: u64,
    /// A forced spill after so many of 100 writes.
    pub spill_percent: u64,
    /// Another thread's reclaim after so many of 100 writes and batches read; and after so many of these another task takes what
    /// is free.
    pub reclaim_percent: u64,
    /// The most runs before some are merged.
    pub runs_max: usize,
    /// Whether batches read stay charged.
    pub detached: bool,
    /// Whether rows go into a sink as blocks instead.
    pub into_sink: bool,
}

/// What all cases together reached.
#[derive(Debug, Default)]
pub struct SortsReached {
    /// Sorts whose rows never left memory.
    pub in_memory: AtomicU64,
    /// Sorts merged in one pass.
    pub single_pass: AtomicU64,
    /// Sorts merged in more.
    pub multi_pass: AtomicU64,
    /// Rows too large to stage.
    pub oversized: AtomicU64,
    /// Sorts spilled while they were read.
    pub spilled_while_read: AtomicU64,
    /// Those whose runs were merged once more while they were read.
    pub merged_while_read: AtomicU64,
    /// Batches that others had left no memory for.
    pub asked_again: AtomicU64,
    /// Sorts sent to a sink.
    pub into_sink: AtomicU64,
}

/// What the cases of this process reached.
pub static REACHED: SortsReached = SortsReached {
    in_memory: AtomicU64::new(0),
    single_pass: AtomicU64::new(0),
    multi_pass: AtomicU64::new(0),
    oversized: AtomicU64::new(0),
    spilled_while_read: AtomicU64::new(0),
    merged_while_read: AtomicU64::new(0),
    asked_again: AtomicU64::new(0),
    into_sink: AtomicU64::new(0),
};

/// Batches to sort, and what they are sorted.
#[derive(Debug)]
pub struct SortInput {
    /// The batches.
    pub batches: Vec<RecordBatch>,
    /// What is sorted how.
    pub spec: SortSpec,
    /// All rows in order.
    pub expected: RecordBatch,
}

impl SortInput {
    /// The naive answer for batches of one schema.
    pub fn new(schema: &SchemaRef, batches: Vec<RecordBatch>, by: &[SortColumn]) -> Self {
        let all = concat_batches(schema, &batches).expect("batches of one schema");
        let mut order: Vec<u64> = (0..all.num_rows() as u64).collect();
        order.sort_by(|one, other| naive_order(&all, by, *one, *other));
        let expected = take_record_batch(&all, &UInt64Array::from(order)).expect("rows");
        let spec = SortSpec::new(Arc::clone(schema), by).expect("a sort");
        Self { batches, spec, expected }
    }

    /// Fails unless these are all the rows, in order.
    ///
    /// # Errors
    /// What differs.
    pub fn check(&self, sorted: &[RecordBatch]) -> Result<(), String> {
        let schema = self.spec.schema();
        for batch in sorted {
            if batch.schema() != *schema || batch.num_rows() == 0 {
                return Err(format!("a batch of {} rows or another schema", batch.num_rows()));
            }
        }
        let sorted = concat_batches(schema, sorted).map_err(|error| error.to_string())?;
        if sorted.num_rows() != self.expected.num_rows() {
            let (found, wanted) = (sorted.num_rows(), self.expected.num_rows());
            return Err(format!("{found} rows instead of {wanted}"));
        }
        for (index, (found, expected)) in
            sorted.columns().iter().zip(self.expected.columns()).enumerate()
        {
            if found.to_data() != expected.to_data() {
                let row = (0..found.len()).find(|row| {
                    found.slice(*row, 1).to_data() != expected.slice(*row, 1).to_data()
                });
                return Err(format!("column {index} differs from row {row:?} on"));
            }
        }
        Ok(())
    }
}

impl SortCase {
    /// The batches and their order.
    pub fn input(&self) -> SortInput {
        let plan_schema = self.plan.schema();
        let mut fields: Vec<_> = plan_schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new("number", DataType::Int64, false)));
        let schema = Arc::new(Schema::new_with_metadata(fields, plan_schema.metadata().clone()));
        let mut next = 0;
        let batches = self.plan.batches().into_iter().map(|batch| {
            let rows = batch.num_rows();
            let end = next + i64::try_from(rows).expect("few rows");
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(next..end));
            next = end;
            let columns = batch.columns().iter().cloned().chain([numbers]).collect();
            let options = RecordBatchOptions::new().with_row_count(Some(rows));
            RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
                .expect("columns of the schema")
        });
        let batches = batches.collect();
        let by: Vec<SortColumn> = self
            .by
            .iter()
            .filter_map(|(label, descending, nulls_last)| {
                let column = self.plan.columns.iter().position(|c| c.label == *label)?;
                Some(SortColumn { column, descending: *descending, nulls_last: *nulls_last })
            })
            .collect();
        let mut input = SortInput::new(&schema, batches, &by);
        input.spec = input.spec.with_codec(self.codec).with_runs_max(self.runs_max);
        input
    }

    /// Sorts, and hands every batch and what was done to `see`.
    ///
    /// # Errors
    /// The library's.
    pub fn sort(
        &self,
        input: &SortInput,
        task: &TaskMemory,
        dirs: &Arc<SpillDirs>,
        ledger: &MemoryLedger,
    ) -> bywash::Result<(Vec<RecordBatch>, SortProgress)> {
        let mut rng = Rng::labelled(self.plan.seed, &[77]);
        let mut sorter = Sorter::new(&input.spec, task, dirs)?;
        let reclaim = |rng: &mut Rng| {
            if rng.chance(self.reclaim_percent) {
                std::thread::scope(|scope| {
                    scope.spawn(|| ledger.reclaim(1 << 40));
                });
            }
        };
        for batch in &input.batches {
            sorter.write(batch)?;
            if rng.chance(self.spill_percent) {
                sorter.spill()?;
            }
            reclaim(&mut rng);
        }
        if self.into_sink {
            return into_sink(sorter, input);
        }
        let mode = if self.detached { ChargeMode::Detached } else { ChargeMode::Ledger };
        let mut sorted = sorter.finish(mode)?;
        let runs_before = sorted.progress().runs;
        let merges_before = sorted.progress().write.run_merges;
        let mut batches = Vec::new();
        let mut other = None;
        for batch in sorted.by_ref() {
            match batch {
                Ok(batch) => batches.push(copy(&batch)),
                // Nothing is lost: it comes when the other gives its memory back.
                Err(error) if error.kind() == ErrorKind::MemoryLimit && other.is_some() => {
                    REACHED.asked_again.fetch_add(1, Relaxed);
                    other = None;
                }
                Err(error) => return Err(error),
            }
            reclaim(&mut rng);
            if rng.chance(self.reclaim_percent) {
                drop(other.take());
                other = Some(take_all_free(ledger)?);
            }
        }
        assert!(sorted.next().is_none(), "the end stays the end");
        let progress = sorted.progress();
        if progress.write.run_merges > merges_before {
            REACHED.merged_while_read.fetch_add(1, Relaxed);
        }
        if progress.runs > runs_before {
            REACHED.spilled_while_read.fetch_add(1, Relaxed);
        }
        Ok((batches, progress))
    }
}

/// What is free, and what no task was promised, taken by another task.
fn take_all_free(ledger: &MemoryLedger) -> bywash::Result<(TaskMemory, Vec<Reservation>)> {
    let task = ledger.admit(1, 0)?.remove(0);
    let consumer = task.consumer("another");
    let mut taken = Vec::new();
    for bytes in (0..40).rev().map(|bits| 1 << bits) {
        while let Ok(more) = consumer.try_reserve(bytes) {
            taken.push(more);
        }
    }
    Ok((task, taken))
}

/// All that a sorter holds, through a sink.
fn into_sink(
    sorter: Sorter,
    input: &SortInput,
) -> bywash::Result<(Vec<RecordBatch>, SortProgress)> {
    let mut batches = Vec::new();
    let mut bytes = 0;
    let canceller = sorter.canceller();
    let schema = Arc::clone(input.spec.schema());
    let mut stream = BlockStream::new(schema, |batch| batches.push(batch))?;
    let (rows, sent) =
        sorter.finish_into(&mut Counting { sink: &mut stream, bytes: &mut bytes })?;
    stream.finish()?;
    let found: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    assert_eq!((rows, sent), (found, bytes), "what it says it sent, and what came");
    REACHED.into_sink.fetch_add(1, Relaxed);
    Ok((batches, canceller.progress()))
}

/// Counts what a sink is sent, all of it partition 0.
struct Counting<'a, S> {
    sink: &'a mut S,
    bytes: &'a mut u64,
}

impl<S: PartitionSink> PartitionSink for Counting<'_, S> {
    fn write(&mut self, partition: u32, bytes: &[u8]) -> bywash::Result<()> {
        assert_eq!(partition, 0, "a sort has one partition");
        *self.bytes += bytes.len() as u64;
        self.sink.write(partition, bytes)
    }
}

/// The same rows in memory of the caller's own.
pub fn copy(batch: &RecordBatch) -> RecordBatch {
    let rows = UInt64Array::from_iter_values(0..batch.num_rows() as u64);
    take_record_batch(batch, &rows).expect("rows of a batch")
}

impl Case for SortCase {
    fn random(rng: &mut Rng, index: u64) -> Self {
        let (columns_max, rows_max) = match index % 20 {
            7 => (2, 200_000),
            3 | 13 => (4, 40_000),
            _ => (8, 5000),
        };
        let mut plan = Plan::random(rng, columns_max, rows_max);
        if index % 10 == 1 {
            // A few values that are larger than a block, or than what is staged.
            let data_type = rng.pick(&[DataType::Utf8, DataType::LargeBinary]).clone();
            plan.columns.push(ColumnPlan {
                value_bytes_max: *rng.pick(&[50_000, 400_000]),
                ..ColumnPlan::plain(data_type, plan.columns.len() as u64)
            });
            plan.batch_rows = (0..rng.within(1, 4)).map(|_| rng.index(300)).collect();
        }
        let sortable = plan.columns.iter().filter(|column| is_sortable(&column.data_type));
        let mut by: Vec<(u64, bool, bool)> =
            sortable.map(|column| (column.label, rng.chance(40), rng.chance(50))).collect();
        by.retain(|_| rng.chance(40));
        if rng.chance(50) {
            by.reverse();
        }
        let codecs = [Codec::None, Codec::None, Codec::Lz4, Codec::Zstd { level: 1 }];
        Self {
            plan,
            by,
            codec: *rng.pick(&codecs),
            budget_above_minimum: *rng.pick(&[0, 0, 0, 1, 100_000, 1 << 20, 8 << 20, 256 << 20]),
            spill_percent: *rng.pick(&[0, 0, 30, 100]),
            reclaim_percent: *rng.pick(&[0, 0, 10, 50]),
            runs_max: *rng.pick(&[2, 3, 5, 10, 64]),
            detached: rng.chance(50),
            into_sink: rng.chance(20),
        }
    }

    fn run(&self) -> Result<(), String> {
        let input = self.input();
        let dirs = Dirs::new();
        let minimum = minimum_sort_budget(&input.spec, 1).expect("a sort");
        // One row in a batch may need more than the minimum.
        let widest: usize = self.plan.columns.iter().map(|column| column.value_bytes_max).sum();
        let above =
            self.budget_above_minimum + if widest > 16 << 10 { 3 * widest as u64 } else { 0 };
        let ledger = MemoryLedger::new(minimum + above);
        let task = ledger.admit(1, minimum).expect("a task").remove(0);
        let sorted = self.sort(&input, &task, &dirs.spill, &ledger);
        let (batches, progress) = sorted.map_err(|error| error.to_string())?;
        input.check(&batches)?;
        drop((batches, task));
        if (ledger.granted(), ledger.live()) != (0, 0) {
            return Err(format!("{} bytes are still granted", ledger.granted()));
        }
        if ledger.peak_granted() > ledger.capacity() {
            return Err("more was granted than the capacity".to_owned());
        }
        if dirs.spill.used_bytes() != 0 || !dirs.spill_files().is_empty() {
            return Err("spill files are left".to_owned());
        }
        let reached = match (progress.runs, progress.passes) {
            (0, _) => &REACHED.in_memory,
            (_, 0 | 1) => &REACHED.single_pass,
            _ => &REACHED.multi_pass,
        };
        reached.fetch_add(1, Relaxed);
        REACHED.oversized.fetch_add(progress.write.spills_oversized_row, Relaxed);
        Ok(())
    }

    fn smaller(&self) -> Vec<Self> {
        let mut cases: Vec<Self> =
            self.plan.smaller().into_iter().map(|plan| Self { plan, ..self.clone() }).collect();
        for drop_at in 0..self.by.len() {
            let mut by = self.by.clone();
            by.remove(drop_at);
            cases.push(Self { by, ..self.clone() });
        }
        let calmer = [
            Self { spill_percent: 0, ..self.clone() },
            Self { reclaim_percent: 0, ..self.clone() },
            Self { codec: Codec::None, ..self.clone() },
            Self { budget_above_minimum: 0, ..self.clone() },
        ];
        let differs = |case: &Self| {
            (case.spill_percent, case.reclaim_percent, case.codec, case.budget_above_minimum)
                != (self.spill_percent, self.reclaim_percent, self.codec, self.budget_above_minimum)
        };
        cases.extend(calmer.into_iter().filter(differs));
        cases
    }
}

/// All that is left of a sort, as batches of the caller's own.
///
/// # Errors
/// The library's.
pub fn read_all(sorted: SortedBatches) -> bywash::Result<Vec<RecordBatch>> {
    sorted.map(|batch| batch.map(|batch| copy(&batch))).collect()
}

/// Whether values of a type have an order.
pub fn is_sortable(data_type: &DataType) -> bool {
    !matches!(data_type, DataType::Interval(IntervalUnit::DayTime | IntervalUnit::MonthDayNano))
}

/// The order of two rows by what their values are.
pub fn naive_order(rows: &RecordBatch, by: &[SortColumn], one: u64, other: u64) -> Ordering {
    let row = |row: u64| usize::try_from(row).expect("a row");
    let (one, other) = (row(one), row(other));
    for column in by {
        let array = rows.column(column.column);
        if *array.data_type() == DataType::Null {
            continue;
        }
        let order = match (array.is_null(one), array.is_null(other)) {
            (true, true) => Ordering::Equal,
            (true, false) if column.nulls_last => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, true) if column.nulls_last => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => {
                let data = array.to_data();
                let order = Value::of(&data, one).order(&Value::of(&data, other));
                if column.descending { order.reverse() } else { order }
            }
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// A value as what it means.
#[derive(Debug)]
enum Value {
    Number(i256),
    Float(f64),
    Bytes(Vec<u8>),
}

impl Value {
    fn of(data: &ArrayData, row: usize) -> Self {
        let at = data.offset() + row;
        let fixed = |width: usize| data.buffers()[0][at * width..(at + 1) * width].to_vec();
        let slice = |start: i64, end: i64| {
            let range =
                usize::try_from(start).expect("sound")..usize::try_from(end).expect("sound");
            data.buffers()[1][range].to_vec()
        };
        match data.data_type() {
            DataType::Boolean => {
                let bit = data.buffers()[0][at / 8] >> (at % 8) & 1;
                Self::Number(i256::from_i128(bit.into()))
            }
            DataType::Utf8 | DataType::Binary => {
                let offsets = data.buffers()[0].typed_data::<i32>();
                Self::Bytes(slice(offsets[at].into(), offsets[at + 1].into()))
            }
            DataType::LargeUtf8 | DataType::LargeBinary => {
                let offsets = data.buffers()[0].typed_data::<i64>();
                Self::Bytes(slice(offsets[at], offsets[at + 1]))
            }
            DataType::FixedSizeBinary(width) => {
                Self::Bytes(fixed(usize::try_from(*width).expect("not negative")))
            }
            DataType::Float16 => {
                let bits = u16::from_le_bytes(fixed(2).try_into().expect("2 bytes"));
                Self::Float(half::f16::from_bits(bits).to_f64())
            }
            DataType::Float32 => {
                Self::Float(f32::from_le_bytes(fixed(4).try_into().expect("4 bytes")).into())
            }
            DataType::Float64 => {
                Self::Float(f64::from_le_bytes(fixed(8).try_into().expect("8 bytes")))
            }
            other => {
                let bytes = fixed(other.primitive_width().expect("a number"));
                let negative =
                    !other.is_unsigned_integer() && bytes.last().is_some_and(|b| *b > 127);
                let mut wide = [if negative { 0xff } else { 0 }; 32];
                wide[..bytes.len()].copy_from_slice(&bytes);
                Self::Number(i256::from_le_bytes(wide))
            }
        }
    }

    /// Not a number is above all numbers, and -0.0 is 0.0.
    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.cmp(other),
            (Self::Bytes(one), Self::Bytes(other)) => one.cmp(other),
            (Self::Float(one), Self::Float(other)) => match one.partial_cmp(other) {
                Some(order) => order,
                None => one.is_nan().cmp(&other.is_nan()),
            },
            _ => Ordering::Equal,
        }
    }
}
