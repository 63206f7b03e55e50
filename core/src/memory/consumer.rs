//! Who holds memory, and for what.

mod spilling;

use std::fmt;
use std::sync::OnceLock;

use super::birth::Birth;
use super::explain::Party;
use super::pressure::{self, Spillable};
use super::report::HolderReport;
use super::reservation::Reservation;
use super::shared::{Account, LedgerShared, Refusal};
use super::task::{TaskHandle, TaskShared};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, Weak};
use crate::{Error, ErrorKind, Result};

pub use spilling::SpillScope;

/// One purpose that memory is held for. Cheap to clone; cloning does not allocate.
#[derive(Clone)]
pub struct Consumer {
    shared: Arc<ConsumerShared>,
}

pub(super) struct ConsumerShared {
    name: &'static str,
    account: Account,
    task: Arc<TaskHandle>,
    granted: AtomicU64,
    live: AtomicU64,
    peak: AtomicU64,
    /// Given back by spilling so far.
    spilled: AtomicU64,
    /// What a spill would give back now.
    reclaimable: AtomicU64,
    is_wanted: AtomicBool,
    /// Who asked it to spill while it was busy, and for how much.
    wanted: Mutex<Option<(Party, u64)>>,
    /// Granted and not yet part of a reservation: see [`Birth`].
    credit: AtomicU64,
    /// While it spills it is granted nothing.
    spilling: AtomicBool,
    cancelled: AtomicBool,
    spillable: OnceLock<Weak<dyn Spillable>>,
}

impl Consumer {
    pub(super) fn new(name: &'static str, task: Arc<TaskHandle>) -> Self {
        let shared = task.shared();
        let name_index = shared.ledger().locked(|inner| inner.peak.index_of(name));
        let account = Account { task: shared.id(), name: name_index };
        Self {
            shared: Arc::new(ConsumerShared {
                name,
                account,
                task,
                granted: AtomicU64::new(0),
                live: AtomicU64::new(0),
                peak: AtomicU64::new(0),
                spilled: AtomicU64::new(0),
                reclaimable: AtomicU64::new(0),
                is_wanted: AtomicBool::new(false),
                wanted: Mutex::new(None),
                credit: AtomicU64::new(0),
                spilling: AtomicBool::new(false),
                cancelled: AtomicBool::new(false),
                spillable: OnceLock::new(),
            }),
        }
    }

    /// Reserves `bytes`: what is free, then what this task's other consumers spill, then by waiting
    /// if the ledger can wait and the task holds less than half its share. May block and do I/O.
    ///
    /// # Errors
    /// `MemoryLimit` with what was asked for, what was free, the budget and who holds it;
    /// `Cancelled`; what the host answered.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation> {
        match self.grant(bytes) {
            Ok(()) => Ok(Reservation::new(self.clone(), bytes)),
            Err(refusal) => pressure::reserve(self, bytes, refusal),
        }
    }

    /// As [`Consumer::reserve`], but does not wait, and its error names no holders: for one who can
    /// then spill itself. Allocates nothing.
    ///
    /// # Errors
    /// As [`Consumer::reserve`]; [`Consumer::name_holders`] adds who holds the rest.
    pub fn reserve_now(&self, bytes: u64) -> Result<Reservation> {
        match self.grant(bytes) {
            Ok(()) => Ok(Reservation::new(self.clone(), bytes)),
            Err(refusal) => pressure::reserve_now(self, bytes, refusal).map_err(|refusal| {
                pressure::count_refusal(self);
                refusal.into()
            }),
        }
    }

    /// Reserves `bytes` if they are free, or the host lends them at once; asks no consumer and
    /// allocates nothing.
    ///
    /// # Errors
    /// As [`Consumer::reserve_now`].
    pub fn try_reserve(&self, bytes: u64) -> Result<Reservation> {
        self.grant(bytes)?;
        Ok(Reservation::new(self.clone(), bytes))
    }

    /// Reserves all that a holder needs from the start, in one request: what this consumer reserves
    /// while the returned value lives comes out of it. Two holders being made at once cannot each
    /// wait for what the other has.
    ///
    /// # Errors
    /// As [`Consumer::reserve`].
    pub fn begin_birth(&self, bytes: u64) -> Result<Birth> {
        self.reserve(bytes).map(Birth::new)
    }

    /// As [`Consumer::begin_birth`], but does not wait.
    ///
    /// # Errors
    /// As [`Consumer::reserve_now`].
    pub fn begin_birth_now(&self, bytes: u64) -> Result<Birth> {
        self.reserve_now(bytes).map(Birth::new)
    }

    /// Asks other tasks that hold more than their share for `bytes`: their consumers are marked and
    /// spill at their next step. Returns at once.
    pub fn ask_others(&self, bytes: u64) {
        pressure::ask_others(self, bytes);
    }

    /// Adds to an error who holds how much. Allocates.
    #[must_use]
    pub fn name_holders(&self, error: Error) -> Error {
        error.with_detail(pressure::describe_holders(self.ledger()))
    }

    /// The name it was made with.
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// Bytes granted now.
    pub fn granted(&self) -> u64 {
        self.shared.granted.load(Ordering::Acquire)
    }

    /// Bytes really allocated now.
    pub fn live(&self) -> u64 {
        self.shared.live.load(Ordering::Acquire)
    }

    /// The most bytes that were ever granted at once.
    pub fn peak(&self) -> u64 {
        self.shared.peak.load(Ordering::Relaxed)
    }

    /// The most the task may hold now.
    pub fn task_share(&self) -> u64 {
        self.ledger().limit_of(self.shared.account.task)
    }

    /// Bytes in buffers that this task handed out and that are still charged to it.
    pub fn exported(&self) -> u64 {
        self.task().exported()
    }

    /// Makes every wait of this consumer, now and later, fail with `Cancelled`, from any thread.
    pub fn canceller(&self) -> WaitCanceller {
        WaitCanceller { shared: Arc::downgrade(&self.shared) }
    }

    pub(super) fn grant(&self, bytes: u64) -> Result<(), Refusal> {
        if self.shared.spilling.load(Ordering::Relaxed) {
            return Err(Refusal::Host(SPILLS_NOW));
        }
        if self.take_credit(bytes) {
            return Ok(());
        }
        self.ledger().acquire(self.shared.account, bytes)?;
        self.count_grant(bytes);
        Ok(())
    }

    pub(super) fn grant_or_wait(&self, bytes: u64, before: &dyn Fn()) -> Result<(), Refusal> {
        let cancelled =
            || self.shared.cancelled.load(Ordering::SeqCst) || self.task().is_cancelled();
        self.ledger().acquire_or_wait(self.shared.account, bytes, &cancelled, before)?;
        self.count_grant(bytes);
        Ok(())
    }

    pub(super) fn add_credit(&self, bytes: u64) {
        self.shared.credit.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn take_all_credit(&self) -> u64 {
        self.shared.credit.swap(0, Ordering::AcqRel)
    }

    fn take_credit(&self, bytes: u64) -> bool {
        let credit = &self.shared.credit;
        credit.load(Ordering::Relaxed) >= bytes
            && bytes > 0
            && credit
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |left| left.checked_sub(bytes))
                .is_ok()
    }

    fn count_grant(&self, bytes: u64) {
        let granted = self.shared.granted.fetch_add(bytes, Ordering::AcqRel) + bytes;
        if granted > self.shared.peak.load(Ordering::Relaxed) {
            self.shared.peak.fetch_max(granted, Ordering::Relaxed);
        }
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.shared.granted.fetch_sub(bytes, Ordering::AcqRel);
        self.ledger().release(self.shared.account, bytes);
    }

    /// Moves `bytes` out of this consumer's figures, leaving them charged to the task.
    pub(super) fn export(&self, granted: u64, live: u64) -> Arc<TaskShared> {
        self.forget(granted, live);
        self.task().add_exported(granted);
        self.ledger().export(self.shared.account, granted);
        Arc::clone(self.task())
    }

    /// Takes back what this task exported: the other way round.
    pub(super) fn import(&self, granted: u64, live: u64) {
        self.shared.live.fetch_add(live, Ordering::AcqRel);
        self.count_grant(granted);
        self.task().sub_exported(granted);
        self.ledger().import(self.shared.account, granted);
    }

    /// Moves `bytes` out of this consumer's figures and the ledger's, to the host's; without one
    /// nothing happens.
    pub(super) fn hand_over(&self, granted: u64, live: u64) -> Option<super::host::HostCharge> {
        if !self.ledger().has_host() {
            return None;
        }
        self.forget(granted, live);
        self.ledger().hand_over(self.shared.account, granted, live)
    }

    fn forget(&self, granted: u64, live: u64) {
        self.shared.live.fetch_sub(live, Ordering::AcqRel);
        self.shared.granted.fetch_sub(granted, Ordering::AcqRel);
    }

    pub(super) fn add_live(&self, bytes: u64) {
        self.shared.live.fetch_add(bytes, Ordering::AcqRel);
        self.ledger().add_live(bytes);
    }

    pub(super) fn sub_live(&self, bytes: u64) {
        self.shared.live.fetch_sub(bytes, Ordering::AcqRel);
        self.ledger().sub_live(bytes);
    }

    pub(super) fn ledger(&self) -> &Arc<LedgerShared> {
        self.task().ledger()
    }

    pub(super) fn task(&self) -> &Arc<TaskShared> {
        self.shared.task.shared()
    }

    /// Its name for explanations.
    pub fn party(&self) -> Party {
        Party { task: Some(self.task().number()), consumer: self.shared.name }
    }

    pub(super) fn downgrade(&self) -> Weak<ConsumerShared> {
        Arc::downgrade(&self.shared)
    }

    pub(super) const fn from_shared(shared: Arc<ConsumerShared>) -> Self {
        Self { shared }
    }

    pub(super) fn report(&self) -> HolderReport {
        HolderReport {
            task: self.task().number(),
            name: self.name(),
            granted: self.granted(),
            live: self.live(),
            peak: self.peak(),
            spilled: self.shared.spilled.load(Ordering::Relaxed),
            reclaimable: self.reclaimable(),
        }
    }
}

/// Ends a consumer's waits from any thread; keeps nothing alive.
#[derive(Clone)]
pub struct WaitCanceller {
    shared: Weak<ConsumerShared>,
}

impl WaitCanceller {
    /// Makes every wait of the consumer, now and later, fail with `Cancelled`.
    pub fn cancel(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.cancelled.store(true, Ordering::SeqCst);
            shared.task.shared().ledger().wake_all();
        }
    }
}

impl fmt::Debug for WaitCanceller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitCanceller").finish_non_exhaustive()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.name())
            .field("granted", &self.granted())
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}

const SPILLS_NOW: Error = Error::new(
    ErrorKind::Internal,
    "a consumer asked for memory while it was spilling; a spill needs none",
);
