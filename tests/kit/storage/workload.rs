//! A small shuffle, of batches or of records, whose rows can be told from their numbers.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use bywash::{
    AttemptId, ChargeMode, Codec, Error, MapId, MapOutput, MemoryLedger, OutputDir, Partitioning,
    RecordOutput, RecordSpec, RecordWriter, Result, ShuffleSpec, ShuffleWriter, TaskMemory,
    minimum_budget,
};

use super::ground::Opened;
use crate::records::RecordCall;

/// What is written, and what must come back.
#[derive(Debug)]
pub struct Workload {
    name: &'static str,
    spec: ShuffleSpec,
    /// For records, which have no schema.
    records: Option<RecordSpec>,
    steps: Vec<Step>,
    /// The numbers of each partition's rows, in order.
    expected: Vec<Vec<i64>>,
    budget: u64,
    /// Storage operations are few enough for each of them to be tried in a CI run.
    pub small: bool,
}

#[derive(Debug)]
enum Step {
    Write(RecordBatch, Vec<u32>),
    Take(RecordCall),
    Spill,
}

/// What an attempt committed.
#[derive(Debug)]
pub enum Output {
    /// Of batches.
    Columns(MapOutput),
    /// Of records.
    Records(RecordOutput),
}

impl Output {
    /// The attempt that committed it.
    pub fn attempt(&self) -> AttemptId {
        match self {
            Self::Columns(output) => output.attempt(),
            Self::Records(output) => output.attempt(),
        }
    }

    /// The name of its data file.
    pub fn data_file_name(&self) -> &str {
        match self {
            Self::Columns(output) => output.data_file_name(),
            Self::Records(output) => output.data_file_name(),
        }
    }

    fn total_rows(&self) -> u64 {
        match self {
            Self::Columns(output) => output.total_rows(),
            Self::Records(output) => output.total_rows(),
        }
    }

    fn rows(&self, partition: u32) -> u64 {
        match self {
            Self::Columns(output) => output.rows(partition),
            Self::Records(output) => output.rows(partition),
        }
    }
}

/// One attempt at a map, with its own ledger of the least budget.
#[derive(Debug)]
pub struct Attempt {
    ledger: MemoryLedger,
    task: TaskMemory,
}

impl Workload {
    /// One run and a little memory: for trouble with the commit.
    pub fn tiny() -> Self {
        let mut rows = Rows::new("tiny", 2, Codec::None);
        rows.write(&[LONG_BYTES]);
        rows.write(&[SHORT; 30]);
        rows.finish(true)
    }

    /// Spills of every cause but a merge, an oversized row between short ones, and memory that is
    /// never spilled.
    pub fn several() -> Self {
        let mut rows = Rows::new("several", 3, Codec::None);
        rows.write(&MANY);
        rows.spill();
        rows.write(&MANY);
        rows.spill();
        rows.write(&MANY);
        rows.write(&MANY);
        rows.write(&[SHORT, SHORT, LONG_BYTES, SHORT]);
        rows.write(&MANY);
        rows.write(&[SHORT; 20]);
        rows.finish(true)
    }

    /// More runs than a writer keeps, so that they are merged, and some after that.
    pub fn merging() -> Self {
        let mut rows = Rows::new("merging", 3, Codec::Lz4);
        for _ in 0..36 {
            rows.write(&[SHORT, SHORT, SHORT, SHORT, OVERSIZED_BYTES]);
            rows.spill();
        }
        rows.write(&[SHORT; 20]);
        rows.finish(false)
    }

    /// A budget that needs no spill: chunks pile up in memory, and are there to be reclaimed.
    pub fn roomy() -> Self {
        let mut rows = Rows::new("roomy", 3, Codec::None);
        for _ in 0..5 {
            rows.write(&MANY);
        }
        let mut workload = rows.finish(true);
        workload.budget += 512 << 10;
        workload
    }

    /// Records, with spills of every cause but a merge.
    pub fn records() -> Self {
        let mut rows = Rows::new("records", 3, Codec::None).into_records();
        rows.write(&[SHORT; 30]);
        rows.spill();
        rows.write(&[SHORT, LONG_BYTES, SHORT]);
        rows.write(&[THIRD_BYTES; 4]);
        rows.write(&[SHORT; 20]);
        rows.finish(true)
    }

    /// Records in more runs than a writer keeps.
    pub fn many_records() -> Self {
        let mut rows = Rows::new("many-records", 3, Codec::Lz4).into_records();
        for _ in 0..36 {
            rows.write(&[SHORT, SHORT, LONG_BYTES]);
            rows.spill();
        }
        rows.write(&[SHORT; 20]);
        rows.finish(false)
    }

    /// All at the least budget.
    pub fn all() -> [Self; 5] {
        [Self::tiny(), Self::several(), Self::merging(), Self::records(), Self::many_records()]
    }

    /// The one of that name.
    pub fn of_name(name: &str) -> Self {
        let found = Self::all().into_iter().find(|one| one.name == name);
        found.expect("a workload's name")
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How its rows are shuffled.
    pub const fn spec(&self) -> &ShuffleSpec {
        &self.spec
    }

    /// Rows in all.
    pub fn rows(&self) -> usize {
        self.expected.iter().map(Vec::len).sum()
    }

    /// Memory for one attempt: exactly the minimum.
    pub fn attempt(&self) -> Attempt {
        let ledger = MemoryLedger::new(self.budget);
        let admitted = ledger.admit(1, self.budget).expect("the minimum");
        let task = admitted.into_iter().next().expect("one task");
        Attempt { ledger, task }
    }

    /// Writes everything and finishes.
    pub fn write(&self, attempt: &Attempt, dirs: &Opened, number: u64) -> Result<Output> {
        let Some(spec) = &self.records else {
            let mut writer = self.writer(attempt, dirs, number)?;
            self.write_rows(&mut writer)?;
            return writer.finish().map(Output::Columns);
        };
        let (spill, out) = (&dirs.spill, &dirs.out);
        let attempt = (&attempt.task, AttemptId(number));
        let mut writer = RecordWriter::new(spec, attempt.0, spill, out, MAP, attempt.1)?;
        for step in &self.steps {
            match step {
                Step::Write(..) => return Err(OF_RECORDS),
                Step::Take(call) => call.write(&mut writer)?,
                Step::Spill => drop(writer.spill()?),
            }
        }
        writer.finish().map(Output::Records)
    }

    /// Opens what an attempt has committed.
    pub fn open(&self, out: &Arc<OutputDir>, task: &TaskMemory) -> Result<Output> {
        if self.records.is_some() {
            RecordOutput::open(out, MAP, task).map(Output::Records)
        } else {
            MapOutput::open(out, MAP, task).map(Output::Columns)
        }
    }

    /// A writer for one attempt; not of records.
    pub fn writer(&self, attempt: &Attempt, dirs: &Opened, number: u64) -> Result<ShuffleWriter> {
        let (spill, out) = (&dirs.spill, &dirs.out);
        ShuffleWriter::new(&self.spec, &attempt.task, spill, out, MAP, AttemptId(number))
    }

    /// Writes everything, but does not finish.
    pub fn write_rows(&self, writer: &mut ShuffleWriter) -> Result<()> {
        for step in &self.steps {
            match step {
                Step::Write(batch, ids) => writer.write_with_ids(batch, ids)?,
                Step::Take(_) => return Err(OF_RECORDS),
                Step::Spill => drop(writer.spill()?),
            }
        }
        Ok(())
    }

    /// Reads an output and compares it with what was written.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, output: &Output) -> Result<(), String> {
        let ledger = MemoryLedger::unlimited();
        let task = ledger.admit(1, 0).map_err(text)?.swap_remove(0);
        if output.total_rows() != self.rows() as u64 {
            return Err(format!("{} rows of {}", output.total_rows(), self.rows()));
        }
        for (partition, expected) in (0..).zip(&self.expected) {
            let numbers = match output {
                Output::Columns(output) => numbers_of_rows(output, partition, &task)?,
                Output::Records(output) => numbers_of_records(output, partition, &task)?,
            };
            if numbers != *expected || output.rows(partition) != expected.len() as u64 {
                return Err(format!("the rows of partition {partition} are not those written"));
            }
        }
        Ok(())
    }
}

fn numbers_of_rows(
    output: &MapOutput,
    partition: u32,
    task: &TaskMemory,
) -> Result<Vec<i64>, String> {
    let mut numbers = Vec::new();
    for batch in output.read(partition, task, ChargeMode::Detached).map_err(text)? {
        let batch = batch.map_err(text)?;
        let payloads = batch.column(1).as_string::<i32>();
        let values = batch.column(0).as_primitive::<Int64Type>().values();
        for (row, &number) in values.iter().enumerate() {
            if !is_payload(payloads.value(row), number) {
                return Err(format!("row {number} has another row's payload"));
            }
            numbers.push(number);
        }
    }
    Ok(numbers)
}

fn numbers_of_records(
    output: &RecordOutput,
    partition: u32,
    task: &TaskMemory,
) -> Result<Vec<i64>, String> {
    let mut numbers = Vec::new();
    for records in output.read(partition, task, ChargeMode::Detached).map_err(text)? {
        for record in records.map_err(text)?.iter() {
            let (number, payload) = record.split_first_chunk().ok_or("a short record")?;
            let number = i64::from_le_bytes(*number);
            if !is_payload(str::from_utf8(payload).map_err(text)?, number) {
                return Err(format!("record {number} has another one's payload"));
            }
            numbers.push(number);
        }
    }
    Ok(numbers)
}

impl Attempt {
    /// The task's memory.
    pub const fn task(&self) -> &TaskMemory {
        &self.task
    }

    /// The account it is in.
    pub const fn ledger(&self) -> &MemoryLedger {
        &self.ledger
    }

    /// Ends the task.
    ///
    /// # Errors
    /// When the ledger does not come back to exactly zero.
    pub fn end(self) -> Result<(), String> {
        let Self { ledger, task } = self;
        drop(task);
        match (ledger.granted(), ledger.live()) {
            (0, 0) => Ok(()),
            (granted, live) => Err(format!("{granted} bytes granted and {live} live at the end")),
        }
    }
}

/// Rows as they are made up.
struct Rows {
    name: &'static str,
    schema: Arc<Schema>,
    codec: Codec,
    records: bool,
    steps: Vec<Step>,
    expected: Vec<Vec<i64>>,
    next: i64,
}

impl Rows {
    fn new(name: &'static str, partitions: usize, codec: Codec) -> Self {
        let schema = Arc::new(Schema::new(vec![
            Field::new("number", DataType::Int64, false),
            Field::new("payload", DataType::Utf8, false),
        ]));
        Self {
            name,
            schema,
            codec,
            records: false,
            steps: Vec::new(),
            expected: vec![Vec::new(); partitions],
            next: 0,
        }
    }

    const fn into_records(mut self) -> Self {
        self.records = true;
        self
    }

    /// A batch of rows whose payloads have these lengths.
    fn write(&mut self, lengths: &[usize]) {
        let mut ids = Vec::with_capacity(lengths.len());
        let numbers: Vec<i64> = (self.next..).take(lengths.len()).collect();
        let payloads: Vec<String> =
            numbers.iter().zip(lengths).map(|(number, len)| payload(*number, *len)).collect();
        for &number in &numbers {
            let partitions = u64::try_from(self.expected.len()).expect("few");
            let mixed = number.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let id = mixed % partitions;
            ids.push(u32::try_from(id).expect("few"));
            self.expected[usize::try_from(id).expect("few")].push(number);
        }
        self.next += i64::try_from(numbers.len()).expect("few");
        if self.records {
            let record = |(number, payload): (&i64, &String)| {
                [&number.to_le_bytes()[..], payload.as_bytes()].concat()
            };
            let records: Vec<Vec<u8>> = numbers.iter().zip(&payloads).map(record).collect();
            let records = ids.iter().copied().zip(records.iter().map(Vec::as_slice));
            self.steps.push(Step::Take(RecordCall::of(records)));
            return;
        }
        let payloads: StringArray = payloads.into_iter().map(Some).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(numbers)), Arc::new(payloads)];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("a batch");
        self.steps.push(Step::Write(batch, ids));
    }

    fn spill(&mut self) {
        self.steps.push(Step::Spill);
    }

    fn finish(self, small: bool) -> Workload {
        let partitions = u32::try_from(self.expected.len()).expect("few");
        let spec = ShuffleSpec::new(self.schema, partitions, Partitioning::Ids);
        let spec = spec.expect("a spec").with_codec(self.codec);
        let records = self.records.then(|| {
            let spec = RecordSpec::new(partitions).expect("a spec");
            spec.with_codec(self.codec)
        });
        let budget = match &records {
            Some(spec) => spec.minimum_budget(1),
            None => minimum_budget(&spec, 1),
        };
        Workload {
            name: self.name,
            budget: budget.expect("a budget"),
            spec,
            records,
            steps: self.steps,
            expected: self.expected,
            small,
        }
    }
}

/// Two bytes that change from row to row, repeated.
fn payload(number: i64, len: usize) -> String {
    pattern(number).chars().cycle().take(len).collect()
}

fn is_payload(text: &str, number: i64) -> bool {
    let pattern = pattern(number);
    let mut parts = text.as_bytes().chunks(pattern.len());
    !text.is_empty() && parts.all(|part| pattern.as_bytes().starts_with(part))
}

fn pattern(number: i64) -> String {
    format!("<{number}>")
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// The map that all attempts are at.
pub(super) const MAP: MapId = MapId(7);

/// Bytes of an ordinary row's payload.
const SHORT: usize = 9;
/// More rows than the smallest writer stages.
static MANY: [usize; 2500] = [SHORT; 2500];
/// Above what the smallest writer stages.
const OVERSIZED_BYTES: usize = 80 << 10;
/// Several writes and blocks; more than the smallest arena of records.
const LONG_BYTES: usize = 300 << 10;
/// More than a third of the smallest arena.
const THIRD_BYTES: usize = 90 << 10;
const OF_RECORDS: Error = Error::invalid("this workload is written another way");
