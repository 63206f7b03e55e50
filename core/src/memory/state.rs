//! The ledger's rules as a state machine: no locks, no clock, no allocation but for admissions.
//!
//! A task may hold at most its *share*, capacity/N for N tasks that have not ended, and can always
//! reach its *minimum*: what is promised to others is never granted away. A request that does not
//! fit is refused, or, if the caller has patience and the task holds less than half its share,
//! queued under a [`WaitToken`]; releases serve the queue in order.

use std::collections::VecDeque;

use crate::{Error, ErrorKind, Figure, Result};

/// A point in time, in the host's own unit; only ever compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(pub u64);

/// A task's place in the state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskId(usize);

/// Names a queued request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WaitToken(u64);

/// Whether a request may be queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Granted or refused at once.
    Never,
    /// May be queued while the task holds less than half its share.
    UnderHalfShare,
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquire {
    /// All of it is granted.
    Granted,
    /// Nothing is granted.
    Refused(Shortfall),
    /// Queued; ask with [`LedgerState::poll`].
    Wait(WaitToken),
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortfall {
    /// Bytes asked for.
    pub requested: u64,
    /// Bytes the task could have had.
    pub available: u64,
    /// The ledger's capacity.
    pub capacity: u64,
}

impl From<Shortfall> for Error {
    fn from(shortfall: Shortfall) -> Self {
        Self::new(ErrorKind::MemoryLimit, "the memory budget does not hold this request")
            .with(Figure::Requested, shortfall.requested)
            .with(Figure::Available, shortfall.available)
            .with(Figure::Budget, shortfall.capacity)
    }
}

/// What became of a queued request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitStatus {
    /// Granted; the token is used up.
    Granted,
    /// Still queued since the given time.
    Waiting {
        /// When the request was made.
        since: Tick,
    },
    /// Unknown: used up, cancelled, or its task has ended.
    Gone,
}

#[derive(Debug, Clone, Copy)]
struct TaskSlot {
    granted: u64,
    minimum: u64,
    ended: bool,
}

impl TaskSlot {
    fn committed(self) -> u64 {
        self.granted.max(self.minimum)
    }
}

#[derive(Debug, Clone, Copy)]
struct Waiter {
    token: WaitToken,
    task: TaskId,
    bytes: u64,
    since: Tick,
    granted: bool,
}

/// Who holds what; see the module documentation for the rules.
#[derive(Debug)]
pub struct LedgerState {
    capacity: u64,
    /// Sum of what each task holds or is promised, whichever is more. Never above the capacity.
    committed: u64,
    tasks: Vec<Option<TaskSlot>>,
    active: u64,
    waiters: VecDeque<Waiter>,
    next_token: u64,
}

impl LedgerState {
    /// A ledger of `capacity` bytes without tasks.
    pub const fn new(capacity: u64) -> Self {
        Self {
            capacity,
            committed: 0,
            tasks: Vec::new(),
            active: 0,
            waiters: VecDeque::new(),
            next_token: 0,
        }
    }

    /// Admits `count` tasks, each with a promised `minimum`; all or none.
    ///
    /// # Errors
    /// `MemoryLimit` if the promises do not fit together or a share would fall below a minimum.
    pub fn admit(&mut self, count: u32, minimum: u64) -> Result<Vec<TaskId>> {
        let free = self.capacity - self.committed;
        let needed = minimum.saturating_mul(u64::from(count));
        if needed > free {
            return Err(self.too_small(minimum, free / u64::from(count.max(1))));
        }
        let share = self.capacity / (self.active + u64::from(count)).max(1);
        let held = self.tasks.iter().flatten().filter(|task| !task.ended).map(|t| t.minimum);
        if held.chain([minimum]).any(|least| least > share) {
            return Err(self.too_small(minimum, share));
        }
        let slot = TaskSlot { granted: 0, minimum, ended: false };
        self.committed += needed;
        self.active += u64::from(count);
        let mut admitted = Vec::with_capacity(count as usize);
        for (place, vacant) in self.tasks.iter_mut().enumerate() {
            if admitted.len() == count as usize {
                break;
            }
            if vacant.is_none() {
                *vacant = Some(slot);
                admitted.push(TaskId(place));
            }
        }
        while admitted.len() < count as usize {
            admitted.push(TaskId(self.tasks.len()));
            self.tasks.push(Some(slot));
        }
        Ok(admitted)
    }

    fn too_small(&self, minimum: u64, available: u64) -> Error {
        Error::new(
            ErrorKind::MemoryLimit,
            "the memory budget is below what the tasks need at least; \
             raise the budget or run fewer tasks",
        )
        .with(Figure::Requested, minimum)
        .with(Figure::Available, available)
        .with(Figure::Budget, self.capacity)
    }

    /// Asks for `bytes` on behalf of `task`.
    pub fn acquire(&mut self, task: TaskId, bytes: u64, now: Tick, patience: Patience) -> Acquire {
        let Some(slot) = self.slot(task) else {
            return Acquire::Refused(Shortfall {
                requested: bytes,
                available: 0,
                capacity: self.capacity,
            });
        };
        let available = self.available(slot);
        if bytes <= available {
            self.change(task, |slot| slot.granted += bytes);
            return Acquire::Granted;
        }
        let share = self.share();
        let may_come = slot.granted.saturating_add(bytes) <= share;
        if patience == Patience::UnderHalfShare && slot.granted < share / 2 && may_come {
            let token = WaitToken(self.next_token);
            self.next_token += 1;
            self.waiters.push_back(Waiter { token, task, bytes, since: now, granted: false });
            return Acquire::Wait(token);
        }
        Acquire::Refused(Shortfall { requested: bytes, available, capacity: self.capacity })
    }

    /// Takes `bytes` back from `task` and serves waiting requests.
    pub fn release(&mut self, task: TaskId, bytes: u64) {
        self.change(task, |slot| {
            debug_assert!(slot.granted >= bytes, "released more than granted");
            slot.granted = slot.granted.saturating_sub(bytes);
        });
        self.retire(task);
        self.serve();
    }

    /// What became of a queued request. A granted one is reported once.
    pub fn poll(&mut self, token: WaitToken) -> WaitStatus {
        let Some(place) = self.waiters.iter().position(|waiter| waiter.token == token) else {
            return WaitStatus::Gone;
        };
        let waiter = self.waiters[place];
        if waiter.granted {
            self.waiters.remove(place);
            WaitStatus::Granted
        } else {
            WaitStatus::Waiting { since: waiter.since }
        }
    }

    /// Gives up a queued request; if it had been granted meanwhile, the bytes go back.
    pub fn cancel(&mut self, token: WaitToken) {
        if let Some(place) = self.waiters.iter().position(|waiter| waiter.token == token)
            && let Some(waiter) = self.waiters.remove(place)
        {
            if waiter.granted {
                self.release(waiter.task, waiter.bytes);
            } else {
                self.serve();
            }
        }
    }

    /// Ends `task`: its promise lapses; what it still holds is *exported* until released.
    pub fn end(&mut self, task: TaskId) {
        if self.slot(task).is_none_or(|slot| slot.ended) {
            return;
        }
        let mut given_back = 0;
        self.waiters.retain(|waiter| {
            if waiter.task == task && waiter.granted {
                given_back += waiter.bytes;
            }
            waiter.task != task
        });
        self.change(task, |slot| {
            slot.granted = slot.granted.saturating_sub(given_back);
            slot.minimum = 0;
            slot.ended = true;
        });
        self.active -= 1;
        self.retire(task);
        self.serve();
    }

    /// The capacity in bytes.
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What one task may hold at most.
    pub fn share(&self) -> u64 {
        self.capacity / self.active.max(1)
    }

    /// Bytes granted to all tasks.
    pub fn granted(&self) -> u64 {
        self.tasks.iter().flatten().map(|slot| slot.granted).sum()
    }

    /// Bytes held by buffers of tasks that have ended.
    pub fn exported(&self) -> u64 {
        self.tasks.iter().flatten().filter(|slot| slot.ended).map(|slot| slot.granted).sum()
    }

    /// Bytes granted to one task.
    pub fn granted_to(&self, task: TaskId) -> u64 {
        self.slot(task).map_or(0, |slot| slot.granted)
    }

    fn available(&self, slot: TaskSlot) -> u64 {
        let others = self.committed - slot.committed();
        self.share().min(self.capacity - others).saturating_sub(slot.granted)
    }

    fn serve(&mut self) {
        for place in 0..self.waiters.len() {
            let waiter = self.waiters[place];
            if waiter.granted {
                continue;
            }
            let Some(slot) = self.slot(waiter.task) else {
                continue;
            };
            if waiter.bytes > self.available(slot) {
                // First come, first served: nobody overtakes a request that memory is short for.
                break;
            }
            self.change(waiter.task, |slot| slot.granted += waiter.bytes);
            self.waiters[place].granted = true;
        }
    }

    fn slot(&self, task: TaskId) -> Option<TaskSlot> {
        self.tasks.get(task.0).copied().flatten()
    }

    fn change(&mut self, task: TaskId, change: impl FnOnce(&mut TaskSlot)) {
        if let Some(slot) = self.tasks.get_mut(task.0).and_then(Option::as_mut) {
            let before = slot.committed();
            change(slot);
            self.committed = self.committed - before + slot.committed();
            debug_assert!(self.committed <= self.capacity, "promised more than there is");
        }
    }

    fn retire(&mut self, task: TaskId) {
        if self.slot(task).is_some_and(|slot| slot.ended && slot.granted == 0) {
            self.tasks[task.0] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(0);

    fn admit(state: &mut LedgerState, minimum: u64) -> TaskId {
        state.admit(1, minimum).unwrap()[0]
    }

    #[test]
    fn a_promise_is_kept_against_other_tasks() {
        let mut state = LedgerState::new(100);
        let first = admit(&mut state, 30);
        let second = admit(&mut state, 30);
        assert_eq!(state.acquire(first, 50, NOW, Patience::Never), Acquire::Granted);
        assert!(matches!(state.acquire(first, 1, NOW, Patience::Never), Acquire::Refused(_)));
        assert_eq!(state.acquire(second, 50, NOW, Patience::Never), Acquire::Granted);
        assert_eq!(state.granted(), 100);
        assert!(state.admit(1, 1).is_err());
    }

    #[test]
    fn tasks_are_admitted_together_or_not_at_all() {
        let mut state = LedgerState::new(100);
        assert!(state.admit(4, 26).is_err());
        assert_eq!((state.share(), state.granted()), (100, 0));
        let tasks = state.admit(4, 25).unwrap();
        assert_eq!(state.share(), 25);
        for task in tasks {
            assert_eq!(state.acquire(task, 25, NOW, Patience::Never), Acquire::Granted);
        }
    }

    #[test]
    fn a_share_below_a_minimum_is_refused() {
        let mut state = LedgerState::new(100);
        admit(&mut state, 60);
        let error = state.admit(1, 10).unwrap_err();
        assert_eq!(error.figure(Figure::Available), Some(50));
    }

    #[test]
    fn an_ended_task_leaves_its_buffers_exported_and_its_share_to_others() {
        let mut state = LedgerState::new(100);
        let first = admit(&mut state, 0);
        let second = admit(&mut state, 0);
        assert_eq!(state.acquire(first, 40, NOW, Patience::Never), Acquire::Granted);
        state.end(first);
        assert_eq!(state.exported(), 40);
        assert_eq!(state.acquire(second, 60, NOW, Patience::Never), Acquire::Granted);
        state.release(first, 40);
        assert_eq!((state.exported(), state.granted()), (0, 60));
    }

    #[test]
    fn waits_under_half_a_share_and_is_served_in_order() {
        let mut state = LedgerState::new(100);
        let first = admit(&mut state, 0);
        assert_eq!(state.acquire(first, 100, NOW, Patience::Never), Acquire::Granted);
        let second = admit(&mut state, 0);
        let Acquire::Wait(token) = state.acquire(second, 20, Tick(7), Patience::UnderHalfShare)
        else {
            unreachable!("it must wait")
        };
        assert_eq!(state.poll(token), WaitStatus::Waiting { since: Tick(7) });
        state.release(first, 60);
        assert_eq!(state.poll(token), WaitStatus::Granted);
        assert_eq!(state.poll(token), WaitStatus::Gone);
        assert_eq!(state.granted_to(second), 20);
    }
}
