//! The ledger's rules as a state machine: no locks, no clock, no calls to anybody.
//!
//! N is the number of tasks that hold memory or have a promise of some. A task may hold at most its
//! *share*, capacity/N, and can always reach its *minimum*: what is promised to others is never
//! granted away. A request that does not fit is refused, or, if the caller has patience and the
//! task holds less than half its share, queued under a [`WaitToken`] in order of arrival; what the
//! queued ask for is set aside from those who come later, so nobody starves; but an admission's claim
//! does not bind tasks that may wait themselves, since it waits for tasks to end. Whenever something
//! changes, a queued request is answered as a new one would be. (Spark's `ExecutionMemoryPool`
//! grants in part and wakes everybody; the shares are the same.)
//!
//! The capacity may fall below what is granted: then nothing more is granted until enough came back.
//! A ledger whose memory is lent by a host grants out of *funds*: what the host has lent so far.

mod queue;
mod task_slot;

use crate::{Error, ErrorKind, Figure, Result};
use queue::{Claim, Claims, Queue};
use task_slot::TaskSlot;

pub use queue::{WaitStatus, WaitToken};
pub use task_slot::TaskId;

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
    /// The rules allow it, but the host has lent too little by so many bytes: ask it, then
    /// [`LedgerState::fund`] and ask here again.
    Unfunded(u64),
    /// Nothing is granted.
    Refused(Shortfall),
    /// Queued; ask with [`LedgerState::poll`].
    Wait(WaitToken),
}

/// The answer to tasks that want to be admitted.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// All of them are admitted.
    Admitted(Vec<TaskId>),
    /// Queued; ask with [`LedgerState::poll_admission`].
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

/// Who holds what; see the module documentation for the rules.
#[derive(Debug, Clone)]
pub struct LedgerState {
    capacity: u64,
    /// What the host has lent and not taken back; all there is without a host.
    funds: u64,
    /// What the host is taking back just now and nobody has given back yet.
    owed: u64,
    /// Given back for the host and on its way to it: no longer part of the funds.
    due: u64,
    /// Granted to all tasks, ended ones too.
    granted: u64,
    /// Sum of what each task holds or is promised, whichever is more.
    committed: u64,
    tasks: Vec<Option<TaskSlot>>,
    /// Tasks that have not ended and hold memory or a promise.
    holding: u64,
    /// capacity / holding.
    share: u64,
    queue: Queue,
    answered: bool,
}

impl LedgerState {
    /// A ledger of `capacity` bytes without tasks and without a host.
    pub const fn new(capacity: u64) -> Self {
        Self::with_funds(capacity, u64::MAX)
    }

    /// A ledger of at most `capacity` bytes, all to be lent by a host that has lent nothing yet.
    pub const fn lent(capacity: u64) -> Self {
        Self::with_funds(capacity, 0)
    }

    const fn with_funds(capacity: u64, funds: u64) -> Self {
        Self {
            capacity,
            funds,
            owed: 0,
            due: 0,
            granted: 0,
            committed: 0,
            tasks: Vec::new(),
            holding: 0,
            share: capacity,
            queue: Queue::new(),
            answered: false,
        }
    }

    /// Admits `count` tasks, each with a promised `minimum`; all or none.
    ///
    /// # Errors
    /// `MemoryLimit` if the promises do not fit together, a share would fall below a minimum, or
    /// others wait for what is left. With patience that is an error only if it can never fit.
    pub fn admit(&mut self, count: u32, minimum: u64, patience: Patience) -> Result<Admission> {
        match self.check_admission(count, minimum, self.queue.claims().all()) {
            Ok(()) => {
                let tasks = self.add_tasks(count, minimum);
                self.serve();
                Ok(Admission::Admitted(tasks))
            }
            Err(error) if patience == Patience::Never || minimum > self.alone(count) => Err(error),
            Err(_) => Ok(Admission::Wait(self.queue.push(Claim::Admission { count, minimum }))),
        }
    }

    /// As [`LedgerState::poll`] for an admission; the tasks, once they are admitted.
    pub fn poll_admission(&mut self, token: WaitToken) -> (WaitStatus, Vec<TaskId>) {
        let Some((Claim::Admission { count, minimum }, claimed)) = self.queue.claim_of(token)
        else {
            return (self.queue.poll(token), Vec::new());
        };
        if self.check_admission(count, minimum, claimed).is_err() {
            return (WaitStatus::Waiting, Vec::new());
        }
        self.queue.remove(token);
        let tasks = self.add_tasks(count, minimum);
        self.serve();
        (WaitStatus::Granted, tasks)
    }

    fn check_admission(&self, count: u32, minimum: u64, claimed: u64) -> Result<()> {
        let free = self.capacity.saturating_sub(self.committed).saturating_sub(claimed);
        let needed = minimum.saturating_mul(u64::from(count));
        if needed > free {
            return Err(self.too_small(minimum, free / u64::from(count.max(1))));
        }
        if minimum > 0 {
            let share = self.capacity / (self.holding + u64::from(count)).max(1);
            let held = self.tasks.iter().flatten().map(|task| task.minimum);
            if held.chain([minimum]).any(|least| least > share) {
                return Err(self.too_small(minimum, share));
            }
        }
        Ok(())
    }

    /// What each of `count` tasks can be promised at most.
    fn alone(&self, count: u32) -> u64 {
        self.capacity / u64::from(count.max(1))
    }

    fn add_tasks(&mut self, count: u32, minimum: u64) -> Vec<TaskId> {
        if minimum > 0 {
            self.holding += u64::from(count);
            self.reckon_share();
        }
        self.committed += minimum.saturating_mul(u64::from(count));
        let mut admitted = Vec::with_capacity(count as usize);
        let vacant = self.tasks.iter().enumerate().filter(|(_, slot)| slot.is_none());
        admitted.extend(vacant.map(|(place, _)| TaskId::at(place)).take(count as usize));
        admitted.extend((self.tasks.len()..).map(TaskId::at).take(count as usize - admitted.len()));
        for id in &admitted {
            if id.place() == self.tasks.len() {
                self.tasks.push(None);
            }
            self.tasks[id.place()] = Some(TaskSlot::new(minimum));
        }
        admitted
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

    /// Asks for `bytes` on behalf of `task`. Allocates nothing unless it queues.
    pub fn acquire(&mut self, task: TaskId, bytes: u64, patience: Patience) -> Acquire {
        let claims = self.queue.claims();
        match self.decide(task, bytes, claims) {
            Decision::Grant => {
                let answer = self.grant(task, bytes);
                // Those of its task may wait no longer; and shares fall when it begins to hold.
                self.serve();
                answer
            }
            Decision::Wait if patience == Patience::UnderHalfShare => {
                Acquire::Wait(self.queue.push(Claim::Request { task, bytes }))
            }
            Decision::Wait | Decision::Refuse => {
                Acquire::Refused(self.shortfall(task, bytes, claims))
            }
        }
    }

    /// Takes `bytes` back from `task`.
    pub fn release(&mut self, task: TaskId, bytes: u64) {
        self.forget(task, bytes);
        self.set_aside(bytes);
        self.serve();
    }

    fn forget(&mut self, task: TaskId, bytes: u64) {
        self.change(task, |slot| {
            debug_assert!(slot.granted >= bytes, "released more than granted");
            slot.granted = slot.granted.saturating_sub(bytes);
        });
        self.retire(task);
    }

    /// Sets the capacity; below what is granted it is a target.
    pub fn set_capacity(&mut self, capacity: u64) {
        self.capacity = capacity;
        self.reckon_share();
        self.serve();
    }

    /// What became of a queued request. A final answer is given once.
    pub fn poll(&mut self, token: WaitToken) -> WaitStatus {
        match self.queue.poll(token) {
            WaitStatus::Unfunded(bytes) => {
                self.unfunded(bytes).map_or(WaitStatus::Waiting, WaitStatus::Unfunded)
            }
            status => status,
        }
    }

    /// Whether queued requests were answered since this was asked last: their askers must look.
    pub const fn take_answered(&mut self) -> bool {
        std::mem::replace(&mut self.answered, false)
    }

    /// Gives up a queued request; what it had been granted meanwhile goes back.
    pub fn cancel(&mut self, token: WaitToken) {
        let Some(entry) = self.queue.remove(token) else {
            return;
        };
        if let (true, Claim::Request { task, bytes }) = (entry.granted, entry.claim) {
            self.release(task, bytes);
        }
        self.serve();
    }

    /// Ends `task`: its promise lapses; what it still holds is *exported* until released.
    pub fn end(&mut self, task: TaskId) {
        self.close(task);
        self.serve();
    }

    fn close(&mut self, task: TaskId) {
        if self.slot(task).is_none_or(|slot| slot.ended) {
            return;
        }
        let queued = self.queue.len();
        let granted_unclaimed = self.queue.forget(task);
        // Whoever asks for these is told that they are gone.
        self.answered |= self.queue.len() < queued;
        self.change(task, |slot| {
            slot.granted = slot.granted.saturating_sub(granted_unclaimed);
            slot.minimum = 0;
        });
        self.set_aside(granted_unclaimed);
        if self.slot(task).is_some_and(TaskSlot::is_holding) {
            self.holding -= 1;
            self.reckon_share();
        }
        if let Some(slot) = self.slot_mut(task) {
            slot.ended = true;
        }
        self.retire(task);
    }

    /// Counts what the host lent.
    pub fn fund(&mut self, bytes: u64) {
        if self.is_lent() {
            self.funds = self.funds.saturating_add(bytes).min(u64::MAX - 1);
            self.serve();
        }
    }

    /// Takes up to `bytes` of what is lent and not granted, to be given back to the host.
    pub fn take_idle(&mut self, bytes: u64) -> u64 {
        let taken = bytes.min(self.idle());
        self.funds -= taken;
        taken
    }

    /// Lent by the host, not granted and not set aside for it; nothing without a host.
    pub const fn idle(&self) -> u64 {
        if self.is_lent() { self.funds.saturating_sub(self.granted) } else { 0 }
    }

    /// The host takes `bytes` back: what lies idle now, and what comes back from now on, is set
    /// aside for [`LedgerState::take_due`] and not granted again. What is lent meanwhile is not.
    pub fn owe(&mut self, bytes: u64) {
        self.owed = self.owed.saturating_add(bytes);
        self.set_aside(bytes);
    }

    /// Takes up to `bytes` of what was set aside, to be given back to the host.
    pub fn take_due(&mut self, bytes: u64) -> u64 {
        let taken = bytes.min(self.due);
        self.due -= taken;
        taken
    }

    /// Ends what [`LedgerState::owe`] began, but for what was taken.
    pub fn owe_no_more(&mut self, bytes: u64) {
        let not_there = bytes.min(self.owed);
        let unclaimed = (bytes - not_there).min(self.due);
        self.owed -= not_there;
        self.due -= unclaimed;
        self.fund(unclaimed);
    }

    /// Sets up to `bytes` of what is idle aside for the host.
    fn set_aside(&mut self, bytes: u64) {
        let moved = bytes.min(self.owed).min(self.idle());
        self.funds -= moved;
        self.owed -= moved;
        self.due += moved;
    }

    /// Hands `bytes` of `task` over to the host: neither granted nor lent any more.
    pub fn hand_over(&mut self, task: TaskId, bytes: u64) {
        if self.is_lent() {
            self.funds = self.funds.saturating_sub(bytes);
        }
        self.forget(task, bytes);
        self.serve();
    }

    /// The capacity in bytes.
    pub const fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What one of the tasks that hold memory may hold at most, unless it was promised more.
    pub const fn share(&self) -> u64 {
        self.share
    }

    /// What `task` may hold at most: its share, itself counted, or what it was promised.
    pub fn limit_of(&self, task: TaskId) -> u64 {
        self.slot(task).map_or(0, |slot| self.share_of(slot).max(slot.minimum))
    }

    /// Bytes granted to all tasks.
    pub const fn granted(&self) -> u64 {
        self.granted
    }

    /// Of the granted bytes, those that were granted to queued requests and not collected by
    /// [`LedgerState::poll`] yet.
    pub const fn uncollected(&self) -> u64 {
        self.queue.uncollected()
    }

    /// Bytes lent by the host, if there is one.
    pub fn lent_bytes(&self) -> Option<u64> {
        self.is_lent().then_some(self.funds.saturating_add(self.due))
    }

    /// Bytes held by buffers of tasks that have ended.
    pub fn exported(&self) -> u64 {
        self.tasks.iter().flatten().filter(|slot| slot.ended).map(|slot| slot.granted).sum()
    }

    /// Bytes granted to one task.
    pub fn granted_to(&self, task: TaskId) -> u64 {
        self.slot(task).map_or(0, |slot| slot.granted)
    }

    /// Requests in the queue that are not answered yet.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    const fn is_lent(&self) -> bool {
        self.funds != u64::MAX
    }
}

/// What the rules say about a request, the host's funds apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Grant,
    Wait,
    Refuse,
}

impl LedgerState {
    /// What becomes of a request when those before it have `claims`.
    fn decide(&self, task: TaskId, bytes: u64, claims: Claims) -> Decision {
        let Some(slot) = self.slot(task).filter(|slot| !slot.ended) else {
            return Decision::Refuse;
        };
        if bytes <= self.room(slot, claims) {
            return Decision::Grant;
        }
        let share = self.share_of(slot);
        let all = slot.granted.checked_add(bytes);
        let may_come = all.is_some_and(|all| all <= share.max(slot.minimum));
        if slot.granted < share / 2 && may_come { Decision::Wait } else { Decision::Refuse }
    }

    /// What `slot` could be granted now.
    fn room(&self, slot: &TaskSlot, claims: Claims) -> u64 {
        let others = self.committed - slot.committed();
        let share = self.share_of(slot);
        // An admission waits for tasks to end: one that may wait itself must not wait for it.
        let may_wait = slot.granted < share / 2;
        let claimed = if may_wait { claims.requests } else { claims.all() };
        let free = self.capacity.saturating_sub(others).saturating_sub(claimed);
        let unclaimed = free.min(share.max(slot.minimum)).saturating_sub(slot.granted);
        // Nobody's claim comes before a promise.
        let promised = slot.minimum.saturating_sub(slot.granted);
        unclaimed.max(promised).min(self.capacity.saturating_sub(self.granted))
    }

    /// The share of a task, which counts itself.
    fn share_of(&self, slot: &TaskSlot) -> u64 {
        if slot.is_holding() { self.share } else { self.capacity / (self.holding + 1) }
    }

    fn reckon_share(&mut self) {
        self.share = self.capacity / self.holding.max(1);
    }

    fn grant(&mut self, task: TaskId, bytes: u64) -> Acquire {
        if let Some(missing) = self.unfunded(bytes) {
            return Acquire::Unfunded(missing);
        }
        self.change(task, |slot| slot.granted += bytes);
        Acquire::Granted
    }

    fn unfunded(&self, bytes: u64) -> Option<u64> {
        let needed = if bytes == 0 { 0 } else { self.granted.saturating_add(bytes) };
        needed.checked_sub(self.funds).filter(|missing| *missing > 0)
    }

    fn shortfall(&self, task: TaskId, requested: u64, claims: Claims) -> Shortfall {
        let slot = self.slot(task).filter(|slot| !slot.ended);
        let available = slot.map_or(0, |slot| self.room(slot, claims));
        Shortfall { requested, available, capacity: self.capacity }
    }

    /// Answers queued requests in their order, again while an answer changes the shares.
    fn serve(&mut self) {
        while self.queue.waiting() > 0 && self.serve_once() {
            self.answered = true;
        }
    }

    fn serve_once(&mut self) -> bool {
        let (mut claims, mut answered) = (Claims::default(), false);
        for place in 0..self.queue.len() {
            let Some(claim) = self.queue.unanswered(place) else {
                continue;
            };
            let settled = match claim {
                Claim::Request { task, bytes } => self.serve_request(place, task, bytes, claims),
                Claim::Admission { count, minimum } if minimum > self.alone(count) => {
                    let (available, capacity) = (self.alone(count), self.capacity);
                    let shortfall = Shortfall { requested: minimum, available, capacity };
                    self.queue.refuse(place, shortfall);
                    true
                }
                // It admits itself: that allocates, and this may run where a spill gives back.
                Claim::Admission { count, minimum } => {
                    let fits = self.check_admission(count, minimum, claims.all()).is_ok();
                    self.queue.set_ready(place, fits)
                }
            };
            answered |= settled;
            if self.queue.unanswered(place).is_some() {
                claims.add(claim);
            }
        }
        answered
    }

    /// Whether the waiter has something to do that it had not before.
    fn serve_request(&mut self, place: usize, task: TaskId, bytes: u64, claims: Claims) -> bool {
        match self.decide(task, bytes, claims) {
            Decision::Grant => match self.grant(task, bytes) {
                Acquire::Granted => self.queue.grant(place),
                // It keeps its claim while it asks the host.
                _ => return self.queue.set_ready(place, true),
            },
            Decision::Wait => return self.queue.set_ready(place, false),
            Decision::Refuse => {
                let shortfall = self.shortfall(task, bytes, claims);
                self.queue.refuse(place, shortfall);
            }
        }
        true
    }

    fn slot(&self, task: TaskId) -> Option<&TaskSlot> {
        self.tasks.get(task.place()).and_then(Option::as_ref)
    }

    fn slot_mut(&mut self, task: TaskId) -> Option<&mut TaskSlot> {
        self.tasks.get_mut(task.place()).and_then(Option::as_mut)
    }

    fn change(&mut self, task: TaskId, change: impl FnOnce(&mut TaskSlot)) {
        let Some(slot) = self.slot_mut(task) else {
            return;
        };
        let before = *slot;
        change(slot);
        let after = *slot;
        self.committed = self.committed - before.committed() + after.committed();
        self.granted = self.granted - before.granted + after.granted;
        if before.is_holding() != after.is_holding() {
            let joined = u64::from(after.is_holding());
            self.holding = self.holding + joined - (1 - joined);
            self.reckon_share();
        }
        debug_assert!(
            after.granted <= before.granted || self.granted <= self.capacity.min(self.funds),
            "granted more than there is"
        );
    }

    fn retire(&mut self, task: TaskId) {
        if self.slot(task).is_some_and(|slot| slot.ended && slot.granted == 0) {
            self.tasks[task.place()] = None;
        }
    }
}

#[cfg(test)]
mod tests;
