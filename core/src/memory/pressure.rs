//! Who gives memory when there is not enough.
//!
//! Order: what is free; then the requesting task's *other* consumers, the smallest that alone
//! covers the shortfall, else the largest; then nobody: the requester is told and may spill
//! itself. Another task is never forced. No lock is held while a consumer spills.

use super::consumer::Consumer;
use super::ledger::MemoryLedger;
use super::reservation::Reservation;
use super::state::Shortfall;
use crate::{Error, Result};

/// Memory that can be given back by writing it to disk.
///
/// Both methods may be called from any thread, at any time.
pub trait Spillable: Send + Sync {
    /// Bytes a spill would give back now, as far as can be told without waiting.
    fn reclaimable(&self) -> u64;

    /// Gives back at least `bytes` if it can, by I/O on the calling thread. Never waits for the
    /// thread that is using the memory.
    fn reclaim(&self, bytes: u64) -> Reclaimed;
}

/// What came of asking a consumer to spill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reclaimed {
    /// So many bytes went back to the ledger.
    Freed(u64),
    /// In use by another thread; marked, and spills at its own next step.
    Busy,
    /// It failed; its owner gets the error at its next step.
    Failed,
}

/// Reserves after a refusal, by asking the task's other consumers.
pub(super) fn reserve(requester: &Consumer, mut shortfall: Shortfall) -> Result<Reservation> {
    let mut candidates = requester.task().consumers();
    candidates.retain(|consumer| !consumer.is_same(requester));
    loop {
        let missing = shortfall.requested.saturating_sub(shortfall.available);
        let Some((place, _)) = pick(&candidates, missing) else {
            return Err(Error::from(shortfall));
        };
        let chosen = candidates.swap_remove(place);
        if let Some(spillable) = chosen.spillable() {
            spillable.reclaim(missing);
        }
        match requester.try_reserve(shortfall.requested) {
            Ok(reservation) => return Ok(reservation),
            Err(still) => shortfall = still,
        }
    }
}

/// Asks consumers of any task until `bytes` came back.
pub(super) fn reclaim(ledger: &MemoryLedger, bytes: u64) -> u64 {
    let mut candidates: Vec<Consumer> =
        ledger.tasks().iter().flat_map(|task| task.consumers()).collect();
    let mut freed = 0;
    while freed < bytes {
        let Some((place, _)) = pick(&candidates, bytes - freed) else {
            break;
        };
        let chosen = candidates.swap_remove(place);
        if let Some(Reclaimed::Freed(more)) =
            chosen.spillable().map(|spillable| spillable.reclaim(bytes - freed))
        {
            freed += more;
        }
    }
    freed
}

/// The smallest candidate that alone covers `missing`, else the largest that has anything.
fn pick(candidates: &[Consumer], missing: u64) -> Option<(usize, u64)> {
    let sizes = candidates
        .iter()
        .map(|consumer| consumer.spillable().map_or(0, |spillable| spillable.reclaimable()))
        .enumerate()
        .filter(|(_, size)| *size > 0);
    let covering = sizes.clone().filter(|(_, size)| *size >= missing).min_by_key(|(_, size)| *size);
    covering.or_else(|| sizes.max_by_key(|(_, size)| *size))
}
