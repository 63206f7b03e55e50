//! Sums over what many consumers did, those that are gone too.
//!
//! Sums never fall: a consumer's counters are kept, not the consumer, until nobody can change them any
//! more; then they are added to the past and forgotten.

use std::fmt::Debug;
use std::ops::AddAssign;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counters that others may look at.
pub(crate) trait Counts {
    /// What they say at one moment.
    type Progress: AddAssign + Copy + Debug + Default;

    fn progress(&self) -> Self::Progress;
}

/// Sums over the counters it was told of.
#[derive(Debug)]
pub(crate) struct Sums<C: Counts> {
    watched: Mutex<Watched<C>>,
}

#[derive(Debug)]
struct Watched<C: Counts> {
    /// The sum over those that are gone, and how many these are.
    past: C::Progress,
    past_count: u64,
    open: Vec<Arc<C>>,
}

/// [`Sums`] at one moment: how many there were, how many of them are still there, what all did.
pub(crate) struct Sum<P> {
    pub(crate) count: u64,
    pub(crate) open: u64,
    pub(crate) progress: P,
}

impl<C: Counts> Sums<C> {
    /// Counts one in; a second time changes nothing.
    pub(crate) fn watch(&self, counters: &Arc<C>) {
        let mut watched = self.lock();
        watched.forget_gone();
        if !watched.open.iter().any(|open| Arc::ptr_eq(open, counters)) {
            watched.open.push(Arc::clone(counters));
        }
    }

    pub(crate) fn sum(&self) -> Sum<C::Progress> {
        let mut watched = self.lock();
        watched.forget_gone();
        let mut progress = watched.past;
        for open in &watched.open {
            progress += open.progress();
        }
        let open = watched.open.len() as u64;
        Sum { count: watched.past_count + open, open, progress }
    }

    fn lock(&self) -> MutexGuard<'_, Watched<C>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Counts> Default for Sums<C> {
    fn default() -> Self {
        let watched = Watched { past: C::Progress::default(), past_count: 0, open: Vec::new() };
        Self { watched: Mutex::new(watched) }
    }
}

impl<C: Counts> Watched<C> {
    fn forget_gone(&mut self) {
        let Self { past, past_count, open } = self;
        open.retain_mut(|open| match Arc::get_mut(open) {
            // The only handle left: nobody counts any more.
            Some(counters) => {
                *past += counters.progress();
                *past_count += 1;
                false
            }
            None => true,
        });
    }
}
