//! What many sorts did together.

use super::handle::Sorter;
use super::progress::{SortProgress, SortSignals};
use crate::sums::{Counts, Sum, Sums};

/// Sums over the sorts that it was told of. Keeps none of them alive.
#[derive(Debug, Default)]
pub struct SortTotals {
    sums: Sums<SortSignals>,
}

/// [`SortTotals`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SortSummary {
    /// Sorts so far.
    pub sorts: u64,
    /// Of these, the ones that are still filled or read, or whose
    /// [`SortCanceller`](super::SortCanceller) is held.
    pub open: u64,
    /// The sum of what they did; of passes and fan-in the most.
    pub progress: SortProgress,
}

impl SortTotals {
    /// Counts a sort in, as [`WriteTotals::watch`](crate::WriteTotals::watch) does a writer.
    pub fn watch(&self, sorter: &Sorter) {
        self.sums.watch(sorter.signals());
    }

    /// The sums now. Takes no lock of a sort.
    pub fn summary(&self) -> SortSummary {
        let Sum { count, open, progress } = self.sums.sum();
        SortSummary { sorts: count, open, progress }
    }
}

impl Counts for SortSignals {
    type Progress = SortProgress;

    fn progress(&self) -> SortProgress {
        self.snapshot()
    }
}
