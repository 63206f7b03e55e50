//! What a combiner has done so far, readable from any thread.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bywash_core::memory::SpillCause;
use bywash_core::{Error, ErrorKind, Result};

/// A combiner's counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CombineProgress {
    /// Records taken.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Combined records given out.
    pub groups: u64,
    /// Spills because the ledger had no more, those while reading included.
    pub spills_pressure: u64,
    /// Spills because somebody reclaimed.
    pub spills_reclaim: u64,
    /// Spills the caller asked for, and the one with which a finish begins when there were others.
    pub spills_request: u64,
    /// Bytes written to spill files, merges of runs included.
    pub spilled_bytes: u64,
    /// Merges of runs because there were too many.
    pub run_merges: u64,
    /// Levels of the hash that were spilled to.
    pub depth: u64,
    /// Parts that were sorted by key because no hash took them apart.
    pub sorted_parts: u64,
}

impl CombineProgress {
    /// Spills of all causes.
    pub const fn spills(&self) -> u64 {
        self.spills_pressure + self.spills_reclaim + self.spills_request
    }
}

impl AddAssign for CombineProgress {
    /// Sums; of the depth the larger.
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.groups += other.groups;
        self.spills_pressure += other.spills_pressure;
        self.spills_reclaim += other.spills_reclaim;
        self.spills_request += other.spills_request;
        self.spilled_bytes += other.spilled_bytes;
        self.run_merges += other.run_merges;
        self.depth = self.depth.max(other.depth);
        self.sorted_parts += other.sorted_parts;
    }
}

/// The counters themselves, and what other threads may set without the combiner's lock.
#[derive(Debug, Default)]
pub(super) struct Signals {
    cancelled: AtomicBool,
    pub(super) records: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) groups: AtomicU64,
    spills: [AtomicU64; 3],
    pub(super) spilled_bytes: AtomicU64,
    pub(super) run_merges: AtomicU64,
    pub(super) depth: AtomicU64,
    pub(super) sorted_parts: AtomicU64,
}

impl Signals {
    pub(super) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }

    pub(super) fn count_spill(&self, cause: SpillCause) {
        let place = match cause {
            SpillCause::Reclaim => 1,
            SpillCause::Request => 2,
            _ => 0,
        };
        Self::add(&self.spills[place], 1);
    }

    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    pub(super) fn check_cancelled(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Acquire) {
            return Err(CANCELLED);
        }
        Ok(())
    }

    pub(super) fn snapshot(&self) -> CombineProgress {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CombineProgress {
            records: read(&self.records),
            bytes: read(&self.bytes),
            groups: read(&self.groups),
            spills_pressure: read(&self.spills[0]),
            spills_reclaim: read(&self.spills[1]),
            spills_request: read(&self.spills[2]),
            spilled_bytes: read(&self.spilled_bytes),
            run_merges: read(&self.run_merges),
            depth: read(&self.depth),
            sorted_parts: read(&self.sorted_parts),
        }
    }
}

pub(super) const CANCELLED: Error = Error::new(ErrorKind::Cancelled, "the combine was cancelled");
