//! A writer's shell: the lock between its caller's thread and reclaiming ones, and what happens when
//! something fails.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use bywash_core::memory::{Consumer, Reclaimed, SpillCause, Spillable, TaskMemory, WaitCanceller};
use bywash_core::{AttemptId, Error, ErrorKind, MapId, Result};

use super::engine::{Engine, Signals};
use super::progress::WriteProgress;
use super::rows::Rows;
use super::working_set::WorkingSet;
use crate::map_output::OutputSlot;
use crate::output_dir::OutputDir;
use crate::spill_dirs::SpillDirs;

/// The caller's end of a writer.
#[derive(Debug)]
pub(super) struct Handle<R: Rows> {
    shared: Arc<Shared<R>>,
}

/// Cancels a writer from any thread.
#[derive(Debug, Clone)]
pub struct Canceller {
    signals: Arc<Signals>,
    waits: WaitCanceller,
}

#[derive(Debug)]
struct Shared<R: Rows> {
    state: Mutex<State<R>>,
    /// The thread that spills for another, by an address of its own; 0 for none. It may be called back by
    /// the host it gives memory to.
    spiller: AtomicUsize,
    consumer: Consumer,
    signals: Arc<Signals>,
}

#[derive(Debug)]
enum State<R: Rows> {
    Open(Box<Engine<R>>),
    /// An operation failed: what was written is no longer known.
    Failed(ErrorKind),
    /// A spill that another thread asked for failed; the next operation reports it.
    FailedReclaim(Error),
    Finished,
}

impl<R: Rows> Handle<R> {
    /// Makes a writer and reserves its working set in `task`; without `out` it can only be finished
    /// into a sink.
    pub(super) fn make(
        spec: &R::Spec,
        task: &TaskMemory,
        spill_dirs: &Arc<SpillDirs>,
        out: Option<&Arc<OutputDir>>,
        map: MapId,
        attempt: AttemptId,
    ) -> Result<Self> {
        if let Some(out) = out {
            // A directory opened for reading is refused here, not after all rows were written.
            out.data_name(map, attempt)?;
        }
        let consumer = task.consumer(R::CONSUMER);
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
        let spiller = AtomicUsize::new(0);
        let shared = Arc::new(Shared { state, spiller, consumer: consumer.clone(), signals });
        let spillable: Weak<Shared<R>> = Arc::downgrade(&shared);
        consumer.set_spillable(spillable);
        Ok(Self { shared })
    }

    /// Spills all that is sorted; returns the bytes given back.
    pub(super) fn spill(&self) -> Result<u64> {
        let nothing_to_check = |_: &Engine<R>| Ok(());
        self.operate(nothing_to_check, |engine| engine.spill(SpillCause::Request))
    }

    /// Ends the writer with `finish`.
    pub(super) fn close<T>(self, finish: impl FnOnce(Engine<R>) -> Result<T>) -> Result<T> {
        let mut state = self.shared.lock()?;
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

    pub(super) fn progress(&self) -> WriteProgress {
        self.shared.signals.counters.snapshot()
    }

    pub(super) fn canceller(&self) -> Canceller {
        let waits = self.shared.consumer.canceller();
        Canceller { signals: Arc::clone(&self.shared.signals), waits }
    }

    pub(super) fn signals(&self) -> &Arc<Signals> {
        &self.shared.signals
    }

    /// Does `work` unless `check` refuses it. When `work` fails, nobody knows what was written: the
    /// writer ends before another thread can ask it to spill.
    pub(super) fn operate<T>(
        &self,
        check: impl FnOnce(&Engine<R>) -> Result<()>,
        work: impl FnOnce(&mut Engine<R>) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.shared.lock()?;
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

impl<R: Rows> Shared<R> {
    /// Waits for a spill that another thread asked for.
    fn lock(&self) -> Result<MutexGuard<'_, State<R>>> {
        // Only this thread stores its own address.
        if self.spiller.load(Ordering::Relaxed) == this_thread() {
            return Err(SPILLS_HERE);
        }
        let locked = self.state.lock();
        Ok(locked.unwrap_or_else(|poisoned| self.panicked(poisoned)))
    }

    /// A call panicked, in this thread or another: what it was changing is in no known state.
    fn panicked<'a>(
        &self,
        poisoned: PoisonError<MutexGuard<'a, State<R>>>,
    ) -> MutexGuard<'a, State<R>> {
        let mut state = poisoned.into_inner();
        if matches!(*state, State::Open(_)) {
            self.fail(&mut state, State::Failed(ErrorKind::Poisoned));
        }
        state
    }

    /// Gives up all that the writer holds.
    fn fail(&self, state: &mut State<R>, failed: State<R>) {
        self.consumer.set_reclaimable(0);
        *state = failed;
    }
}

impl<R: Rows> Spillable for Shared<R> {
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
        self.spiller.store(this_thread(), Ordering::Relaxed);
        let spilled = contained(|| engine.spill(SpillCause::Reclaim)).and_then(|spilled| spilled);
        if let Err(error) = spilled {
            // What a panic left may panic again when it is dropped.
            drop(contained(|| self.fail(&mut state, State::FailedReclaim(error))));
        }
        self.spiller.store(0, Ordering::Relaxed);
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

/// An address that no other thread has while this one lives.
fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

const SPILLS_HERE: Error = Error::new(
    ErrorKind::InvalidState,
    "this writer is spilling on this very thread; a host's callback cannot use it",
);
const SPILL_PANICKED: Error = Error::internal("a spill of this writer panicked");

impl<R: Rows> State<R> {
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
