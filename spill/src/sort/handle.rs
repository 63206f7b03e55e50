//! The caller's handles on a sort.

use std::iter::FusedIterator;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bywash_core::block::KeptBlock;
use bywash_core::key::PrefixSpan;
use bywash_core::memory::{ChargeMode, SpillCause, TaskMemory};
use bywash_core::port::PartitionSink;
use bywash_core::{Error, ErrorKind, Result};

use super::engine::{Engine, Stage};
use super::memory::SortMemory;
use super::progress::{CANCELLED, SortCanceller, SortProgress, SortSignals};
use super::read::is_about_memory;
use super::spec::SortSpec;
use crate::handle::{Answers, Handle, Reclaim};
use crate::spill_dirs::SpillDirs;

/// Sorts rows inside a budget: takes batches, spills when the ledger says so, gives them back in order.
///
/// Rows are copied before [`Sorter::write`] returns; no reference to the caller's buffers is kept.
/// Equal rows come back in the order they were written in, whatever the budget. All memory for
/// spilling and merging is reserved when the sorter is made; more, where it is free, makes for fewer
/// passes. Calls block on the disk when they spill. Dropping it, or what it becomes, leaves nothing
/// behind.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow_array::{Int64Array, RecordBatch};
/// use bywash_core::key::SortColumn;
/// use bywash_core::memory::{ChargeMode, MemoryLedger};
/// use bywash_spill::{FsStore, SortSpec, Sorter, SpillDirs, SpillOptions, minimum_sort_budget};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = Int64Array::from(vec![3, 1, 2]);
/// let batch = RecordBatch::try_from_iter([("key", Arc::new(keys) as _)])?;
/// let spec = SortSpec::new(batch.schema(), &[SortColumn::descending(0)])?;
///
/// let ledger = MemoryLedger::new(minimum_sort_budget(&spec, 1)?);
/// let task = ledger.admit(1, minimum_sort_budget(&spec, 1)?)?.remove(0);
/// let spills = [std::env::current_dir()?.join("spills-of-an-example")];
/// let spill_dirs = SpillDirs::open(Arc::new(FsStore::new()), &spills, SpillOptions::default())?;
///
/// let mut sorter = Sorter::new(&spec, &task, &spill_dirs)?;
/// sorter.write(&batch)?;
/// let sorted = sorter.finish(ChargeMode::Ledger)?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(sorted[0].column(0).as_ref(), &Int64Array::from(vec![3, 2, 1]));
/// # drop(spill_dirs);
/// # std::fs::remove_dir_all(&spills[0])?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Sorter {
    handle: Handle<Engine>,
    signals: Arc<SortSignals>,
}

/// The sorted rows, batch by batch.
///
/// While rows that are not given yet are in memory, any thread may make it write them to disk; it goes
/// on from there. Rows on disk are merged through blocks in what memory was free when reading began; when a batch
/// finds none beside them, because others took theirs or the capacity fell, it writes all rows that are left
/// into one run, which needs little. After an error it gives nothing more, but for `BudgetHeldByCaller` and
/// `MemoryLimit`: the rows that there was no room for come when it is asked again.
#[derive(Debug)]
pub struct SortedBatches {
    handle: Handle<Engine>,
    signals: Arc<SortSignals>,
    schema: SchemaRef,
    has_ended: bool,
}

impl Sorter {
    /// Makes a sorter and reserves its working set in `task`.
    ///
    /// # Errors
    /// `MemoryLimit` if the task's share is below [`minimum_sort_budget`](crate::minimum_sort_budget),
    /// or others hold the memory and the task was not promised that much.
    pub fn new(spec: &SortSpec, task: &TaskMemory, spill_dirs: &Arc<SpillDirs>) -> Result<Self> {
        let consumer = task.consumer("sorter");
        let memory =
            SortMemory::try_new(spec, &consumer).map_err(|error| consumer.name_holders(error))?;
        let signals = Arc::new(SortSignals::default());
        let engine = Engine {
            spec: spec.clone(),
            consumer: consumer.clone(),
            memory,
            spill_dirs: Arc::clone(spill_dirs),
            signals: Arc::clone(&signals),
            stage: Stage::Filling,
            mode: ChargeMode::Ledger,
            kept: KeptBlock::default(),
            span: PrefixSpan::default(),
        };
        Ok(Self { handle: Handle::new(engine, consumer), signals })
    }

    /// Takes the rows of a batch of the sort's schema.
    ///
    /// # Errors
    /// `InvalidArgument` for another schema: nothing is taken and the sorter goes on. After
    /// a spill error, offsets that point outside their data or a panic it answers `Poisoned`, after
    /// `Cancelled` that again.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let check = |engine: &Engine| engine.spec.layout().check_batch(batch);
        self.handle.operate_if(check, |engine| engine.write(batch))
    }

    /// Spills what is sorted; returns the bytes given back.
    ///
    /// # Errors
    /// As [`Sorter::write`].
    pub fn spill(&mut self) -> Result<u64> {
        self.handle.operate(|engine| engine.spill(SpillCause::Request))
    }

    /// Sorts what is left and begins to give rows out, in batches charged as `mode` says. With runs on
    /// disk it merges some of them first, if they are more than can be merged at once. Asks for no
    /// memory, but takes what is free.
    ///
    /// # Errors
    /// As [`Sorter::write`]; `InvalidArgument` for [`ChargeMode::Host`] when no host lends the ledger
    /// its memory.
    pub fn finish(self, mode: ChargeMode) -> Result<SortedBatches> {
        let check = |engine: &Engine| engine.consumer.check_charge(mode);
        let schema = self.handle.operate_if(check, |engine| {
            engine.begin_reading(mode)?;
            Ok(Arc::clone(engine.spec.schema()))
        })?;
        Ok(SortedBatches { handle: self.handle, signals: self.signals, schema, has_ended: false })
    }

    /// Sends all rows in order to `sink`, as blocks of partition 0 of the format of map outputs, however
    /// large rows are. Returns how many rows and bytes. Asks for no memory, but takes what is free.
    ///
    /// # Errors
    /// As [`Sorter::write`], and what the sink fails with; part may have been sent then.
    pub fn finish_into(self, sink: &mut dyn PartitionSink) -> Result<(u64, u64)> {
        self.handle.operate(|engine| {
            engine.begin_reading(ChargeMode::Ledger)?;
            engine.write_into(sink)
        })
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> SortProgress {
        self.signals.snapshot()
    }

    pub(super) const fn signals(&self) -> &Arc<SortSignals> {
        &self.signals
    }

    /// Something to cancel this sort with, from any thread and also while it is read.
    pub fn canceller(&self) -> SortCanceller {
        canceller(&self.handle, &self.signals)
    }
}

impl SortedBatches {
    /// The schema of the batches.
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> SortProgress {
        self.signals.snapshot()
    }

    /// Something to cancel this sort with, from any thread.
    pub fn canceller(&self) -> SortCanceller {
        canceller(&self.handle, &self.signals)
    }

    /// Writes what is left in memory to disk and goes on from there; returns the bytes given back.
    ///
    /// # Errors
    /// As [`Sorter::write`].
    pub fn spill(&mut self) -> Result<u64> {
        self.handle.operate(|engine| engine.spill(SpillCause::Request))
    }
}

impl Iterator for SortedBatches {
    type Item = Result<RecordBatch>;

    /// The next rows. `BudgetHeldByCaller` when they do not fit beside batches that the caller keeps:
    /// drop some and ask again. `MemoryLimit` when they do not fit beside what others hold.
    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        // Rows that there was no memory for are not lost: no failure of the sort.
        let next = self.handle.operate(|engine| match engine.next_batch() {
            Err(error) if is_about_memory(&error) => Ok(Err(error)),
            next => next.map(Ok),
        });
        match next {
            Ok(Ok(Some(batch))) => Some(Ok(batch)),
            Ok(Ok(None)) => {
                self.has_ended = true;
                None
            }
            Ok(Err(error)) => Some(Err(error)),
            Err(error) => {
                self.has_ended = true;
                Some(Err(error))
            }
        }
    }
}

impl FusedIterator for SortedBatches {}

fn canceller(handle: &Handle<Engine>, signals: &Arc<SortSignals>) -> SortCanceller {
    SortCanceller { signals: Arc::clone(signals), waits: handle.consumer().canceller() }
}

impl Reclaim for Engine {
    const ANSWERS: Answers = Answers {
        cancelled: CANCELLED,
        poisoned: Error::new(
            ErrorKind::Poisoned,
            "an earlier operation of this sort failed; sort again from the start",
        ),
        finished: Error::new(ErrorKind::InvalidState, "this sort is finished"),
        busy_here: Error::new(
            ErrorKind::InvalidState,
            "this sort is writing or spilling on this very thread; a host's callback cannot use it",
        ),
        panicked: Error::internal("a spill of this sort panicked"),
    };

    /// Gives areas that nothing is in; else spills all that is in memory and not given out.
    fn reclaim(&mut self, bytes: u64) -> Result<()> {
        let pooled = self.drop_pool();
        if pooled > 0 && pooled >= bytes && bytes > 0 {
            self.consumer.take_wanted();
            self.note_reclaimable();
            return Ok(());
        }
        self.spill(SpillCause::Reclaim).map(drop)
    }

    fn answer_reclaim(&mut self) -> Result<()> {
        self.answer_reclaim()
    }
}
