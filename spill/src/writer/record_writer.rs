//! The caller's handle on a writer of records.

use std::sync::Arc;

use bywash_core::memory::TaskMemory;
use bywash_core::port::PartitionSink;
use bywash_core::record::RecordInput;
use bywash_core::{AttemptId, MapId, Result};

use super::engine::{Engine, Signals};
use super::handle::{Canceller, Handle};
use super::progress::WriteProgress;
use super::push::PushedOutput;
use super::records::RecordRows;
use crate::map_output::RecordOutput;
use crate::output_dir::OutputDir;
use crate::record_spec::RecordSpec;
use crate::spill_dirs::SpillDirs;

/// Writes one map output of opaque records: takes many a call, spills when the ledger says so or a
/// threshold is reached, commits at the end.
///
/// A record is any bytes, also none, up to 4 GiB - 1; each goes to the partition that its caller says.
/// Records are copied before [`RecordWriter::write`] returns, and within a partition keep the order they
/// were written in, whatever the budget. All memory for spilling and finishing is reserved when the
/// writer is made. Calls block on the disk when they spill. Dropping an unfinished writer leaves nothing
/// behind.
///
/// ```
/// use std::sync::Arc;
///
/// use bywash_core::memory::{ChargeMode, MemoryLedger};
/// use bywash_core::{AttemptId, MapId};
/// use bywash_spill::{
///     FsStore, OutputDir, OutputOptions, RecordSpec, RecordWriter, SpillDirs, SpillOptions, Store,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let spec = RecordSpec::new(4)?;
/// let ledger = MemoryLedger::new(spec.minimum_budget(1)?);
/// let task = ledger.admit(1, spec.minimum_budget(1)?)?.remove(0);
/// let work = std::env::current_dir()?.join("records-of-an-example");
/// let store: Arc<dyn Store> = Arc::new(FsStore::new());
/// let spills = [work.join("spills")];
/// let spill_dirs = SpillDirs::open(store.clone(), &spills, SpillOptions::default())?;
/// let out = OutputDir::open(store, &work.join("out"), OutputOptions::default())?;
///
/// let mut writer = RecordWriter::new(&spec, &task, &spill_dirs, &out, MapId(0), AttemptId(0))?;
/// // Three records of one buffer: where each begins, how long it is, and where it goes.
/// writer.write(b"onetwothree", &[0, 3, 6], &[3, 3, 5], &[2, 0, 2])?;
/// let output = writer.finish()?;
///
/// let mut found = Vec::new();
/// for records in output.read(2, &task, ChargeMode::Ledger)? {
///     found.extend(records?.iter().map(<[u8]>::to_vec));
/// }
/// assert_eq!(found, [b"one".to_vec(), b"three".to_vec()]);
/// # drop((out, spill_dirs));
/// # std::fs::remove_dir_all(&work)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct RecordWriter {
    handle: Handle<RecordRows>,
}

impl RecordWriter {
    /// Makes a writer and reserves its working set in `task`.
    ///
    /// # Errors
    /// `MemoryLimit` if the task's share is below [`RecordSpec::minimum_budget`], or others
    /// hold the memory and the task was not promised that much; `InvalidState` for an output directory
    /// that was opened for reading.
    pub fn new(
        spec: &RecordSpec,
        task: &TaskMemory,
        spill_dirs: &Arc<SpillDirs>,
        out: &Arc<OutputDir>,
        map: MapId,
        attempt: AttemptId,
    ) -> Result<Self> {
        let handle = Handle::make(spec, task, spill_dirs, Some(out), map, attempt)?;
        Ok(Self { handle })
    }

    /// Makes a writer that will [`RecordWriter::finish_into`] a sink. `map` and `attempt` are only
    /// handed on.
    ///
    /// # Errors
    /// As [`RecordWriter::new`].
    pub fn for_sink(
        spec: &RecordSpec,
        task: &TaskMemory,
        spill_dirs: &Arc<SpillDirs>,
        map: MapId,
        attempt: AttemptId,
    ) -> Result<Self> {
        Ok(Self { handle: Handle::make(spec, task, spill_dirs, None, map, attempt)? })
    }

    /// Takes records: the `i`-th is `lengths[i]` bytes of `base` from `offsets[i]` on, for partition
    /// `partitions[i]`. Records may overlap or leave gaps; those that follow one another in `base` are
    /// copied fastest.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the record, for lists of different lengths, a record that does not lie
    /// in `base` or a partition that does not exist: nothing of this call is taken and the writer goes
    /// on. After a spill error or a panic it answers `Poisoned`, after `Cancelled` that again. A spill that
    /// another thread, or another writer's need of memory, asked for and that failed or panicked is
    /// reported here first.
    pub fn write(
        &mut self,
        base: &[u8],
        offsets: &[u64],
        lengths: &[u32],
        partitions: &[u32],
    ) -> Result<()> {
        let input = RecordInput { base, offsets, lengths, partitions };
        self.handle.operate(|engine| engine.check_records(&input), |engine| engine.take(&input))
    }

    /// Spills all records in memory; returns the bytes given back.
    ///
    /// # Errors
    /// As [`RecordWriter::write`].
    pub fn spill(&mut self) -> Result<u64> {
        self.handle.spill()
    }

    /// Merges everything and commits the map output; if another attempt of this map has committed
    /// before, its output is returned and this one leaves nothing. Asks for no memory.
    ///
    /// # Errors
    /// As [`RecordWriter::write`]; nothing is visible then, unless what failed is the sync of the
    /// directory after the commit, or giving the index its name in a way that cannot be looked up:
    /// then the output may be there, whole, and the next attempt returns it.
    pub fn finish(self) -> Result<RecordOutput> {
        self.handle.close(Engine::finish).map(RecordOutput::of_slot)
    }

    /// Merges everything and sends each partition's segment to `sink`, in ascending order; nothing
    /// is committed here. Asks for no memory. Also for a writer with an output directory.
    ///
    /// # Errors
    /// As [`RecordWriter::write`], and what the sink fails with; part may have been sent then.
    pub fn finish_into(self, sink: &mut dyn PartitionSink) -> Result<PushedOutput> {
        self.handle.close(|engine| engine.finish_into(sink))
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> WriteProgress {
        self.handle.progress()
    }

    /// Something to cancel this writer with, from any thread and also during
    /// [`RecordWriter::finish`].
    pub fn canceller(&self) -> Canceller {
        self.handle.canceller()
    }

    pub(super) fn signals(&self) -> &Arc<Signals> {
        self.handle.signals()
    }
}
