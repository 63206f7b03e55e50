//! The caller's handles on a combiner.

use std::fmt;
use std::sync::Arc;

use bywash_core::combine::Merge;
use bywash_core::memory::{SpillCause, TaskMemory, WaitCanceller};
use bywash_core::{Error, ErrorKind, Result};

use super::batch::{BatchBuffer, CombinedBatch};
use super::engine::{Engine, Phase, Values};
use super::progress::{CANCELLED, CombineProgress, Signals};
use super::records::KeyValues;
use super::spec::CombineSpec;
use super::working_set::{Beside, WorkingSet};
use crate::handle::{Answers, Handle, Reclaim};
use crate::spill_dirs::SpillDirs;

/// Combines records with equal keys by a merge function; spills when the ledger says so.
///
/// Records are copied before a call returns. Keys are bytes and compared as such. All memory for
/// spilling and finishing is reserved when the combiner is made. Calls block on the disk when they
/// spill. An error, or a panic of the merge function, ends it: what was combined is given up and
/// every later call says so. Dropping one leaves nothing behind.
///
/// ```
/// use std::sync::Arc;
///
/// use bywash_core::combine::Count;
/// use bywash_core::memory::MemoryLedger;
/// use bywash_spill::{
///     CombineSpec, Combiner, FsStore, KeyValues, Slices, SpillDirs, SpillOptions,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let spec = CombineSpec::new();
/// let ledger = MemoryLedger::new(spec.minimum_budget(&Count)?);
/// let task = ledger.admit(1, spec.minimum_budget(&Count)?)?.remove(0);
/// let spills = [std::env::current_dir()?.join("combine-of-an-example")];
/// let spill_dirs = SpillDirs::open(Arc::new(FsStore::new()), &spills, SpillOptions::default())?;
///
/// let mut combiner = Combiner::new(&spec, Count, &task, &spill_dirs)?;
/// let words: [&[u8]; 3] = [b"a", b"b", b"a"];
/// let nothing = Slices::Fixed { bytes: &[], width: 0 };
/// combiner.write(&KeyValues::try_new(Slices::Each(&words), nothing)?)?;
///
/// let mut counts = Vec::new();
/// combiner.finish()?.drain_into(|groups| {
///     counts.extend(groups.iter().map(|(key, count)| (key.to_vec(), count.to_vec())));
///     Ok(())
/// })?;
/// counts.sort();
/// let count = |of: u64| of.to_le_bytes().to_vec();
/// assert_eq!(counts, [(b"a".to_vec(), count(2)), (b"b".to_vec(), count(1))]);
/// # drop(spill_dirs);
/// # std::fs::remove_dir_all(&spills[0])?;
/// # Ok(())
/// # }
/// ```
pub struct Combiner<M: Merge + Send + 'static> {
    handle: Handle<Engine<M>>,
    signals: Arc<Signals>,
    batch: BatchBuffer,
}

/// The groups of a finished [`Combiner`], each key once, in no order that means anything; the same
/// for the same input, seed and memory.
///
/// What is still in memory is spilled when the ledger asks for it, from any thread.
pub struct Combined<M: Merge + Send + 'static> {
    handle: Handle<Engine<M>>,
    signals: Arc<Signals>,
    batch: BatchBuffer,
}

/// Cancels a combiner from any thread.
#[derive(Debug, Clone)]
pub struct CombineCanceller {
    signals: Arc<Signals>,
    waits: WaitCanceller,
}

impl<M: Merge + Send + 'static> Combiner<M> {
    /// Makes a combiner and reserves its working set in `task`.
    ///
    /// # Errors
    /// `MemoryLimit` if the task's share is below [`CombineSpec::minimum_budget`], or others hold
    /// the memory and the task was not promised that much; `InvalidArgument` as there.
    pub fn new(
        spec: &CombineSpec,
        merge: M,
        task: &TaskMemory,
        spill_dirs: &Arc<SpillDirs>,
    ) -> Result<Self> {
        Self::with_beside(spec, merge, task, spill_dirs, &()).map(|(combiner, ())| combiner)
    }

    /// As [`Combiner::new`], with what is `beside` it in the same request for memory.
    pub(super) fn with_beside<B: Beside>(
        spec: &CombineSpec,
        merge: M,
        task: &TaskMemory,
        spill_dirs: &Arc<SpillDirs>,
        beside: &B,
    ) -> Result<(Self, B::Parts)> {
        let consumer = task.consumer("combiner");
        let (set, batch, parts) = WorkingSet::try_new(spec, merge.size(), &consumer, beside)
            .map_err(|error| consumer.name_holders(error))?;
        let signals = Arc::new(Signals::default());
        let engine = Engine {
            merge,
            consumer: consumer.clone(),
            set,
            spill_dirs: Arc::clone(spill_dirs),
            signals: Arc::clone(&signals),
            hash: spec.hash,
            phase: Phase::Filling,
        };
        Ok((Self { handle: Handle::new(engine, consumer), signals, batch }, parts))
    }

    /// Combines records.
    ///
    /// # Errors
    /// What the merge function fails with; `MemoryLimit`, with the size of the record, for one that
    /// is larger than the budget; a spill error; `Cancelled`. Later calls answer `Poisoned`,
    /// or `Cancelled` again.
    pub fn write(&mut self, records: &KeyValues<'_>) -> Result<()> {
        self.handle.operate(|engine| engine.write(records, Values::Raw))
    }

    /// As [`Combiner::write`], where values are accumulators that other combiners with this merge
    /// function gave out: the reduce side of a map-side combine.
    ///
    /// # Errors
    /// As [`Combiner::write`].
    pub fn write_accumulators(&mut self, records: &KeyValues<'_>) -> Result<()> {
        self.handle.operate(|engine| engine.write(records, Values::Accumulators))
    }

    /// Spills what is in memory; returns the bytes given back. Asks for no memory.
    ///
    /// # Errors
    /// As [`Combiner::write`].
    pub fn spill(&mut self) -> Result<u64> {
        self.handle.operate(|engine| engine.spill(SpillCause::Request))
    }

    /// Ends the input. Asks for no memory.
    ///
    /// # Errors
    /// As [`Combiner::write`].
    pub fn finish(self) -> Result<Combined<M>> {
        self.handle.operate(Engine::finish)?;
        Ok(Combined { handle: self.handle, signals: self.signals, batch: self.batch })
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> CombineProgress {
        self.signals.snapshot()
    }

    /// Something to cancel this combiner with, from any thread, also while it is read.
    pub fn canceller(&self) -> CombineCanceller {
        canceller(&self.handle, &self.signals)
    }

    pub(super) const fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }
}

impl<M: Merge + Send + 'static> Combined<M> {
    /// The next groups; nothing after the last. May block on the disk, and asks for memory to
    /// combine what was spilled; what is there from birth is enough.
    ///
    /// # Errors
    /// As [`Combiner::write`]; `Corrupt` for spilled bytes that are not what was written.
    pub fn next_batch(&mut self) -> Result<Option<CombinedBatch<'_>>> {
        let batch = &mut self.batch;
        self.handle.operate(|engine| engine.fill_batch(batch))?;
        Ok((!batch.is_empty()).then(|| self.batch.batch()))
    }

    /// The groups of the last [`Combined::next_batch`].
    pub(super) fn batch(&self) -> CombinedBatch<'_> {
        self.batch.batch()
    }

    /// Sends all groups to `sink`, batch by batch; returns how many.
    ///
    /// # Errors
    /// As [`Combined::next_batch`], and what the sink fails with.
    pub fn drain_into(
        mut self,
        mut sink: impl FnMut(CombinedBatch<'_>) -> Result<()>,
    ) -> Result<u64> {
        let mut groups = 0;
        while let Some(batch) = self.next_batch()? {
            groups += batch.len() as u64;
            sink(batch)?;
        }
        Ok(groups)
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> CombineProgress {
        self.signals.snapshot()
    }

    /// Something to cancel the reading with, from any thread.
    pub fn canceller(&self) -> CombineCanceller {
        canceller(&self.handle, &self.signals)
    }
}

impl CombineCanceller {
    /// Makes the combiner's next step fail with `Cancelled`. Returns at once.
    pub fn cancel(&self) {
        self.signals.cancel();
        self.waits.cancel();
    }

    /// What the combiner has done so far.
    pub fn progress(&self) -> CombineProgress {
        self.signals.snapshot()
    }
}

fn canceller<M: Merge + Send + 'static>(
    handle: &Handle<Engine<M>>,
    signals: &Arc<Signals>,
) -> CombineCanceller {
    CombineCanceller { signals: Arc::clone(signals), waits: handle.consumer().canceller() }
}

impl<M: Merge> Reclaim for Engine<M> {
    const ANSWERS: Answers = Answers {
        cancelled: CANCELLED,
        poisoned: Error::new(
            ErrorKind::Poisoned,
            "an earlier operation of this combiner failed, or its merge function panicked; what it \
             held is gone: retry the task",
        ),
        finished: Error::new(ErrorKind::InvalidState, "this combiner is finished"),
        busy_here: Error::new(
            ErrorKind::InvalidState,
            "this combiner is writing or spilling on this very thread; a host's callback cannot use \
             it",
        ),
        panicked: Error::internal("a spill of this combiner panicked"),
    };

    fn reclaim(&mut self, _bytes: u64) -> Result<()> {
        self.spill(SpillCause::Reclaim).map(drop)
    }

    fn answer_reclaim(&mut self) -> Result<()> {
        self.answer_reclaim()
    }
}

impl<M: Merge + Send + 'static> fmt::Debug for Combiner<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Combiner").field("progress", &self.progress()).finish_non_exhaustive()
    }
}

impl<M: Merge + Send + 'static> fmt::Debug for Combined<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Combined").field("progress", &self.progress()).finish_non_exhaustive()
    }
}
