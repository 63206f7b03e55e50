//! The caller's handle on a writer, and the ledger's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use arrow_array::RecordBatch;
use bywash_core::memory::{Consumer, Reclaimed, SpillCause, Spillable, TaskMemory, WaitCanceller};
use bywash_core::port::PartitionSink;
use bywash_core::{AttemptId, Error, ErrorKind, MapId, Result};

use super::engine::{Engine, Signals};
use super::progress::WriteProgress;
use super::push::PushedOutput;
use super::working_set::WorkingSet;
use crate::map_output::{MapOutput, OutputSlot};
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
    shared: Arc<Shared>,
}

/// Cancels a writer from any thread.
#[derive(Debug, Clone)]
pub struct Canceller {
    signals: Arc<Signals>,
    waits: WaitCanceller,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    consumer: Consumer,
    signals: Arc<Signals>,
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
        // A directory opened for reading is refused here, not after all rows were written.
        out.data_name(map, attempt)?;
        Self::make(spec, task, spill_dirs, Some(out), map, attempt)
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
        Self::make(spec, task, spill_dirs, None, map, attempt)
    }

    fn make(
        spec: &ShuffleSpec,
        task: &TaskMemory,
        spill_dirs: &Arc<SpillDirs>,
        out: Option<&Arc<OutputDir>>,
        map: MapId,
        attempt: AttemptId,
    ) -> Result<Self> {
        let consumer = task.consumer("shuffle-writer");
        let set =
            WorkingSet::try_new(spec, &consumer).map_err(|error| consumer.name_holders(error))?;
        let signals = Arc::new(Signals::default());
        let engine = Engine {
            spec: spec.clone(),
            consumer: consumer.clone(),
            set,
            spill_dirs: Arc::clone(spill_dirs),
            out: out.cloned(),
            map,
            attempt,
            shared: Arc::clone(&signals),
            slot: OutputSlot::default(),
        };
        let state = Mutex::new(State::Open(Box::new(engine)));
        let shared = Arc::new(Shared { state, consumer: consumer.clone(), signals });
        let spillable: Weak<Shared> = Arc::downgrade(&shared);
        consumer.set_spillable(spillable);
        Ok(Self { shared })
    }

    /// Takes the rows of a batch of the writer's schema.
    ///
    /// # Errors
    /// `InvalidArgument` for another schema: nothing is taken and the writer goes on. After
    /// `Cancelled`, a spill error, offsets that point outside their data or a panic it answers
    /// `Poisoned`. A spill that another thread, or another writer's need of memory, asked for and
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

    /// Spills what is sorted; returns the bytes given back.
    ///
    /// # Errors
    /// As [`ShuffleWriter::write`].
    pub fn spill(&mut self) -> Result<u64> {
        let nothing_to_check = |_: &Engine| Ok(());
        self.operate(nothing_to_check, |engine| engine.spill(SpillCause::Request))
    }

    /// Merges everything and commits the map output; if another attempt of this map has committed
    /// before, its output is returned and this one leaves nothing. Asks for no memory.
    ///
    /// # Errors
    /// As [`ShuffleWriter::write`]; nothing is visible then, unless what failed is the sync of the
    /// directory after the commit, or giving the index its name in a way that cannot be looked up:
    /// then the output may be there, whole, and the next attempt returns it.
    pub fn finish(self) -> Result<MapOutput> {
        self.close(Engine::finish)
    }

    /// Merges everything and sends each partition's segment to `sink`, in ascending order; nothing
    /// is committed here. Asks for no memory. Also for a writer with an output directory.
    ///
    /// # Errors
    /// As [`ShuffleWriter::write`], and what the sink fails with; part may have been sent then.
    pub fn finish_into(self, sink: &mut dyn PartitionSink) -> Result<PushedOutput> {
        self.close(|engine| engine.finish_into(sink))
    }

    fn close<T>(self, finish: impl FnOnce(Engine) -> Result<T>) -> Result<T> {
        let mut state = self.shared.lock();
        match std::mem::replace(&mut *state, State::Finished) {
            State::Open(engine) => {
                drop(state);
                // What it holds comes back at its end, and not before.
                self.shared.consumer.set_reclaimable(0);
                finish(*engine)
            }
            failed => {
                let error = failed.into_error();
                *state = State::Failed(error.kind());
                Err(error)
            }
        }
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> WriteProgress {
        self.shared.signals.counters.snapshot()
    }

    /// Something to cancel this writer with, from any thread and also during
    /// [`ShuffleWriter::finish`].
    pub fn canceller(&self) -> Canceller {
        let waits = self.shared.consumer.canceller();
        Canceller { signals: Arc::clone(&self.shared.signals), waits }
    }

    pub(super) fn signals(&self) -> &Arc<Signals> {
        &self.shared.signals
    }

    fn write_rows(&self, batch: &RecordBatch, ids: Option<&[u32]>) -> Result<()> {
        self.operate(|engine| engine.check(batch, ids), |engine| engine.write(batch, ids))
    }

    /// Does `work` unless `check` refuses it. When `work` fails, nobody knows what was written: the
    /// writer ends before another thread can ask it to spill.
    fn operate<T>(
        &self,
        check: impl FnOnce(&Engine) -> Result<()>,
        work: impl FnOnce(&mut Engine) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.shared.lock();
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
            self.shared.fail(&mut state, State::Failed(error.kind()));
        }
        drop(state);
        // Whoever asked just before the lock was given up was told that the writer is busy.
        if self.shared.consumer.is_wanted() {
            self.shared.reclaim(0);
        }
        outcome
    }
}

impl Canceller {
    /// Makes the writer's next step fail with `Cancelled`. Returns at once.
    pub fn cancel(&self) {
        self.signals.cancelled.store(true, Ordering::Release);
        self.waits.cancel();
    }

    /// What the writer has done so far.
    pub fn progress(&self) -> WriteProgress {
        self.signals.counters.snapshot()
    }
}

impl Shared {
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

    /// Gives up all that the writer holds.
    fn fail(&self, state: &mut State, failed: State) {
        self.consumer.set_reclaimable(0);
        *state = failed;
    }
}

impl Spillable for Shared {
    /// Spills all that is sorted: a writer has no part of it. Never panics.
    fn reclaim(&self, _bytes: u64) -> Reclaimed {
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => {
                // As below; the caller that panicked poisoned it.
                match contained(|| self.panicked(poisoned)) {
                    Ok(state) => state,
                    Err(_) => return Reclaimed::Freed(0),
                }
            }
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
        // A panic is this writer's and not of whoever asked: its next operation reports it.
        let spilled = contained(|| engine.spill(SpillCause::Reclaim)).and_then(|spilled| spilled);
        if let Err(error) = spilled {
            // What a panic left may panic again when it is dropped.
            drop(contained(|| self.fail(&mut state, State::FailedReclaim(error))));
        }
        Reclaimed::Freed(held.saturating_sub(self.consumer.granted()))
    }
}

/// What `work` returns, or its panic as an error.
fn contained<T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        // A payload may panic when it is dropped.
        drop(catch_unwind(AssertUnwindSafe(|| drop(payload))));
        text.map_or(SPILL_PANICKED, |text| SPILL_PANICKED.with_detail(text))
    })
}

const SPILL_PANICKED: Error = Error::internal("a spill of this writer panicked");

impl State {
    fn into_error(self) -> Error {
        match self {
            Self::FailedReclaim(error) => error,
            Self::Failed(ErrorKind::Cancelled) => {
                Error::new(ErrorKind::Cancelled, "the shuffle write was cancelled")
            }
            Self::Failed(_) => Error::new(
                ErrorKind::Poisoned,
                "an earlier operation of this writer failed; retry the task with a new attempt",
            ),
            Self::Open(_) | Self::Finished => {
                Error::new(ErrorKind::InvalidState, "this writer is finished")
            }
        }
    }
}
