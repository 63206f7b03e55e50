//! What a sort has done so far, and stopping it.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bywash_core::memory::WaitCanceller;
use bywash_core::{Error, ErrorKind, Result};

use crate::writer::{Counters, WriteProgress};

/// A sort's counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SortProgress {
    /// Rows, bytes, spills, merges of runs and times; output bytes are those sent to a sink, and
    /// output time is spent in picking and gathering batches.
    pub write: WriteProgress,
    /// Runs written by spills.
    pub runs: u64,
    /// Rows given out.
    pub rows_out: u64,
    /// How often a row was merged from runs, at most: 0 in memory, 1 in a single pass.
    pub passes: u64,
    /// Runs the last merge took.
    pub fan_in: u64,
}

impl AddAssign for SortProgress {
    /// Sums; of passes and fan-in the larger.
    fn add_assign(&mut self, other: Self) {
        self.write += other.write;
        self.runs += other.runs;
        self.rows_out += other.rows_out;
        self.passes = self.passes.max(other.passes);
        self.fan_in = self.fan_in.max(other.fan_in);
    }
}

/// What other threads may see and set without a sorter's lock.
#[derive(Debug, Default)]
pub(super) struct SortSignals {
    pub(super) cancelled: AtomicBool,
    pub(super) counters: Counters,
    pub(super) runs: AtomicU64,
    pub(super) rows_out: AtomicU64,
    pub(super) passes: AtomicU64,
    pub(super) fan_in: AtomicU64,
}

impl SortSignals {
    pub(super) fn check_cancelled(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Acquire) {
            return Err(CANCELLED);
        }
        Ok(())
    }

    pub(super) fn snapshot(&self) -> SortProgress {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SortProgress {
            write: self.counters.snapshot(),
            runs: read(&self.runs),
            rows_out: read(&self.rows_out),
            passes: read(&self.passes),
            fan_in: read(&self.fan_in),
        }
    }
}

/// Cancels a sort from any thread.
#[derive(Debug, Clone)]
pub struct SortCanceller {
    pub(super) signals: Arc<SortSignals>,
    pub(super) waits: WaitCanceller,
}

impl SortCanceller {
    /// Makes the sort's next step fail with `Cancelled`. Returns at once.
    pub fn cancel(&self) {
        self.signals.cancelled.store(true, Ordering::Release);
        self.waits.cancel();
    }

    /// What the sort has done so far.
    pub fn progress(&self) -> SortProgress {
        self.signals.snapshot()
    }
}

pub(super) const CANCELLED: Error = Error::new(ErrorKind::Cancelled, "the sort was cancelled");
