//! Stops every thread of the library for an instant at which its two figures may be compared.
//!
//! The ledger adds to *live* just before memory is allocated and takes away just after it was freed, so
//! a thread between its two updates makes the figures differ without anything being wrong. A thread
//! therefore stops only where it is known how it stands: at the beginning of a call, at a store
//! operation (there it holds nothing half accounted), or in the allocator's hook right after an
//! event, when the ledger knows of the block that was made and still counts the one that was freed:
//! what was freed at that event is added to what is counted. A stop that one thread does not reach in time
//! is given up, never guessed at.
//!
//! Nothing here allocates.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bywash_tests::alloc;

/// The one gate of this process: the allocator's hook has no other way to it.
pub(crate) static GATE: Gate = Gate {
    wanted: AtomicBool::new(false),
    state: Mutex::new(State { running: 0, freed: 0 }),
    changed: Condvar::new(),
};

/// See the module.
pub(crate) struct Gate {
    wanted: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Threads inside the library that are not stopped.
    running: usize,
    /// Bytes that stopped threads have just freed and the ledger still counts.
    freed: u64,
}

/// All threads stand still until this is dropped.
pub(crate) struct Stopped<'a> {
    gate: &'a Gate,
    /// Bytes that were freed a moment ago and the ledger still counts.
    pub(crate) freed: u64,
}

impl Gate {
    /// One call into the library: counted by the allocator, stopped when that is wanted.
    pub(crate) fn call<R>(&self, f: impl FnOnce() -> R) -> R {
        let mut state = self.wait_while_wanted(self.lock());
        state.running += 1;
        drop(state);
        INSIDE.set(true);
        let _leave = Leave(self);
        alloc::tracked(f)
    }

    /// A place where a thread inside the library may stand; `freed` as in [`Stopped`].
    pub(crate) fn pass(&self, freed: u64) {
        if !self.wanted.load(Ordering::Relaxed) || !INSIDE.get() {
            return;
        }
        let mut state = self.lock();
        if !self.wanted.load(Ordering::Relaxed) {
            return;
        }
        state.running -= 1;
        state.freed += freed;
        self.changed.notify_all();
        state = self.wait_while_wanted(state);
        state.running += 1;
        state.freed -= freed;
    }

    /// Waits until no thread runs inside the library; none when that took longer than `patience`.
    pub(crate) fn stop(&self, patience: Duration) -> Option<Stopped<'_>> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        self.wanted.store(true, Ordering::Relaxed);
        let mut stopped = Stopped { gate: self, freed: 0 };
        while state.running > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                return None;
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        stopped.freed = state.freed;
        drop(state);
        Some(stopped)
    }

    fn wait_while_wanted<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        while self.wanted.load(Ordering::Relaxed) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        let state = self.gate.lock();
        self.gate.wanted.store(false, Ordering::Relaxed);
        drop(state);
        self.gate.changed.notify_all();
    }
}

/// Ends a call, also one that panics.
struct Leave<'a>(&'a Gate);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        INSIDE.set(false);
        self.0.lock().running -= 1;
        self.0.changed.notify_all();
    }
}

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use super::*;

    static TEST: Gate = Gate {
        wanted: AtomicBool::new(false),
        state: Mutex::new(State { running: 0, freed: 0 }),
        changed: Condvar::new(),
    };

    #[test]
    fn stops_threads_at_their_places_and_sums_what_they_freed() {
        assert_eq!(TEST.stop(Duration::ZERO).map(|stopped| stopped.freed), Some(0));
        let (entered, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                TEST.call(|| {
                    entered.store(true, Ordering::SeqCst);
                    while !ended.load(Ordering::SeqCst) {
                        TEST.pass(7);
                    }
                });
            });
            while !entered.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            let stopped = TEST.stop(Duration::from_secs(60)).unwrap();
            assert_eq!(stopped.freed, 7);
            assert_eq!(TEST.lock().running, 0);
            assert!(TEST.wanted.load(Ordering::SeqCst));
            ended.store(true, Ordering::SeqCst);
            drop(stopped);
        });
        // A thread that reaches no place: the stop is given up and nothing is left of it.
        TEST.call(|| assert!(TEST.stop(Duration::from_millis(1)).is_none()));
        TEST.pass(1);
        assert_eq!(TEST.stop(Duration::ZERO).map(|stopped| stopped.freed), Some(0));
    }
}
