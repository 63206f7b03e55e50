//! The standard library's clock and a place for threads to sleep, for hosts without their own.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bywash_core::memory::LedgerOptions;
use bywash_core::port::{Clock, Park};

/// The system's monotonic clock; its origin is when it was made.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// Lets the threads of this process sleep on a condition variable.
#[derive(Debug, Default)]
pub struct ThreadPark {
    epoch: Mutex<u64>,
    raised: Condvar,
}

impl Park for ThreadPark {
    fn epoch(&self) -> u64 {
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn park(&self, seen: u64, timeout: Option<Duration>) {
        let epoch = self.epoch.lock().unwrap_or_else(PoisonError::into_inner);
        let unraised = |epoch: &mut u64| *epoch == seen;
        match timeout {
            Some(timeout) => drop(self.raised.wait_timeout_while(epoch, timeout, unraised)),
            None => drop(self.raised.wait_while(epoch, unraised)),
        }
    }

    fn unpark_all(&self) {
        *self.epoch.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.raised.notify_all();
    }
}

/// Options for a ledger of `capacity` bytes whose threads wait for memory up to `patience`, with
/// this system's clock.
pub fn waiting_ledger(capacity: u64, patience: Duration) -> LedgerOptions {
    LedgerOptions {
        clock: Some(Arc::new(SystemClock::start())),
        park: Some(Arc::new(ThreadPark::default())),
        patience,
        ..LedgerOptions::new(capacity)
    }
}
