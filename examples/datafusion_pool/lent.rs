//! The other way round: a pool lends a ledger its memory, as one of its consumers.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};

use bywash::{MemoryLedger, MemoryParent, Result};

use crate::shapes::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, ResourcesExhausted,
};

/// A ledger's parent that reserves in a pool.
pub(crate) struct LentByPool {
    reservation: MemoryReservation,
}

impl LentByPool {
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>) -> Self {
        let consumer = MemoryConsumer::new("bywash").with_can_spill(true);
        Self { reservation: consumer.register(pool) }
    }
}

impl MemoryParent for LentByPool {
    /// A pool grants all or nothing; half is better than nothing.
    fn acquire(&self, bytes: u64) -> Result<u64> {
        let mut part = bytes;
        while part >= PART_MIN.min(bytes.max(1)) {
            if self.reservation.try_grow(usize::try_from(part).unwrap_or(usize::MAX)).is_ok() {
                return Ok(part);
            }
            part /= 2;
        }
        Ok(0)
    }

    fn release(&self, bytes: u64) {
        // No more than was lent.
        self.reservation.shrink(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
}

const PART_MIN: u64 = 64 << 10;

/// DataFusion's `GreedyMemoryPool`, which can take back what it lent to a ledger before it refuses:
/// what DataFusion's own pools cannot do.
#[derive(Debug)]
pub(crate) struct ReclaimingPool {
    limit: usize,
    reserved: AtomicUsize,
    /// Cleared by [`ReclaimingPool::settle`]: the ledger keeps its parent, which keeps this pool.
    borrower: Mutex<Option<MemoryLedger>>,
}

impl ReclaimingPool {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let (reserved, borrower) = (AtomicUsize::new(0), Mutex::new(None));
        Arc::new(Self { limit, reserved, borrower })
    }

    pub(crate) fn lends_to(&self, ledger: &MemoryLedger) {
        *self.borrower.lock().unwrap_or_else(PoisonError::into_inner) = Some(ledger.clone());
    }

    pub(crate) fn settle(&self) {
        let ledger = self.borrower.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(ledger);
    }

    fn take(&self, bytes: usize) -> std::result::Result<(), usize> {
        let grown = |now: usize| now.checked_add(bytes).filter(|then| *then <= self.limit);
        self.reserved.fetch_update(SeqCst, SeqCst, grown).map(drop)
    }
}

impl MemoryPool for ReclaimingPool {
    fn name(&self) -> &'static str {
        "reclaiming"
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        self.reserved.fetch_add(additional, SeqCst);
    }

    fn try_grow(
        &self,
        reservation: &MemoryReservation,
        additional: usize,
    ) -> std::result::Result<(), ResourcesExhausted> {
        let Err(reserved) = self.take(additional) else {
            return Ok(());
        };
        // No lock is held here: what comes back arrives through `shrink`.
        let borrower = self.borrower.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let missing = reserved.saturating_add(additional).saturating_sub(self.limit);
        if let Some(ledger) = borrower.filter(|_| reservation.consumer().name() != "bywash") {
            ledger.reclaim(missing as u64);
        }
        self.take(additional).map_err(|reserved| {
            let name = reservation.consumer().name();
            ResourcesExhausted(format!("{name} wants {additional} B more, {reserved} B are taken"))
        })
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        self.reserved.fetch_sub(shrink, SeqCst);
    }

    fn reserved(&self) -> usize {
        self.reserved.load(SeqCst)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl fmt::Display for ReclaimingPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} of {} B)", self.name(), self.reserved(), self.limit)
    }
}
