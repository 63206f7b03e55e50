//! What a consumer that can spill does: says what it could give, is asked, and tells what it gave.

use std::fmt;
use std::sync::PoisonError;

use super::{Consumer, ConsumerShared};
use crate::memory::explain::{Party, Spill};
use crate::memory::pressure::{Reclaimed, Spillable};
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Weak};

impl Consumer {
    /// Lets the ledger ask `spillable` for this consumer's memory. The first call counts.
    pub fn set_spillable(&self, spillable: Weak<dyn Spillable>) {
        // A second registration would hide the first from the ledger.
        let accepted = self.shared.spillable.set(spillable).is_ok();
        debug_assert!(accepted, "a consumer has one spillable");
    }

    /// Says how many bytes a spill would give back now.
    pub fn set_reclaimable(&self, bytes: u64) {
        self.shared.reclaimable.store(bytes, Ordering::Release);
    }

    /// Bytes a spill would give back now.
    pub fn reclaimable(&self) -> u64 {
        self.shared.reclaimable.load(Ordering::Acquire)
    }

    /// Whether somebody asked it to spill.
    pub fn is_wanted(&self) -> bool {
        self.shared.is_wanted.load(Ordering::SeqCst)
    }

    /// Who asked it to spill, and for how much; they are answered by what follows.
    pub fn take_wanted(&self) -> Option<(Party, u64)> {
        let mut wanted = self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.is_wanted.store(false, Ordering::SeqCst);
        wanted.take()
    }

    /// While what is returned lives, this consumer is granted nothing: a spill cannot ask for
    /// memory, so it cannot cause a spill.
    pub fn begin_spill(&self) -> SpillScope {
        self.shared.spilling.store(true, Ordering::Relaxed);
        SpillScope { shared: Arc::clone(&self.shared) }
    }

    /// Keeps what a spill did for explanations. Allocates nothing.
    pub fn record_spill(&self, spill: &Spill) {
        self.shared.spilled.fetch_add(spill.freed, Ordering::Relaxed);
        self.ledger().log_spill(self.party(), spill);
    }

    /// Marks it, so that it spills at its next step.
    pub(in crate::memory) fn want(&self, asker: Party, bytes: u64) {
        let mut wanted = self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.is_none_or(|(_, before)| before < bytes) {
            *wanted = Some((asker, bytes));
        }
        self.shared.is_wanted.store(true, Ordering::SeqCst);
    }

    /// Asks it to spill now; what it gave back.
    pub(in crate::memory) fn ask_to_spill(&self, asker: Party, bytes: u64) -> u64 {
        let spillable = self.shared.spillable.get().and_then(Weak::upgrade);
        // Marked before it is tried: whoever is just done with it sees the mark.
        self.want(asker, bytes);
        match spillable.map(|spillable| spillable.reclaim(bytes)) {
            Some(Reclaimed::Busy) => 0,
            Some(Reclaimed::Freed(freed)) if freed > 0 => freed,
            // Nothing to give: nothing is left to ask for.
            Some(Reclaimed::Freed(_)) | None => {
                self.take_wanted();
                0
            }
        }
    }

    /// Where it lies, to be known by.
    pub(in crate::memory) fn place(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }
}

/// See [`Consumer::begin_spill`].
#[must_use = "the consumer spills while this lives"]
pub struct SpillScope {
    shared: Arc<ConsumerShared>,
}

impl Drop for SpillScope {
    fn drop(&mut self) {
        self.shared.spilling.store(false, Ordering::Relaxed);
    }
}

impl fmt::Debug for SpillScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpillScope").field("consumer", &self.shared.name).finish_non_exhaustive()
    }
}
