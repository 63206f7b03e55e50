//! What a ledger has counted since it was made.

use std::time::Duration;

use super::explain::SpillCause;
use crate::sync::atomic::{AtomicU64, Ordering};

/// A ledger's figures at one moment, for metrics. Bytes unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LedgerSnapshot {
    /// The capacity.
    pub capacity: u64,
    /// Granted.
    pub granted: u64,
    /// Really allocated.
    pub live: u64,
    /// In buffers handed out and still charged.
    pub exported: u64,
    /// Granted above the capacity since it fell.
    pub over: u64,
    /// The most ever granted at once.
    pub peak_granted: u64,
    /// The most ever live at once.
    pub peak_live: u64,
    /// Lent by the host now; 0 without one.
    pub lent: u64,
    /// Tasks that have not ended.
    pub tasks: u64,
    /// Requests that wait now.
    pub waiting: u64,
    /// Requests that were granted.
    pub grants: u64,
    /// Requests that were refused after everybody was asked.
    pub refusals: u64,
    /// Requests and admissions that had to wait.
    pub waits: u64,
    /// Time they waited in all.
    pub wait_time: Duration,
    /// Requests of the host to give memory back.
    pub reclaims: u64,
    /// What these gave back.
    pub reclaimed: u64,
    /// Borrowed from the host in all.
    pub borrowed: u64,
    /// Times the host lent less than asked.
    pub host_refusals: u64,
    /// Spills by cause, in the order of [`SpillCause::ALL`].
    pub spills: [u64; SpillCause::ALL.len()],
    /// Spills that failed.
    pub spills_failed: u64,
    /// What spills gave back.
    pub spill_freed: u64,
    /// Bytes that spills wrote to disk.
    pub spill_written: u64,
    /// Time spent spilling.
    pub spill_time: Duration,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) refusals: AtomicU64,
    pub(super) waits: AtomicU64,
    pub(super) wait_nanos: AtomicU64,
    pub(super) reclaims: AtomicU64,
    pub(super) reclaimed: AtomicU64,
    pub(super) borrowed: AtomicU64,
    pub(super) host_refusals: AtomicU64,
    pub(super) spills: [AtomicU64; SpillCause::ALL.len()],
    pub(super) spills_failed: AtomicU64,
    pub(super) spill_freed: AtomicU64,
    pub(super) spill_written: AtomicU64,
    pub(super) spill_nanos: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }

    pub(super) fn add_time(counter: &AtomicU64, time: Duration) {
        Self::add(counter, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn fill(&self, snapshot: &mut LedgerSnapshot) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        snapshot.refusals = read(&self.refusals);
        snapshot.waits = read(&self.waits);
        snapshot.wait_time = Duration::from_nanos(read(&self.wait_nanos));
        snapshot.reclaims = read(&self.reclaims);
        snapshot.reclaimed = read(&self.reclaimed);
        snapshot.borrowed = read(&self.borrowed);
        snapshot.host_refusals = read(&self.host_refusals);
        for (count, counter) in snapshot.spills.iter_mut().zip(&self.spills) {
            *count = read(counter);
        }
        snapshot.spills_failed = read(&self.spills_failed);
        snapshot.spill_freed = read(&self.spill_freed);
        snapshot.spill_written = read(&self.spill_written);
        snapshot.spill_time = Duration::from_nanos(read(&self.spill_nanos));
    }
}
