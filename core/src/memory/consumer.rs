//! Who holds memory, and for what.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use super::ledger::HolderReport;
use super::pressure::{self, Spillable};
use super::reservation::Reservation;
use super::state::Shortfall;
use super::task::{TaskHandle, TaskShared};
use crate::Result;

/// One purpose that memory is held for. Cheap to clone; cloning does not allocate.
#[derive(Clone)]
pub struct Consumer {
    shared: Arc<ConsumerShared>,
}

pub(super) struct ConsumerShared {
    name: &'static str,
    task: Arc<TaskHandle>,
    granted: AtomicU64,
    live: AtomicU64,
    peak: AtomicU64,
    spillable: OnceLock<Weak<dyn Spillable>>,
}

impl Consumer {
    pub(super) fn new(name: &'static str, task: Arc<TaskHandle>) -> Self {
        Self {
            shared: Arc::new(ConsumerShared {
                name,
                task,
                granted: AtomicU64::new(0),
                live: AtomicU64::new(0),
                peak: AtomicU64::new(0),
                spillable: OnceLock::new(),
            }),
        }
    }

    /// Lets the ledger ask `spillable` for this consumer's memory. The first call counts.
    pub fn set_spillable(&self, spillable: Weak<dyn Spillable>) {
        // A second registration would hide the first from the ledger.
        let accepted = self.shared.spillable.set(spillable).is_ok();
        debug_assert!(accepted, "a consumer has one spillable");
    }

    /// Reserves `bytes`, asking this task's other consumers to spill if needed.
    ///
    /// # Errors
    /// `MemoryLimit` with what was asked for, what was free and the budget. Making the error does
    /// not allocate; [`Consumer::name_holders`] adds who holds the rest.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation> {
        match self.try_reserve(bytes) {
            Ok(reservation) => Ok(reservation),
            Err(shortfall) => pressure::reserve(self, shortfall),
        }
    }

    /// Reserves `bytes` if they are free; asks nobody and allocates nothing.
    pub fn try_reserve(&self, bytes: u64) -> Result<Reservation, Shortfall> {
        self.grant(bytes)?;
        Ok(Reservation::new(self.clone(), bytes))
    }

    /// Adds to an error who holds how much. Allocates.
    #[must_use]
    pub fn name_holders(&self, error: crate::Error) -> crate::Error {
        use fmt::Write as _;
        let mut detail = String::from("held by");
        for holder in self.task().holders() {
            // Writing to a string cannot fail.
            let _ = write!(detail, " {}={}", holder.name, holder.granted);
        }
        error.with_detail(detail)
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
        self.task().ledger().share()
    }

    /// Bytes in buffers that this task handed out and that are still charged to it.
    pub fn exported(&self) -> u64 {
        self.task().exported()
    }

    pub(super) fn grant(&self, bytes: u64) -> Result<(), Shortfall> {
        let task = self.task();
        task.ledger().acquire(task.id(), bytes)?;
        let granted = self.shared.granted.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.shared.peak.fetch_max(granted, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.shared.granted.fetch_sub(bytes, Ordering::AcqRel);
        let task = self.task();
        task.ledger().release(task.id(), bytes);
    }

    /// Moves `bytes` out of this consumer's figures, leaving them charged to the task.
    pub(super) fn export(&self, granted: u64, live: u64) -> Arc<TaskShared> {
        self.shared.live.fetch_sub(live, Ordering::AcqRel);
        self.shared.granted.fetch_sub(granted, Ordering::AcqRel);
        self.task().add_exported(granted);
        Arc::clone(self.task())
    }

    pub(super) fn add_live(&self, bytes: u64) {
        self.shared.live.fetch_add(bytes, Ordering::AcqRel);
        self.task().ledger().add_live(bytes);
    }

    pub(super) fn sub_live(&self, bytes: u64) {
        self.shared.live.fetch_sub(bytes, Ordering::AcqRel);
        self.task().ledger().sub_live(bytes);
    }

    pub(super) fn spillable(&self) -> Option<Arc<dyn Spillable>> {
        self.shared.spillable.get().and_then(Weak::upgrade)
    }

    pub(super) fn task(&self) -> &Arc<TaskShared> {
        self.shared.task.shared()
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    pub(super) fn downgrade(&self) -> Weak<ConsumerShared> {
        Arc::downgrade(&self.shared)
    }

    pub(super) const fn from_shared(shared: Arc<ConsumerShared>) -> Self {
        Self { shared }
    }

    pub(super) fn report(&self) -> HolderReport {
        HolderReport {
            name: self.name(),
            granted: self.granted(),
            live: self.live(),
            reclaimable: self.spillable().map_or(0, |spillable| spillable.reclaimable()),
        }
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
