//! What many combiners did together.

use bywash_core::combine::Merge;

use super::columns::ColumnCombiner;
use super::handle::Combiner;
use super::progress::{CombineProgress, Signals};
use crate::sums::{Counts, Sum, Sums};

/// Sums over the combiners that it was told of. Keeps none of them alive.
#[derive(Debug, Default)]
pub struct CombineTotals {
    sums: Sums<Signals>,
}

/// [`CombineTotals`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CombineSummary {
    /// Combiners so far.
    pub combiners: u64,
    /// Of these, the ones that are still filled or read, or whose
    /// [`CombineCanceller`](super::CombineCanceller) is held.
    pub open: u64,
    /// The sum of what they did; of the depth the most.
    pub progress: CombineProgress,
}

impl CombineTotals {
    /// Counts a combiner in, as [`WriteTotals::watch`](crate::WriteTotals::watch) does a writer.
    pub fn watch<M: Merge + Send + 'static>(&self, combiner: &Combiner<M>) {
        self.sums.watch(combiner.signals());
    }

    /// As [`CombineTotals::watch`], for a combiner of columns.
    pub fn watch_columns(&self, combiner: &ColumnCombiner) {
        self.sums.watch(combiner.signals());
    }

    /// The sums now. Takes no lock of a combiner.
    pub fn summary(&self) -> CombineSummary {
        let Sum { count, open, progress } = self.sums.sum();
        CombineSummary { combiners: count, open, progress }
    }
}

impl Counts for Signals {
    type Progress = CombineProgress;

    fn progress(&self) -> CombineProgress {
        self.snapshot()
    }
}
