//! The caller's handles on a sort, and the ledger's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bywash_core::block::KeptBlock;
use bywash_core::key::PrefixSpan;
use bywash_core::memory::{ChargeMode, Consumer, Reclaimed, SpillCause, Spillable, TaskMemory};
use bywash_core::port::PartitionSink;
use bywash_core::{Error, ErrorKind, Result};

use super::engine::{Engine, Stage};
use super::memory::SortMemory;
use super::progress::{CANCELLED, SortCanceller, SortProgress, SortSignals};
use super::spec::SortSpec;
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
    shared: Arc<Shared>,
}

/// The sorted rows, batch by batch.
///
/// While rows that are not given yet are in memory, any thread may make it write them to disk; it goes
/// on from there. After an error it gives nothing more.
#[derive(Debug)]
pub struct SortedBatches {
    shared: Arc<Shared>,
    schema: SchemaRef,
    has_ended: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    consumer: Consumer,
    signals: Arc<SortSignals>,
}

#[derive(Debug)]
enum State {
    Open(Box<Engine>),
    /// An operation failed: what was written is no longer known.
    Failed(ErrorKind),
    /// A spill that another thread asked for failed; the next operation reports it.
    FailedReclaim(Error),
    Finished,
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
        let state = Mutex::new(State::Open(Box::new(engine)));
        let shared = Arc::new(Shared { state, consumer: consumer.clone(), signals });
        let spillable: Weak<Shared> = Arc::downgrade(&shared);
        consumer.set_spillable(spillable);
        Ok(Self { shared })
    }

    /// Takes the rows of a batch of the sort's schema.
    ///
    /// # Errors
    /// `InvalidArgument` for another schema: nothing is taken and the sorter goes on. After
    /// `Cancelled`, a spill error, offsets that point outside their data or a panic it answers
    /// `Poisoned`.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let check = |engine: &Engine| engine.spec.layout().check_batch(batch);
        self.shared.operate(check, |engine| engine.write(batch))
    }

    /// Spills what is sorted; returns the bytes given back.
    ///
    /// # Errors
    /// As [`Sorter::write`].
    pub fn spill(&mut self) -> Result<u64> {
        self.shared.operate(|_| Ok(()), |engine| engine.spill(SpillCause::Request))
    }

    /// Sorts what is left and begins to give rows out, in batches charged as `mode` says. With runs on
    /// disk it merges some of them first, if they are more than can be merged at once. Asks for no
    /// memory, but takes what is free.
    ///
    /// # Errors
    /// As [`Sorter::write`].
    pub fn finish(self, mode: ChargeMode) -> Result<SortedBatches> {
        let schema = self.shared.operate(
            |_| Ok(()),
            |engine| {
                engine.begin_reading(mode)?;
                Ok(Arc::clone(engine.spec.schema()))
            },
        )?;
        Ok(SortedBatches { shared: self.shared, schema, has_ended: false })
    }

    /// Sends all rows in order to `sink`, as blocks of partition 0 of the format of map outputs, however
    /// large rows are. Returns how many rows and bytes. Asks for no memory, but takes what is free.
    ///
    /// # Errors
    /// As [`Sorter::write`], and what the sink fails with; part may have been sent then.
    pub fn finish_into(self, sink: &mut dyn PartitionSink) -> Result<(u64, u64)> {
        self.shared.operate(
            |_| Ok(()),
            |engine| {
                engine.begin_reading(ChargeMode::Ledger)?;
                engine.write_into(sink)
            },
        )
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> SortProgress {
        self.shared.signals.snapshot()
    }

    /// Something to cancel this sort with, from any thread and also while it is read.
    pub fn canceller(&self) -> SortCanceller {
        self.shared.canceller()
    }
}

impl SortedBatches {
    /// The schema of the batches.
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> SortProgress {
        self.shared.signals.snapshot()
    }

    /// Something to cancel this sort with, from any thread.
    pub fn canceller(&self) -> SortCanceller {
        self.shared.canceller()
    }

    /// Writes what is left in memory to disk and goes on from there; returns the bytes given back.
    ///
    /// # Errors
    /// As [`Sorter::write`].
    pub fn spill(&mut self) -> Result<u64> {
        self.shared.operate(|_| Ok(()), |engine| engine.spill(SpillCause::Request))
    }
}

impl Iterator for SortedBatches {
    type Item = Result<RecordBatch>;

    /// The next rows. `BudgetHeldByCaller` when they do not fit beside batches that the caller keeps:
    /// drop some and ask again.
    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        // Rows that there was no memory for are not lost: no failure of the sort.
        let next = self.shared.operate(
            |_| Ok(()),
            |engine| match engine.next_batch() {
                Err(error) if error.kind() == ErrorKind::BudgetHeldByCaller => Ok(Err(error)),
                next => next.map(Ok),
            },
        );
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

impl Shared {
    /// Does `work` unless `check` refuses it. When `work` fails, nobody knows what was done: the sort
    /// ends before another thread can ask it to spill.
    fn operate<T>(
        &self,
        check: impl FnOnce(&Engine) -> Result<()>,
        work: impl FnOnce(&mut Engine) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.lock();
        let State::Open(engine) = &mut *state else {
            let error = std::mem::replace(&mut *state, State::Finished).into_error();
            *state = State::Failed(error.kind());
            return Err(error);
        };
        let checked = check(engine);
        let refused = checked.is_err();
        let outcome = checked
            .and_then(|()| work(engine))
            .and_then(|value| engine.answer_reclaim().map(|()| value));
        if let (false, Err(error)) = (refused, &outcome) {
            self.fail(&mut state, State::Failed(error.kind()));
        }
        drop(state);
        // Whoever asked just before the lock was given up was told that the sort is busy.
        if self.consumer.is_wanted() {
            self.reclaim(0);
        }
        outcome
    }

    fn canceller(&self) -> SortCanceller {
        SortCanceller { signals: Arc::clone(&self.signals), waits: self.consumer.canceller() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let locked = self.state.lock();
        locked.unwrap_or_else(|poisoned| self.panicked(poisoned))
    }

    /// A call panicked, in this thread or another: what it was changing is in no known state.
    fn panicked<'a>(&self, poisoned: PoisonError<MutexGuard<'a, State>>) -> MutexGuard<'a, State> {
        let mut state = poisoned.into_inner();
        if matches!(*state, State::Open(_)) {
            self.fail(&mut state, State::Failed(ErrorKind::Poisoned));
        }
        state
    }

    /// Gives up all that the sort holds.
    fn fail(&self, state: &mut State, failed: State) {
        *state = failed;
        self.consumer.set_reclaimable(0);
    }
}

impl Spillable for Shared {
    /// Gives areas that nothing is in; else spills all that is in memory and not given out.
    fn reclaim(&self, bytes: u64) -> Reclaimed {
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
        let pooled = engine.drop_pool();
        if pooled > 0 && pooled >= bytes && bytes > 0 {
            self.consumer.take_wanted();
            engine.note_reclaimable();
            return Reclaimed::Freed(held.saturating_sub(self.consumer.granted()));
        }
        if let Err(error) = engine.spill(SpillCause::Reclaim) {
            self.fail(&mut state, State::FailedReclaim(error));
        }
        Reclaimed::Freed(held.saturating_sub(self.consumer.granted()))
    }
}

impl State {
    fn into_error(self) -> Error {
        match self {
            Self::FailedReclaim(error) => error,
            Self::Failed(ErrorKind::Cancelled) => CANCELLED,
            Self::Failed(_) => Error::new(
                ErrorKind::Poisoned,
                "an earlier operation of this sort failed; sort again from the start",
            ),
            Self::Open(_) | Self::Finished => {
                Error::new(ErrorKind::InvalidState, "this sort is finished")
            }
        }
    }
}
