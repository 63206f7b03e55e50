//! Waiting for memory: the state machine's tokens, a clock and a place to sleep.

use std::time::Duration;

use super::counters::Counters;
use super::host::Asking;
use super::host::Return;
use super::shared::{Account, Inner, LedgerShared, Refusal};
use super::state::{Acquire, Admission, Patience, TaskId, WaitStatus, WaitToken};
use crate::port::{Clock, Park};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;
use crate::{Error, ErrorKind, Figure, Result};

/// How threads wait.
pub(super) struct Waiting {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) park: Arc<dyn Park>,
    /// How long at most.
    pub(super) patience: Duration,
}

impl LedgerShared {
    /// Asks for `bytes`, and waits for them while the task holds less than half its share. `before`
    /// is called once the request is queued, before the thread sleeps.
    pub(super) fn acquire_or_wait(
        &self,
        account: Account,
        bytes: u64,
        cancelled: &dyn Fn() -> bool,
        before: &dyn Fn(),
    ) -> Result<(), Refusal> {
        let Some(waiting) = &self.waiting else {
            return self.acquire(account, bytes);
        };
        let answer = self.locked(|inner| {
            inner.collect_returned();
            let answer = inner.state.acquire(account.task, bytes, Patience::UnderHalfShare);
            if answer == Acquire::Granted {
                self.note_grant(inner, account, bytes);
            }
            answer
        });
        let token = match answer {
            Acquire::Granted => return Ok(()),
            Acquire::Refused(shortfall) => return Err(Refusal::Short(shortfall)),
            Acquire::Unfunded(_) => return self.acquire(account, bytes),
            Acquire::Wait(token) => token,
        };
        let queued = Queued::new(self, token);
        before();
        let mut asking = Asking::new();
        let waited = self.sleep_until(waiting, cancelled, || {
            let status = self.locked(|inner| {
                inner.collect_returned();
                let status = inner.state.poll(token);
                if status == WaitStatus::Granted {
                    self.note_collected(inner, account, bytes);
                }
                status
            });
            match status {
                WaitStatus::Granted => Look::Answered(Ok(())),
                WaitStatus::Waiting => Look::Sleep,
                WaitStatus::Unfunded(missing) => match self.fund_waiter(&mut asking, missing) {
                    // A part of it answers nobody, so nobody would wake this thread.
                    Ok(()) => Look::Again,
                    Err(refusal) => Look::Answered(Err(refusal)),
                },
                WaitStatus::Refused(shortfall) => Look::Answered(Err(Refusal::Short(shortfall))),
                WaitStatus::Gone => Look::Answered(Err(Refusal::Host(TASK_ENDED))),
            }
        });
        if matches!(waited, Ok(Ok(()))) {
            queued.end();
        } else {
            drop(queued);
            self.return_surplus(Return::Always);
        }
        waited.unwrap_or_else(|error| Err(Refusal::Host(error.with(Figure::Requested, bytes))))
    }

    /// Asks the host for what a waiter misses whose turn has come.
    fn fund_waiter(&self, asking: &mut Asking, missing: u64) -> Result<(), Refusal> {
        let lent = if asking.goes_on(missing) { self.borrow_from_host(missing) } else { Ok(0) };
        let lent = lent.map_err(Refusal::Host)?;
        if lent == 0 {
            return Err(Refusal::Host(HOST_HAS_NONE.with(Figure::Requested, missing)));
        }
        self.locked(|inner| inner.state.fund(lent));
        Ok(())
    }

    /// Admits tasks as soon as their promises fit, in turn with those who wait for memory.
    pub(super) fn admit_or_wait(
        &self,
        count: u32,
        minimum: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<TaskId>> {
        let patience =
            if self.waiting.is_some() { Patience::UnderHalfShare } else { Patience::Never };
        let admission = self.locked(|inner| {
            inner.collect_returned();
            inner.state.admit(count, minimum, patience)
        })?;
        let (token, waiting) = match (admission, &self.waiting) {
            (Admission::Wait(token), Some(waiting)) => (token, waiting),
            (Admission::Admitted(tasks), _) => return Ok(tasks),
            (Admission::Wait(_), None) => return Err(NOWHERE_TO_WAIT),
        };
        let queued = Queued::new(self, token);
        let waited = self.sleep_until(waiting, cancelled, || {
            let (status, tasks) = self.locked(|inner| {
                inner.collect_returned();
                inner.state.poll_admission(token)
            });
            match status {
                WaitStatus::Granted => Look::Answered(Ok(tasks)),
                WaitStatus::Refused(shortfall) => Look::Answered(Err(shortfall.into())),
                WaitStatus::Waiting | WaitStatus::Unfunded(_) | WaitStatus::Gone => Look::Sleep,
            }
        });
        if matches!(waited, Ok(Ok(_))) {
            queued.end();
        }
        waited.unwrap_or_else(|error| Err(error.with(Figure::Requested, minimum)))
    }

    /// Sleeps until `look` has an answer.
    fn sleep_until<T>(
        &self,
        waiting: &Waiting,
        cancelled: &dyn Fn() -> bool,
        mut look: impl FnMut() -> Look<T>,
    ) -> Result<T> {
        Counters::add(&self.counters.waits, 1);
        let start = waiting.clock.now();
        let outcome = loop {
            // Before the look: what happens after it raises the epoch.
            let seen = waiting.park.epoch();
            let looked = match look() {
                Look::Answered(answer) => break Ok(answer),
                looked => looked,
            };
            if cancelled() {
                break Err(CANCELLED);
            }
            let waited = waiting.clock.now().saturating_sub(start);
            let Some(left) = waiting.patience.checked_sub(waited).filter(|left| !left.is_zero())
            else {
                let millis = waited.as_millis();
                break Err(WAITED_TOO_LONG.with(Figure::WaitedMillis, millis));
            };
            if matches!(looked, Look::Sleep) {
                let timeout = (waiting.patience != Duration::MAX).then_some(left);
                waiting.park.park(seen, timeout);
            }
        };
        let waited = waiting.clock.now().saturating_sub(start);
        Counters::add_time(&self.counters.wait_nanos, waited);
        outcome
    }

    /// Makes all that sleep look again, whether they were cancelled for one.
    pub(super) fn wake_all(&self) {
        if let Some(waiting) = &self.waiting {
            waiting.park.unpark_all();
        }
    }
}

/// What one who waits found.
enum Look<T> {
    Answered(T),
    Sleep,
    /// Something changed by looking.
    Again,
}

/// A place in the queue, given up when dropped.
struct Queued<'a> {
    ledger: &'a LedgerShared,
    token: Option<WaitToken>,
}

impl<'a> Queued<'a> {
    fn new(ledger: &'a LedgerShared, token: WaitToken) -> Self {
        // From here on, bytes that come back without the lock wake those who sleep.
        ledger.sleepers.fetch_add(1, Ordering::SeqCst);
        Self { ledger, token: Some(token) }
    }

    fn end(mut self) {
        self.token = None;
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.ledger.sleepers.fetch_sub(1, Ordering::SeqCst);
        if let Some(token) = self.token {
            self.ledger.locked(|inner: &mut Inner| inner.state.cancel(token));
        }
    }
}

const CANCELLED: Error = Error::new(ErrorKind::Cancelled, "the wait for memory was cancelled");
const TASK_ENDED: Error = Error::new(ErrorKind::InvalidState, "the task ended while it waited");
const NOWHERE_TO_WAIT: Error = Error::internal("a ledger without a place to sleep queued tasks");
const HOST_HAS_NONE: Error = Error::new(ErrorKind::MemoryLimit, "the host has no memory to lend");
const WAITED_TOO_LONG: Error = Error::new(
    ErrorKind::MemoryLimit,
    "memory did not come free in the time allowed; raise the budget or the patience, or run fewer \
     tasks",
);
