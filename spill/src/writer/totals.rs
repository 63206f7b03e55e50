//! What many writers did together, those that are gone too.
//!
//! Sums never fall: a writer's counters are kept, not the writer, until nobody can change them any
//! more; then they are added to the past and forgotten.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::engine::Signals;
use super::progress::WriteProgress;
use super::record_writer::RecordWriter;
use super::shuffle_writer::ShuffleWriter;

/// Sums over the writers that it was told of. Keeps none of them alive.
#[derive(Debug, Default)]
pub struct WriteTotals {
    watched: Mutex<Watched>,
}

#[derive(Debug, Default)]
struct Watched {
    /// The sum over those that are gone, and how many these are.
    past: WriteProgress,
    past_writers: u64,
    open: Vec<Arc<Signals>>,
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
        self.watch_signals(writer.signals());
    }

    /// As [`WriteTotals::watch`], for a writer of records.
    pub fn watch_records(&self, writer: &RecordWriter) {
        self.watch_signals(writer.signals());
    }

    fn watch_signals(&self, signals: &Arc<Signals>) {
        let mut watched = self.lock();
        watched.forget_gone();
        if !watched.open.iter().any(|open| Arc::ptr_eq(open, signals)) {
            watched.open.push(Arc::clone(signals));
        }
    }

    /// The sums now. Takes no lock of a writer.
    pub fn summary(&self) -> WriteSummary {
        let mut watched = self.lock();
        watched.forget_gone();
        let mut progress = watched.past;
        for open in &watched.open {
            progress += open.counters.snapshot();
        }
        let open = watched.open.len() as u64;
        WriteSummary { writers: watched.past_writers + open, open, progress }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn forget_gone(&mut self) {
        let Self { past, past_writers, open } = self;
        open.retain_mut(|open| match Arc::get_mut(open) {
            // The only handle left: nobody counts any more.
            Some(signals) => {
                *past += signals.counters.snapshot();
                *past_writers += 1;
                false
            }
            None => true,
        });
    }
}
