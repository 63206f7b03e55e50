//! What all handles of a ledger share: the state machine behind a lock, its figures beside it.
//!
//! Invariants: no lock is held while a consumer spills, the host is called or a thread sleeps; whoever
//! changes something that answers a queued request wakes those who wait, after unlocking.

use std::sync::PoisonError;
use std::time::Duration;

use super::counters::{Counters, LedgerSnapshot};
use super::explain::{Spill, SpillLog, SpillRecord};
use super::host::{Asking, Host, Return};
use super::peak::{NameIndex, PeakByName};
use super::state::{Acquire, LedgerState, Patience, Shortfall, TaskId};
use super::task::TaskShared;
use super::wait::Waiting;
use crate::port::Clock;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex};
use crate::{Error, ErrorKind};

pub(super) struct LedgerShared {
    inner: Mutex<Inner>,
    pub(super) host: Option<Host>,
    pub(super) waiting: Option<Waiting>,
    clock: Option<Arc<dyn Clock>>,
    capacity: AtomicU64,
    pub(super) granted: AtomicU64,
    live: AtomicU64,
    exported: AtomicU64,
    peak_granted: AtomicU64,
    peak_live: AtomicU64,
    /// Threads that wait: what comes back without the lock must wake them.
    pub(super) sleepers: AtomicUsize,
    pub(super) counters: Counters,
    spills: Mutex<SpillLog>,
}

pub(super) struct Inner {
    pub(super) state: LedgerState,
    pub(super) peak: PeakByName,
    /// Of the granted bytes in the figures, those that nobody has collected yet.
    uncollected: u64,
    /// Every task that still holds something, ended ones too.
    pub(super) tasks: Vec<Arc<TaskShared>>,
    /// Tasks admitted so far.
    pub(super) task_count: u64,
    /// Requests granted so far.
    pub(super) grants: u64,
    /// Whether no task will be admitted any more.
    pub(super) closed: bool,
}

/// Who asks: a consumer's place in the account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    pub(super) task: TaskId,
    pub(super) name: NameIndex,
}

/// Why there was no grant.
pub(super) enum Refusal {
    Short(Shortfall),
    /// What the host answered.
    Host(Error),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Short(shortfall) => shortfall.into(),
            Refusal::Host(error) => error,
        }
    }
}

impl LedgerShared {
    pub(super) fn new(
        capacity: u64,
        host: Option<Host>,
        waiting: Option<Waiting>,
        clock: Option<Arc<dyn Clock>>,
    ) -> Self {
        let state =
            if host.is_some() { LedgerState::lent(capacity) } else { LedgerState::new(capacity) };
        let inner = Inner {
            state,
            peak: PeakByName::new(),
            uncollected: 0,
            tasks: Vec::new(),
            task_count: 0,
            grants: 0,
            closed: false,
        };
        Self {
            inner: Mutex::new(inner),
            host,
            waiting,
            clock,
            capacity: AtomicU64::new(capacity),
            granted: AtomicU64::new(0),
            live: AtomicU64::new(0),
            exported: AtomicU64::new(0),
            peak_granted: AtomicU64::new(0),
            peak_live: AtomicU64::new(0),
            sleepers: AtomicUsize::new(0),
            counters: Counters::default(),
            spills: Mutex::new(SpillLog::new()),
        }
    }

    /// Grants `bytes` or says how far away that is; asks the host, but no consumer. Allocates
    /// nothing.
    pub(super) fn acquire(&self, account: Account, bytes: u64) -> Result<(), Refusal> {
        let answer = self.locked(|inner| self.ask(inner, account, bytes));
        if answer == Acquire::Granted { Ok(()) } else { self.acquire_slowly(account, bytes) }
    }

    fn ask(&self, inner: &mut Inner, account: Account, bytes: u64) -> Acquire {
        let answer = inner.state.acquire(account.task, bytes, Patience::Never);
        if answer == Acquire::Granted {
            self.note_grant(inner, account, bytes);
        }
        answer
    }

    #[cold]
    fn acquire_slowly(&self, account: Account, bytes: u64) -> Result<(), Refusal> {
        let (mut lent, mut asking) = (0, Asking::new());
        loop {
            let answer = self.locked(|inner| {
                inner.collect_returned();
                inner.state.fund(lent);
                self.ask(inner, account, bytes)
            });
            let missing = match answer {
                Acquire::Granted => {
                    self.return_surplus(Return::Always);
                    return Ok(());
                }
                Acquire::Unfunded(missing) => missing,
                Acquire::Refused(shortfall) => {
                    self.return_surplus(Return::Always);
                    return Err(Refusal::Short(shortfall));
                }
                Acquire::Wait(_) => return Err(Refusal::Host(WAITED_WITHOUT_PATIENCE)),
            };
            let available = bytes.saturating_sub(missing);
            let answer =
                if asking.goes_on(missing) { self.borrow_from_host(missing) } else { Ok(0) };
            lent = answer.as_ref().copied().unwrap_or(0);
            if lent == 0 {
                self.return_surplus(Return::Always);
                answer.map_err(Refusal::Host)?;
                let capacity = self.capacity();
                return Err(Refusal::Short(Shortfall { requested: bytes, available, capacity }));
            }
        }
    }

    /// Counts what the state machine has granted.
    pub(super) fn note_grant(&self, inner: &mut Inner, account: Account, bytes: u64) {
        let granted = self.granted.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.note(inner, account, bytes, granted);
    }

    /// As [`LedgerShared::note_grant`], for what a queued request was granted: the figures have it
    /// since then.
    pub(super) fn note_collected(&self, inner: &mut Inner, account: Account, bytes: u64) {
        // It may have been granted under this very lock, and not be in the figures yet.
        let (before, now) = (inner.uncollected, inner.state.uncollected());
        let granted = self.change_granted(before, now + bytes);
        inner.uncollected = now;
        self.note(inner, account, bytes, granted);
    }

    fn note(&self, inner: &mut Inner, account: Account, bytes: u64, granted: u64) {
        inner.grants += 1;
        inner.peak.add(account.name, bytes, granted, inner.uncollected);
        self.peak_granted.store(inner.peak.peak(), Ordering::Relaxed);
    }

    pub(super) fn release(&self, account: Account, bytes: u64) {
        let idle = self.locked(|inner| {
            self.granted.fetch_sub(bytes, Ordering::AcqRel);
            inner.peak.sub(account.name, bytes);
            inner.state.release(account.task, bytes);
            if self.has_host() {
                inner.collect_returned();
            }
            inner.state.idle()
        });
        if idle > 0 {
            self.return_surplus(Return::Always);
        }
    }

    /// Takes bytes out of a consumer's account, leaving them with its task.
    pub(super) fn export(&self, account: Account, bytes: u64) {
        self.locked(|inner| {
            self.exported.fetch_add(bytes, Ordering::AcqRel);
            inner.peak.sub(account.name, bytes);
        });
    }

    /// Puts exported bytes into a consumer's account of the same task again.
    pub(super) fn import(&self, account: Account, bytes: u64) {
        self.locked(|inner| {
            self.exported.fetch_sub(bytes, Ordering::AcqRel);
            inner.peak.add(account.name, bytes, self.granted(), inner.uncollected);
        });
    }

    /// Counts bytes as given back without the lock; the next one who needs them collects them.
    pub(super) fn release_later(&self, returned: &AtomicU64, bytes: u64) {
        self.exported.fetch_sub(bytes, Ordering::AcqRel);
        self.granted.fetch_sub(bytes, Ordering::AcqRel);
        // With `sleepers`: either this thread sees the one who waits, or that one sees the bytes.
        returned.fetch_add(bytes, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.locked(Inner::collect_returned);
        }
    }

    pub(super) fn end(&self, task: TaskId) {
        let unused = self.locked(|inner| {
            inner.collect_returned();
            inner.state.end(task);
            inner.forget_finished();
            inner.take_unused()
        });
        drop(unused);
        self.return_surplus(Return::TaskEnd);
    }

    pub(super) fn set_capacity(&self, capacity: u64) {
        self.locked(|inner| {
            inner.state.set_capacity(capacity);
            self.capacity.store(capacity, Ordering::Release);
        });
    }

    pub(super) fn add_live(&self, bytes: u64) {
        let live = self.live.fetch_add(bytes, Ordering::AcqRel) + bytes;
        if live > self.peak_live.load(Ordering::Relaxed) {
            self.peak_live.fetch_max(live, Ordering::Relaxed);
        }
    }

    pub(super) fn sub_live(&self, bytes: u64) {
        self.live.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub(super) fn log_spill(&self, holder: super::explain::Party, spill: &Spill) {
        let Spill { cause, asked, held, freed, written, took, failed } = *spill;
        let (asker, asked) = asked.unwrap_or((holder, 0));
        let started = self.now().saturating_sub(took);
        let counters = &self.counters;
        Counters::add(&counters.spills[cause as usize], 1);
        Counters::add(&counters.spills_failed, u64::from(failed));
        Counters::add(&counters.spill_freed, freed);
        Counters::add(&counters.spill_written, written);
        Counters::add_time(&counters.spill_nanos, took);
        let mut log = self.spills.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(|number| SpillRecord {
            number,
            cause,
            asker,
            asked,
            holder,
            held,
            freed,
            written,
            started,
            took,
            failed,
        });
    }

    pub(super) fn spills(&self) -> Vec<SpillRecord> {
        self.spills.lock().unwrap_or_else(PoisonError::into_inner).records()
    }

    pub(super) fn now(&self) -> Duration {
        self.clock.as_ref().map_or(Duration::ZERO, |clock| clock.now())
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity.load(Ordering::Acquire)
    }

    pub(super) fn granted(&self) -> u64 {
        self.granted.load(Ordering::Acquire)
    }

    pub(super) fn live(&self) -> u64 {
        self.live.load(Ordering::Acquire)
    }

    pub(super) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Acquire)
    }

    pub(super) fn peak_granted(&self) -> u64 {
        self.peak_granted.load(Ordering::Relaxed)
    }

    pub(super) fn peak_live(&self) -> u64 {
        self.peak_live.load(Ordering::Relaxed)
    }

    pub(super) fn share(&self) -> u64 {
        self.locked(|inner| inner.state.share())
    }

    pub(super) fn limit_of(&self, task: TaskId) -> u64 {
        self.locked(|inner| inner.state.limit_of(task))
    }

    pub(super) fn granted_to(&self, task: TaskId) -> u64 {
        self.locked(|inner| {
            inner.collect_returned();
            inner.state.granted_to(task)
        })
    }

    pub(super) fn snapshot(&self) -> LedgerSnapshot {
        let mut snapshot = self.locked(|inner| {
            inner.collect_returned();
            // What is live is read first: it is granted before it is there.
            let live = self.live();
            let (capacity, granted) = (inner.state.capacity(), self.granted());
            LedgerSnapshot {
                capacity,
                granted,
                // Buffers dropped just now take away from both, one after the other.
                live: live.min(granted),
                over: granted.saturating_sub(capacity),
                peak_granted: inner.peak.peak(),
                lent: inner.state.lent_bytes().unwrap_or(0),
                tasks: inner.tasks.iter().filter(|task| !task.has_ended()).count() as u64,
                waiting: inner.state.waiting() as u64,
                grants: inner.grants,
                ..LedgerSnapshot::default()
            }
        });
        snapshot.exported = self.exported();
        snapshot.peak_live = self.peak_live();
        self.counters.fill(&mut snapshot);
        snapshot
    }

    /// Does `work` under the lock; then, unlocked, wakes those whose requests it answered.
    pub(super) fn locked<R>(&self, work: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = work(&mut inner);
        self.count_uncollected(&mut inner);
        let answered = inner.state.take_answered();
        drop(inner);
        if let (true, Some(waiting)) = (answered, &self.waiting) {
            waiting.park.unpark_all();
        }
        outcome
    }
}

impl LedgerShared {
    /// What was granted to those who sleep is granted: nobody else can have it.
    fn count_uncollected(&self, inner: &mut Inner) {
        let (before, now) = (inner.uncollected, inner.state.uncollected());
        if now != before {
            let granted = self.change_granted(before, now);
            inner.uncollected = now;
            if now > before {
                inner.peak.reached(granted, now);
                self.peak_granted.store(inner.peak.peak(), Ordering::Relaxed);
            }
        }
    }

    /// Counts that a part of what is granted was `before` and is `now`; returns the whole.
    fn change_granted(&self, before: u64, now: u64) -> u64 {
        if now >= before {
            self.granted.fetch_add(now - before, Ordering::AcqRel) + (now - before)
        } else {
            self.granted.fetch_sub(before - now, Ordering::AcqRel) - (before - now)
        }
    }
}

/// The host's ports are called with no lock held and nothing half changed: what a panic of theirs
/// leaves behind is in order.
impl std::panic::RefUnwindSafe for LedgerShared {}

impl Inner {
    /// Books what buffers gave back without the lock.
    pub(super) fn collect_returned(&mut self) {
        for task in &self.tasks {
            let bytes = task.take_returned();
            if bytes > 0 {
                self.state.release(task.id(), bytes);
            }
        }
        self.forget_finished();
    }

    /// The tasks in the list, once nobody can ask for memory any more: they hold the ledger, which
    /// holds them, and the buffers that are left give back to figures that nobody reads.
    pub(super) fn take_unused(&mut self) -> Vec<Arc<TaskShared>> {
        if self.closed && self.tasks.iter().all(|task| task.has_ended()) {
            return std::mem::take(&mut self.tasks);
        }
        Vec::new()
    }

    pub(super) fn forget_finished(&mut self) {
        let state = &self.state;
        self.tasks.retain(|task| !task.has_ended() || state.granted_to(task.id()) > 0);
    }
}

const WAITED_WITHOUT_PATIENCE: Error =
    Error::new(ErrorKind::Internal, "a request that must not wait was queued");
