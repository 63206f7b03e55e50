//! What many writers did together.

use super::engine::Signals;
use super::progress::WriteProgress;
use super::record_writer::RecordWriter;
use super::shuffle_writer::ShuffleWriter;
use crate::sums::{Counts, Sum, Sums};

/// Sums over the writers that it was told of. Keeps none of them alive.
#[derive(Debug, Default)]
pub struct WriteTotals {
    sums: Sums<Signals>,
}

/// [`WriteTotals`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WriteSummary {
    /// Writers so far.
    pub writers: u64,
    /// Of these, the ones that are still there, or whose [`Canceller`](super::Canceller) is.
    pub open: u64,
    /// The sum of what they did.
    pub progress: WriteProgress,
}

impl WriteTotals {
    /// Counts a writer in, with all it did before and does from now on. Once is enough: a second
    /// time changes nothing. Holds a few hundred bytes until the writer and its cancellers are gone
    /// and this or [`WriteTotals::summary`] is called again.
    pub fn watch(&self, writer: &ShuffleWriter) {
        self.sums.watch(writer.signals());
    }

    /// As [`WriteTotals::watch`], for a writer of records.
    pub fn watch_records(&self, writer: &RecordWriter) {
        self.sums.watch(writer.signals());
    }

    /// The sums now. Takes no lock of a writer.
    pub fn summary(&self) -> WriteSummary {
        let Sum { count, open, progress } = self.sums.sum();
        WriteSummary { writers: count, open, progress }
    }
}

impl Counts for Signals {
    type Progress = WriteProgress;

    fn progress(&self) -> WriteProgress {
        self.counters.snapshot()
    }
}
