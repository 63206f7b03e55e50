//! Our writer of records, into files and through a sink.

use std::sync::Arc;

use bywash::{
    AttemptId, ChargeMode, FsStore, MapId, MemoryLedger, OutputDir, OutputOptions, PartitionSink,
    RecordOutput, RecordSpec, RecordWriter, SpillDirs, SpillOptions, Store, TaskMemory,
};

use super::input::{Digest, Input};
use super::outcome::Outcome;
use super::place::{Place, fetch_memory};
use crate::clock::Clock;
use crate::failure::Result;
use crate::rounds::{Rival, Run};

#[derive(Debug)]
pub(crate) struct Bywash<'a> {
    input: &'a Input,
    place: &'a Place,
    spec: RecordSpec,
    target: Target,
    outcome: Outcome,
}

/// Where the output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Data and index in a directory.
    Files,
    /// A sink that counts what it is given; runs go to files.
    Sink,
}

impl<'a> Bywash<'a> {
    pub(crate) fn try_new(input: &'a Input, place: &'a Place, target: Target) -> Result<Self> {
        Ok(Self {
            input,
            place,
            spec: RecordSpec::new(place.partitions)?,
            target,
            outcome: Outcome::default(),
        })
    }
}

impl Rival for Bywash<'_> {
    fn name(&self) -> String {
        match self.target {
            Target::Files => "Bywash, files".into(),
            Target::Sink => "Bywash, sink".into(),
        }
    }

    fn note(&self) -> String {
        self.outcome.to_string()
    }

    fn run(&mut self) -> Result<Run> {
        let dir = tempfile::tempdir_in(&self.place.dir)?;
        let store: Arc<dyn Store> = Arc::new(FsStore::new());
        let paths = [dir.path().to_owned()];
        let spill = SpillDirs::open(Arc::clone(&store), &paths, SpillOptions::default())?;
        let out = OutputDir::open(store, dir.path(), OutputOptions::default())?;
        let ledger = self.place.ledger();
        let tasks = ledger.admit(1, self.spec.minimum_budget(1)?)?;
        let task = tasks.first().ok_or("no task was admitted")?;
        let mut sink = CountingSink::default();

        fetch_memory()?;
        let clock = Clock::start();
        let writer = RecordWriter::new(&self.spec, task, &spill, &out, MapId(0), AttemptId(0))?;
        let writer = write(self.input, writer)?;
        let progress = writer.canceller();
        let output = match self.target {
            Target::Files => Some(writer.finish()?),
            Target::Sink => {
                writer.finish_into(&mut sink)?;
                None
            }
        };
        let time = clock.elapsed();

        let bytes = output.as_ref().map_or(sink.bytes, RecordOutput::total_bytes);
        let spilled = progress.progress().spilled_bytes;
        self.outcome.run(time, bytes, spilled, || match &output {
            Some(output) => read_back(output),
            None => {
                // What a sink gets are the bytes of the file.
                let ledger = self.place.ledger();
                let tasks = ledger.admit(1, self.spec.minimum_budget(1)?)?;
                let task = tasks.first().ok_or("no task was admitted")?;
                let writer =
                    RecordWriter::new(&self.spec, task, &spill, &out, MapId(0), AttemptId(0))?;
                let output = write(self.input, writer)?.finish()?;
                if output.total_bytes() != bytes {
                    return Err("a sink was sent other bytes than a file".into());
                }
                read_back(&output)
            }
        })
    }
}

fn write(input: &Input, mut writer: RecordWriter) -> Result<RecordWriter> {
    for call in input.calls() {
        writer.write(call.base, call.offsets, call.lengths, call.partitions)?;
    }
    Ok(writer)
}

fn read_back(output: &RecordOutput) -> Result<u64> {
    let tasks = MemoryLedger::unlimited().admit(1, 0)?;
    let task: &TaskMemory = tasks.first().ok_or("no task was admitted")?;
    let mut digest = Digest::default();
    for partition in 0..output.partitions() {
        for block in output.read(partition, task, ChargeMode::Ledger)? {
            block?.iter().for_each(|record| digest.add(record));
        }
        digest.end_partition();
    }
    Ok(digest.value())
}

#[derive(Debug, Default)]
struct CountingSink {
    bytes: u64,
}

impl PartitionSink for CountingSink {
    fn write(&mut self, _partition: u32, bytes: &[u8]) -> bywash::Result<()> {
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}
