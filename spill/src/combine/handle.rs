//! The caller's handles on a combiner, and the ledger's.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use bywash_core::combine::Merge;
use bywash_core::memory::{Consumer, Reclaimed, SpillCause, Spillable, TaskMemory, WaitCanceller};
use bywash_core::{Error, ErrorKind, Result};

use super::batch::{BatchBuffer, CombinedBatch};
use super::engine::{Engine, Phase, Values};
use super::progress::{CANCELLED, CombineProgress, Signals};
use super::records::KeyValues;
use super::spec::CombineSpec;
use super::working_set::WorkingSet;
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
    shared: Arc<Shared<M>>,
    batch: BatchBuffer,
}

/// The groups of a finished [`Combiner`], each key once, in no order that means anything; the same
/// for the same input, seed and memory.
///
/// What is still in memory is spilled when the ledger asks for it, from any thread.
pub struct Combined<M: Merge + Send + 'static> {
    shared: Arc<Shared<M>>,
    batch: BatchBuffer,
}

/// Cancels a combiner from any thread.
#[derive(Debug, Clone)]
pub struct CombineCanceller {
    signals: Arc<Signals>,
    waits: WaitCanceller,
}

struct Shared<M> {
    state: Mutex<State<M>>,
    consumer: Consumer,
    signals: Arc<Signals>,
}

enum State<M> {
    Open(Box<Engine<M>>),
    /// An operation failed: what was combined is no longer known.
    Failed(ErrorKind),
    /// A spill that another thread asked for failed; the next operation reports it.
    FailedReclaim(Error),
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
        let consumer = task.consumer("combiner");
        let (set, batch) = WorkingSet::try_new(spec, merge.size(), &consumer)
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
        let state = Mutex::new(State::Open(Box::new(engine)));
        let shared = Arc::new(Shared { state, consumer: consumer.clone(), signals });
        let spillable: Weak<Shared<M>> = Arc::downgrade(&shared);
        consumer.set_spillable(spillable);
        Ok(Self { shared, batch })
    }

    /// Combines records.
    ///
    /// # Errors
    /// What the merge function fails with; `MemoryLimit`, with the size of the record, for one that
    /// is larger than the budget; a spill error; `Cancelled`. Later calls answer `Poisoned`.
    pub fn write(&mut self, records: &KeyValues<'_>) -> Result<()> {
        self.shared.operate(|engine| engine.write(records, Values::Raw))
    }

    /// As [`Combiner::write`], where values are accumulators that other combiners with this merge
    /// function gave out: the reduce side of a map-side combine.
    ///
    /// # Errors
    /// As [`Combiner::write`].
    pub fn write_accumulators(&mut self, records: &KeyValues<'_>) -> Result<()> {
        self.shared.operate(|engine| engine.write(records, Values::Accumulators))
    }

    /// Spills what is in memory; returns the bytes given back. Asks for no memory.
    ///
    /// # Errors
    /// As [`Combiner::write`].
    pub fn spill(&mut self) -> Result<u64> {
        self.shared.operate(|engine| engine.spill(SpillCause::Request))
    }

    /// Ends the input. Asks for no memory.
    ///
    /// # Errors
    /// As [`Combiner::write`].
    pub fn finish(self) -> Result<Combined<M>> {
        self.shared.operate(Engine::finish)?;
        Ok(Combined { shared: self.shared, batch: self.batch })
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> CombineProgress {
        self.shared.signals.snapshot()
    }

    /// Something to cancel this combiner with, from any thread, also while it is read.
    pub fn canceller(&self) -> CombineCanceller {
        self.shared.canceller()
    }

    /// Bytes and groups of a batch that it will give out, unless one group is larger.
    pub(super) fn batch_capacity(&self) -> (usize, usize) {
        self.batch.capacity()
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
        self.shared.operate(|engine| engine.fill_batch(batch))?;
        Ok((!batch.is_empty()).then(|| self.batch.batch()))
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
        self.shared.signals.snapshot()
    }

    /// Something to cancel the reading with, from any thread.
    pub fn canceller(&self) -> CombineCanceller {
        self.shared.canceller()
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

impl<M: Merge> Shared<M> {
    /// Does `work`. When it fails, nobody knows what was combined: the combiner ends before another
    /// thread can ask it to spill.
    fn operate<T>(&self, work: impl FnOnce(&mut Engine<M>) -> Result<T>) -> Result<T> {
        let mut state = self.lock();
        let State::Open(engine) = &mut *state else {
            let failed = std::mem::replace(&mut *state, State::Failed(ErrorKind::Poisoned));
            let error = failed.into_error();
            *state = State::Failed(error.kind());
            return Err(error);
        };
        let outcome = work(engine).and_then(|value| engine.answer_reclaim().map(|()| value));
        if let Err(error) = &outcome {
            self.fail(&mut state, State::Failed(error.kind()));
        }
        drop(state);
        // Whoever asked just before the lock was given up was told that the combiner is busy.
        if self.consumer.is_wanted() {
            self.reclaim_now();
        }
        outcome
    }

    fn canceller(&self) -> CombineCanceller {
        let waits = self.consumer.canceller();
        CombineCanceller { signals: Arc::clone(&self.signals), waits }
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(|poisoned| self.panicked(poisoned))
    }

    /// A call panicked, in this thread or another: what it was changing is in no known state.
    fn panicked<'a>(
        &self,
        poisoned: PoisonError<MutexGuard<'a, State<M>>>,
    ) -> MutexGuard<'a, State<M>> {
        let mut state = poisoned.into_inner();
        if matches!(*state, State::Open(_)) {
            self.fail(&mut state, State::Failed(ErrorKind::Poisoned));
        }
        state
    }

    /// Gives up all that the combiner holds but its batch.
    fn fail(&self, state: &mut State<M>, failed: State<M>) {
        *state = failed;
        self.consumer.set_reclaimable(0);
    }

    fn reclaim_now(&self) -> Reclaimed {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => self.panicked(poisoned),
            Err(TryLockError::WouldBlock) => return Reclaimed::Busy,
        };
        let State::Open(engine) = &mut *state else {
            return Reclaimed::Freed(0);
        };
        if self.consumer.reclaimable() == 0 {
            self.consumer.take_wanted();
            return Reclaimed::Freed(0);
        }
        let held = self.consumer.granted();
        if let Err(error) = engine.spill(SpillCause::Reclaim) {
            self.fail(&mut state, State::FailedReclaim(error));
        }
        Reclaimed::Freed(held.saturating_sub(self.consumer.granted()))
    }
}

impl<M: Merge + Send> Spillable for Shared<M> {
    fn reclaim(&self, _bytes: u64) -> Reclaimed {
        self.reclaim_now()
    }
}

impl<M> State<M> {
    fn into_error(self) -> Error {
        match self {
            Self::FailedReclaim(error) => error,
            Self::Failed(ErrorKind::Cancelled) => CANCELLED,
            Self::Failed(_) | Self::Open(_) => Error::new(
                ErrorKind::Poisoned,
                "an earlier operation of this combiner failed, or its merge function panicked; \
                 what it held is gone: retry the task",
            ),
        }
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
