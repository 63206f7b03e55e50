//! The caller's handle on a writer of batches.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bywash_core::memory::TaskMemory;
use bywash_core::port::PartitionSink;
use bywash_core::{AttemptId, MapId, Result};

use super::columns::Columns;
use super::engine::{Engine, Signals};
use super::handle::{Canceller, Handle};
use super::progress::WriteProgress;
use super::push::PushedOutput;
use crate::map_output::MapOutput;
use crate::output_dir::OutputDir;
use crate::spec::ShuffleSpec;
use crate::spill_dirs::SpillDirs;

/// Writes one map output: takes batches, spills when the ledger says so, commits at the end.
///
/// Rows are copied before [`ShuffleWriter::write`] returns; no reference to the caller's buffers is
/// kept. Within a partition rows keep the order they were written in, whatever the budget. All
/// memory for spilling and finishing is reserved when the writer is made. Calls block on the disk
/// when they spill. Dropping an unfinished writer leaves nothing behind.
#[derive(Debug)]
pub struct ShuffleWriter {
    handle: Handle<Columns>,
}

impl ShuffleWriter {
    /// Makes a writer and reserves its working set in `task`.
    ///
    /// # Errors
    /// `MemoryLimit` if the task's share is below [`minimum_budget`](crate::minimum_budget), or others
    /// hold the memory and the task was not promised that much; `InvalidState` for an output directory
    /// that was opened for reading.
    pub fn new(
        spec: &ShuffleSpec,
        task: &TaskMemory,
        spill_dirs: &Arc<SpillDirs>,
        out: &Arc<OutputDir>,
        map: MapId,
        attempt: AttemptId,
    ) -> Result<Self> {
        let handle = Handle::make(spec, task, spill_dirs, Some(out), map, attempt)?;
        Ok(Self { handle })
    }

    /// Makes a writer that will [`ShuffleWriter::finish_into`] a sink. `map` and `attempt` are only
    /// handed on.
    ///
    /// # Errors
    /// As [`ShuffleWriter::new`].
    pub fn for_sink(
        spec: &ShuffleSpec,
        task: &TaskMemory,
        spill_dirs: &Arc<SpillDirs>,
        map: MapId,
        attempt: AttemptId,
    ) -> Result<Self> {
        Ok(Self { handle: Handle::make(spec, task, spill_dirs, None, map, attempt)? })
    }

    /// Takes the rows of a batch of the writer's schema.
    ///
    /// # Errors
    /// `InvalidArgument` for another schema: nothing is taken and the writer goes on. After
    /// a spill error, offsets that point outside their data or a panic it answers `Poisoned`, after
    /// `Cancelled` that again. A spill that another thread, or another writer's need of memory, asked for and
    /// that failed or panicked is reported here first.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.write_rows(batch, None)
    }

    /// As [`ShuffleWriter::write`], with a partition id for each row.
    ///
    /// # Errors
    /// As [`ShuffleWriter::write`]; `InvalidArgument` also for ids out of range.
    pub fn write_with_ids(&mut self, batch: &RecordBatch, ids: &[u32]) -> Result<()> {
        self.write_rows(batch, Some(ids))
    }

    /// Whether it still takes rows.
    ///
    /// # Errors
    /// What [`ShuffleWriter::write`] would answer for any rows.
    pub fn check_open(&mut self) -> Result<()> {
        self.handle.operate(|_| Ok(()), |engine| engine.shared.check_cancelled())
    }

    /// Spills what is sorted; returns the bytes given back.
    ///
    /// # Errors
    /// As [`ShuffleWriter::write`].
    pub fn spill(&mut self) -> Result<u64> {
        self.handle.spill()
    }

    /// Merges everything and commits the map output; if another attempt of this map has committed
    /// before, its output is returned and this one leaves nothing. Asks for no memory.
    ///
    /// # Errors
    /// As [`ShuffleWriter::write`]; nothing is visible then, unless what failed is the sync of the
    /// directory after the commit, or giving the index its name in a way that cannot be looked up:
    /// then the output may be there, whole, and the next attempt returns it.
    pub fn finish(self) -> Result<MapOutput> {
        self.handle.close(Engine::finish).map(MapOutput::of_slot)
    }

    /// Merges everything and sends each partition's segment to `sink`, in ascending order; nothing
    /// is committed here. Asks for no memory. Also for a writer with an output directory.
    ///
    /// # Errors
    /// As [`ShuffleWriter::write`], and what the sink fails with; part may have been sent then.
    pub fn finish_into(self, sink: &mut dyn PartitionSink) -> Result<PushedOutput> {
        self.handle.close(|engine| engine.finish_into(sink))
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> WriteProgress {
        self.handle.progress()
    }

    /// Something to cancel this writer with, from any thread and also during
    /// [`ShuffleWriter::finish`].
    pub fn canceller(&self) -> Canceller {
        self.handle.canceller()
    }

    pub(super) fn signals(&self) -> &Arc<Signals> {
        self.handle.signals()
    }

    fn write_rows(&self, batch: &RecordBatch, ids: Option<&[u32]>) -> Result<()> {
        self.handle.operate(|engine| engine.check(batch, ids), |engine| engine.write(batch, ids))
    }
}
