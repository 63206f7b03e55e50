//! The handle through which its caller and the ledger both reach a consumer that spills: the lock
//! between their threads, and what is left when something fails.
//!
//! A consumer ends with the first operation that fails or panics, before another thread can ask it to
//! spill: nobody knows what was done. It then holds nothing, and every later call says so. Whoever asks
//! for memory is never waiting for a consumer, and never hit by its panic.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};

use bywash_core::memory::{Consumer, Reclaimed, Spillable};
use bywash_core::{Error, ErrorKind, Result};

/// What lies behind a handle.
pub(crate) trait Reclaim {
    /// What its handle answers.
    const ANSWERS: Answers;

    /// Gives back at least `bytes` if that needs no spill, else all it can; 0 is all. Called when there
    /// is something to give. Asks for no memory.
    fn reclaim(&mut self, bytes: u64) -> Result<()>;

    /// Gives back what was asked for while it was busy, if there is something to give.
    fn answer_reclaim(&mut self) -> Result<()>;
}

/// The errors of a handle that does no work.
#[derive(Debug)]
pub(crate) struct Answers {
    /// After it was cancelled.
    pub(crate) cancelled: Error,
    /// After another failure.
    pub(crate) poisoned: Error,
    /// After its end.
    pub(crate) finished: Error,
    /// Called from within a call or a spill on the same thread.
    pub(crate) busy_here: Error,
    /// What becomes of a panic in a spill that another consumer or thread asked for.
    pub(crate) panicked: Error,
}

/// The caller's end.
pub(crate) struct Handle<E> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    state: Mutex<State<E>>,
    /// The thread that has the lock, by an address of its own; 0 for none. A host that it gives memory
    /// to, or asks for some, may call back.
    holder: AtomicUsize,
    consumer: Consumer,
}

enum State<E> {
    Open(Box<E>),
    /// An operation failed: what was done is no longer known.
    Failed(ErrorKind),
    /// A spill that another asked for failed; the next operation reports it.
    FailedReclaim(Error),
    Finished,
}

/// The state while this thread has it.
struct Held<'a, E> {
    state: MutexGuard<'a, State<E>>,
    holder: &'a AtomicUsize,
}

impl<E: Reclaim + Send + 'static> Handle<E> {
    /// Makes `engine` reachable for whoever wants memory of `consumer`.
    pub(crate) fn new(engine: E, consumer: Consumer) -> Self {
        let state = Mutex::new(State::Open(Box::new(engine)));
        let shared = Arc::new(Shared { state, holder: AtomicUsize::new(0), consumer });
        let spillable: Weak<Shared<E>> = Arc::downgrade(&shared);
        shared.consumer.set_spillable(spillable);
        Self { shared }
    }

    pub(crate) fn consumer(&self) -> &Consumer {
        &self.shared.consumer
    }

    /// Does `work`, and ends the consumer if that fails.
    pub(crate) fn operate<T>(&self, work: impl FnOnce(&mut E) -> Result<T>) -> Result<T> {
        self.operate_if(|_| Ok(()), work)
    }

    /// As [`Handle::operate`], unless `check` refuses: then nothing has changed.
    pub(crate) fn operate_if<T>(
        &self,
        check: impl FnOnce(&E) -> Result<()>,
        work: impl FnOnce(&mut E) -> Result<T>,
    ) -> Result<T> {
        let shared = &*self.shared;
        let mut held = shared.lock()?;
        let State::Open(engine) = &mut *held.state else {
            return Err(held.failure());
        };
        let checked = check(engine);
        let refused = checked.is_err();
        let outcome = checked
            .and_then(|()| work(engine))
            .and_then(|value| engine.answer_reclaim().map(|()| value));
        if let (false, Err(error)) = (refused, &outcome) {
            shared.end(&mut held, State::Failed(error.kind()));
        }
        drop(held);
        // Whoever asked just before the lock was given up was told that it is busy.
        if shared.consumer.is_wanted() {
            shared.reclaim(0);
        }
        outcome
    }

    /// Ends the consumer with `finish`. What it holds comes back at its end, and not before.
    pub(crate) fn close<T>(self, finish: impl FnOnce(E) -> Result<T>) -> Result<T> {
        let mut held = self.shared.lock()?;
        if !matches!(*held.state, State::Open(_)) {
            return Err(held.failure());
        }
        if let State::Open(engine) = std::mem::replace(&mut *held.state, State::Finished) {
            drop(held);
            self.shared.consumer.set_reclaimable(0);
            return finish(*engine);
        }
        Err(E::ANSWERS.finished)
    }
}

impl<E: Reclaim> Shared<E> {
    /// Waits for a spill that another thread asked for.
    fn lock(&self) -> Result<Held<'_, E>> {
        // Only this thread stores its own address.
        if self.holder.load(Ordering::Relaxed) == this_thread() {
            return Err(E::ANSWERS.busy_here);
        }
        Ok(match self.state.lock() {
            Ok(state) => self.hold(state),
            Err(poisoned) => self.hold_panicked(poisoned),
        })
    }

    fn hold<'a>(&'a self, state: MutexGuard<'a, State<E>>) -> Held<'a, E> {
        self.holder.store(this_thread(), Ordering::Relaxed);
        Held { state, holder: &self.holder }
    }

    /// A call panicked, in this thread or another: what it was changing is in no known state.
    fn hold_panicked<'a>(&'a self, poisoned: PoisonError<MutexGuard<'a, State<E>>>) -> Held<'a, E> {
        let mut held = self.hold(poisoned.into_inner());
        if matches!(*held.state, State::Open(_)) {
            self.end(&mut held, State::Failed(ErrorKind::Poisoned));
        }
        held
    }

    /// Gives up all that the consumer holds behind its handle.
    fn end(&self, held: &mut Held<'_, E>, state: State<E>) {
        self.consumer.set_reclaimable(0);
        let ended = std::mem::replace(&mut *held.state, state);
        // It may panic once more: it is in no known state.
        drop(contained::<E, ()>(|| drop(ended)));
    }
}

impl<E: Reclaim + Send> Spillable for Shared<E> {
    /// Never waits and never panics.
    fn reclaim(&self, bytes: u64) -> Reclaimed {
        let mut held = match self.state.try_lock() {
            Ok(state) => self.hold(state),
            Err(TryLockError::Poisoned(poisoned)) => self.hold_panicked(poisoned),
            Err(TryLockError::WouldBlock) => return Reclaimed::Busy,
        };
        let State::Open(engine) = &mut *held.state else {
            return Reclaimed::Freed(0);
        };
        if self.consumer.reclaimable() == 0 {
            self.consumer.take_wanted();
            return Reclaimed::Freed(0);
        }
        let before = self.consumer.granted();
        // A panic is this consumer's and not of whoever asked: its next operation reports it.
        let spilled = contained::<E, _>(|| engine.reclaim(bytes)).and_then(|spilled| spilled);
        if let Err(error) = spilled {
            self.end(&mut held, State::FailedReclaim(error));
        }
        Reclaimed::Freed(before.saturating_sub(self.consumer.granted()))
    }
}

impl<E: Reclaim> Held<'_, E> {
    /// Why there is no more work to be done: the first time with the error of a failed spill.
    fn failure(&mut self) -> Error {
        let answers = E::ANSWERS;
        let error = match std::mem::replace(&mut *self.state, State::Finished) {
            State::FailedReclaim(error) => error,
            State::Failed(ErrorKind::Cancelled) => answers.cancelled,
            State::Failed(_) => answers.poisoned,
            State::Open(_) | State::Finished => return answers.finished,
        };
        *self.state = State::Failed(error.kind());
        error
    }
}

impl<E> Drop for Held<'_, E> {
    fn drop(&mut self) {
        self.holder.store(0, Ordering::Relaxed);
    }
}

impl<E> fmt::Debug for Handle<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("consumer", &self.shared.consumer).finish_non_exhaustive()
    }
}

/// What `work` returns, or its panic as an error.
fn contained<E: Reclaim, T>(work: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        // A payload may panic when it is dropped.
        drop(catch_unwind(AssertUnwindSafe(|| drop(payload))));
        let error = E::ANSWERS.panicked;
        match text {
            Some(text) => error.with_detail(text),
            None => error,
        }
    })
}

/// An address that no other thread has while this one lives.
fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here).addr())
}
