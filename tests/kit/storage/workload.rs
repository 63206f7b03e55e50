//! A small shuffle, of batches or of records, or a small sort or combine, whose rows can be told from
//! their numbers.

mod engine;
mod rows;

use std::sync::Arc;

use arrow_array::RecordBatch;
use bywash::{
    AttemptId, ChargeMode, Codec, CombineSpec, Error, MapId, MapOutput, MemoryLedger, OutputDir,
    RecordOutput, RecordWriter, Result, ShuffleSpec, ShuffleWriter, TaskMemory,
};

use self::engine::Engine;
use self::rows::Rows;
use super::ground::Opened;
use crate::records::RecordCall;

/// What is written, and what must come back.
#[derive(Debug)]
pub struct Workload {
    name: &'static str,
    spec: ShuffleSpec,
    engine: Engine,
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

/// What came of an attempt.
#[derive(Debug)]
pub enum Output {
    /// Of batches.
    Columns(MapOutput),
    /// Of records.
    Records(RecordOutput),
    /// Of a sort, or of each group of a combine: rows as records, read already and in no file.
    Rows(AttemptId, Vec<Vec<Vec<u8>>>),
}

impl Output {
    /// The attempt that made it.
    pub fn attempt(&self) -> AttemptId {
        match self {
            Self::Columns(output) => output.attempt(),
            Self::Records(output) => output.attempt(),
            Self::Rows(attempt, _) => *attempt,
        }
    }

    /// The name of its data file; empty if there is none.
    pub fn data_file_name(&self) -> &str {
        match self {
            Self::Columns(output) => output.data_file_name(),
            Self::Records(output) => output.data_file_name(),
            Self::Rows(..) => "",
        }
    }

    fn total_rows(&self) -> u64 {
        match self {
            Self::Columns(output) => output.total_rows(),
            Self::Records(output) => output.total_rows(),
            Self::Rows(_, parts) => parts.iter().map(|rows| rows.len() as u64).sum(),
        }
    }

    fn rows(&self, partition: u32) -> u64 {
        match self {
            Self::Columns(output) => output.rows(partition),
            Self::Records(output) => output.rows(partition),
            Self::Rows(_, parts) => parts.get(partition as usize).map_or(0, |p| p.len() as u64),
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

    /// A sort in several passes into a sink: spills that were asked for, and for want of memory, and
    /// a row larger than a block.
    pub fn sorted() -> Self {
        let mut rows = Rows::new("sorted", 1, Codec::None).into_sort(true);
        for _ in 0..4 {
            rows.write(&[SHORT; 300]);
            rows.spill();
        }
        rows.write(&[SHORT, LONG_BYTES, SHORT]);
        for _ in 0..3 {
            rows.write(&MANY);
        }
        rows.finish(false)
    }

    /// A sort that is in memory when it is finished, and spilled while its batches are read.
    pub fn sorted_late() -> Self {
        let mut rows = Rows::new("sorted-late", 1, Codec::Lz4).into_sort(false);
        for _ in 0..3 {
            rows.write(&MANY);
        }
        let mut workload = rows.finish(false);
        workload.budget += 1 << 20;
        workload
    }

    /// A combine of groups that hashes take apart, with more spills than a combiner keeps.
    pub fn combined() -> Self {
        let spec = CombineSpec::new().with_tiny_parts();
        let mut rows = Rows::new("combined", 900, Codec::None).into_combine(spec);
        for _ in 0..66 {
            rows.write(&[SHORT; 6]);
            rows.spill();
        }
        rows.write(&[SHORT; 1400]);
        rows.finish(false)
    }

    /// A combine of groups that no hash takes apart, so that they are sorted by key.
    pub fn combined_by_key() -> Self {
        let spec = CombineSpec::new().with_tiny_parts().with_constant_hash();
        let mut rows = Rows::new("combined-by-key", 300, Codec::Lz4).into_combine(spec);
        for _ in 0..3 {
            rows.write(&[SHORT; 300]);
            rows.spill();
        }
        rows.write(&[SHORT; 100]);
        rows.finish(false)
    }

    /// A combine that is in memory when it is finished, and spilled while its groups are read.
    pub fn combined_late() -> Self {
        let spec = CombineSpec::new().with_tiny_parts();
        let mut rows = Rows::new("combined-late", 400, Codec::None).into_combine(spec);
        rows.write(&[SHORT; 1000]);
        let mut workload = rows.finish(false);
        workload.budget += 512 << 10;
        workload
    }

    /// All but the roomy one.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.into_iter().map(|(_, make)| make())
    }

    /// The one of that name; no other is made, for each of many processes asks for one.
    pub fn of_name(name: &str) -> Self {
        let found = ALL.into_iter().find(|(known, _)| *known == name);
        let (_, make) = found.expect("a workload's name");
        make()
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How its rows are shuffled.
    pub const fn spec(&self) -> &ShuffleSpec {
        &self.spec
    }

    /// Whether an attempt commits an output; sorts and combines give their rows to the caller.
    pub const fn commits(&self) -> bool {
        matches!(self.engine, Engine::Columns | Engine::Records(_))
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
        let id = AttemptId(number);
        match &self.engine {
            Engine::Columns => {
                let mut writer = self.writer(attempt, dirs, number)?;
                self.write_rows(&mut writer)?;
                writer.finish().map(Output::Columns)
            }
            Engine::Records(spec) => {
                let (task, spill, out) = (&attempt.task, &dirs.spill, &dirs.out);
                let mut writer = RecordWriter::new(spec, task, spill, out, MAP, id)?;
                for step in &self.steps {
                    match step {
                        Step::Write(..) => return Err(OTHERWISE),
                        Step::Take(call) => call.write(&mut writer)?,
                        Step::Spill => drop(writer.spill()?),
                    }
                }
                writer.finish().map(Output::Records)
            }
            Engine::Sort { spec, into_sink } => {
                let rows = engine::sort(spec, *into_sink, &self.steps, attempt, dirs)?;
                Ok(Output::Rows(id, vec![rows]))
            }
            Engine::Combine(spec) => {
                let mut groups = vec![Vec::new(); self.expected.len()];
                engine::combine(spec, &self.steps, attempt, dirs, &mut groups)?;
                Ok(Output::Rows(id, groups))
            }
        }
    }

    /// Opens what an attempt has committed.
    pub fn open(&self, out: &Arc<OutputDir>, task: &TaskMemory) -> Result<Output> {
        match self.engine {
            Engine::Columns => MapOutput::open(out, MAP, task).map(Output::Columns),
            Engine::Records(_) => RecordOutput::open(out, MAP, task).map(Output::Records),
            Engine::Sort { .. } | Engine::Combine(_) => Err(OTHERWISE),
        }
    }

    /// A writer for one attempt; of batches only.
    pub fn writer(&self, attempt: &Attempt, dirs: &Opened, number: u64) -> Result<ShuffleWriter> {
        let (spill, out) = (&dirs.spill, &dirs.out);
        ShuffleWriter::new(&self.spec, &attempt.task, spill, out, MAP, AttemptId(number))
    }

    /// Writes everything, but does not finish.
    pub fn write_rows(&self, writer: &mut ShuffleWriter) -> Result<()> {
        for step in &self.steps {
            match step {
                Step::Write(batch, ids) => writer.write_with_ids(batch, ids)?,
                Step::Take(_) => return Err(OTHERWISE),
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
            let records = match output {
                Output::Columns(output) => read_rows(output, partition, &task),
                Output::Records(output) => read_records(output, partition, &task),
                Output::Rows(_, parts) => Ok(parts[partition as usize].clone()),
            };
            let records = records.map_err(text)?;
            let numbers = records.iter().map(|record| rows::number_of(record));
            let Some(mut numbers) = numbers.collect::<Option<Vec<i64>>>() else {
                return Err(format!("a row of partition {partition} has another one's payload"));
            };
            if let Engine::Combine(_) = self.engine {
                // Values of a group come in no order.
                numbers.sort_unstable();
            }
            if numbers != *expected || output.rows(partition) != expected.len() as u64 {
                return Err(format!("the rows of partition {partition} are not those written"));
            }
        }
        Ok(())
    }
}

fn read_rows(output: &MapOutput, partition: u32, task: &TaskMemory) -> Result<Vec<Vec<u8>>> {
    let mut records = Vec::new();
    for batch in output.read(partition, task, ChargeMode::Detached)? {
        records.extend(rows::records_of(&batch?));
    }
    Ok(records)
}

fn read_records(output: &RecordOutput, partition: u32, task: &TaskMemory) -> Result<Vec<Vec<u8>>> {
    let mut records = Vec::new();
    for block in output.read(partition, task, ChargeMode::Detached)? {
        records.extend(block?.iter().map(<[u8]>::to_vec));
    }
    Ok(records)
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

type Make = fn() -> Workload;

/// Shuffles at the least budget, then sorts and combines, by their names.
const ALL: [(&str, Make); 10] = [
    ("tiny", Workload::tiny),
    ("several", Workload::several),
    ("merging", Workload::merging),
    ("records", Workload::records),
    ("many-records", Workload::many_records),
    ("sorted", Workload::sorted),
    ("sorted-late", Workload::sorted_late),
    ("combined", Workload::combined),
    ("combined-by-key", Workload::combined_by_key),
    ("combined-late", Workload::combined_late),
];

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
fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

const OTHERWISE: Error = Error::invalid("this workload is written another way");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name() {
        for (name, make) in ALL {
            assert_eq!(make().name(), name);
        }
    }
}
