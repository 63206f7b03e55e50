//! Who gives memory when there is not enough.
//!
//! Order: what is free; then the requesting task's *other* consumers, the smallest that alone
//! covers the shortfall, else the largest; then nobody: the requester is told and may spill
//! itself, or waits. Another task is asked, never forced: its consumers are marked and answer at
//! their next step. Only the host's reclaim spills any idle consumer, on the host's thread.
//!
//! No lock is held while a consumer spills. Nothing here allocates but reports and errors.

use super::asked::Asked;
use super::consumer::Consumer;
use super::counters::Counters;
use super::explain::Party;
use super::report::HolderReport;
use super::reservation::Reservation;
use super::shared::{LedgerShared, Refusal};
use super::task::TaskShared;
use crate::sync::Arc;
use crate::{Error, Result};

/// Memory that can be given back by writing it to disk.
///
/// Its consumer says with [`Consumer::set_reclaimable`] how much that would be.
pub trait Spillable: Send + Sync {
    /// Gives back at least `bytes` if it can, by I/O on the calling thread; called from any thread,
    /// at any time. Never waits for the thread that is using the memory. [`Consumer::take_wanted`]
    /// says who asks.
    fn reclaim(&self, bytes: u64) -> Reclaimed;
}

/// What came of asking a consumer to spill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reclaimed {
    /// So many bytes went back to the ledger, also when the spill failed: then its owner gets the
    /// error at its next step.
    Freed(u64),
    /// In use by another thread; it is marked and spills at its own next step.
    Busy,
}

/// Reserves after a refusal, by asking the task's other consumers.
pub(super) fn reserve_now(
    requester: &Consumer,
    bytes: u64,
    mut refusal: Refusal,
) -> Result<Reservation, Refusal> {
    let mut asked = Asked::nobody();
    asked.add(requester.place());
    loop {
        let Refusal::Short(shortfall) = refusal else {
            return Err(refusal);
        };
        let missing = shortfall.requested.saturating_sub(shortfall.available);
        let Some(chosen) = requester.task().pick(missing, &asked) else {
            Counters::add(&requester.ledger().counters.refusals, 1);
            return Err(refusal);
        };
        asked.add(chosen.place());
        chosen.ask_to_spill(requester.party(), missing);
        refusal = match requester.grant(bytes) {
            Ok(()) => return Ok(Reservation::new(requester.clone(), bytes)),
            Err(still) => still,
        };
    }
}

/// As [`reserve_now`], then waits if the task may.
pub(super) fn reserve(
    requester: &Consumer,
    bytes: u64,
    refusal: Refusal,
) -> Result<Reservation, Error> {
    let refusal = match reserve_now(requester, bytes, refusal) {
        Ok(reservation) => return Ok(reservation),
        Err(Refusal::Short(shortfall)) => shortfall,
        Err(refusal @ Refusal::Host(_)) => return Err(refusal.into()),
    };
    let missing = refusal.requested.saturating_sub(refusal.available);
    let ask = || ask_others(requester, missing);
    match requester.grant_or_wait(bytes, &ask) {
        Ok(()) => Ok(Reservation::new(requester.clone(), bytes)),
        Err(refusal) => Err(requester.name_holders(refusal.into())),
    }
}

/// Asks other tasks for `missing` bytes: those above their share, then those above half of it, the
/// largest first. Nobody is asked when the requester's own share is what keeps it from them: it
/// could not have what the others give.
pub(super) fn ask_others(requester: &Consumer, mut missing: u64) {
    let ledger = requester.ledger();
    let room = requester.task_share().saturating_sub(requester.task().granted());
    if missing > room {
        return;
    }
    let share = ledger.share();
    for floor in [share, share / 2] {
        let mut asked = Asked::nobody();
        asked.add(requester.task().place());
        while missing > 0 {
            let largest = largest_task(ledger, &mut asked);
            let Some((task, granted)) = largest.filter(|(_, granted)| *granted > floor) else {
                break;
            };
            let marked = task.ask_all(requester.party(), missing.min(granted - floor));
            missing = missing.saturating_sub(marked);
        }
    }
}

/// Marks consumers of all tasks, the largest first, until they could give `bytes`.
pub(super) fn ask_everybody(ledger: &LedgerShared, mut bytes: u64) {
    let mut asked = Asked::nobody();
    while bytes > 0 {
        let Some((task, _)) = largest_task(ledger, &mut asked) else {
            return;
        };
        bytes = bytes.saturating_sub(task.ask_all(Party::HOST, bytes));
    }
}

fn largest_task(ledger: &LedgerShared, asked: &mut Asked) -> Option<(Arc<TaskShared>, u64)> {
    let unasked = each_task(ledger).filter(|task| !asked.has(task.place()));
    let (task, granted) = unasked
        .map(|task| {
            let granted = task.granted();
            (task, granted)
        })
        .max_by_key(|(_, granted)| *granted)?;
    asked.add(task.place());
    Some((task, granted))
}

/// Asks consumers of any task until `bytes` came back. With a host, what came back is its.
pub(super) fn reclaim(ledger: &LedgerShared, bytes: u64) -> u64 {
    Counters::add(&ledger.counters.reclaims, 1);
    let claim = ledger.begin_repayment(bytes);
    let wanted = claim.unwrap_or(bytes);
    let repay = |missing: u64| if claim.is_some() { ledger.repay(missing) } else { 0 };
    let mut given = repay(wanted);
    let mut asked = Asked::nobody();
    while given < wanted {
        let missing = wanted - given;
        let best =
            each_task(ledger).filter_map(|task| task.pick(missing, &asked)).reduce(better(missing));
        let Some(chosen) = best else {
            break;
        };
        let freed = chosen.ask_to_spill(Party::HOST, missing);
        if freed == 0 {
            asked.add(chosen.place());
        }
        given += if claim.is_some() { repay(missing) } else { freed };
    }
    if claim.is_some() {
        // What came back otherwise meanwhile is the host's as well.
        given += repay(wanted.saturating_sub(given));
        ledger.end_repayment(wanted.saturating_sub(given));
    }
    Counters::add(&ledger.counters.reclaimed, given);
    given
}

/// The better of two to ask for `missing` bytes.
pub(super) fn better(missing: u64) -> impl Fn(Consumer, Consumer) -> Consumer {
    move |one, other| {
        let (first, second) = (one.reclaimable(), other.reclaimable());
        let first_is_better = match (first >= missing, second >= missing) {
            (true, true) => first <= second,
            (false, false) => first >= second,
            (covers, _) => covers,
        };
        if first_is_better { one } else { other }
    }
}

/// One task after the other, without a list and without a lock in between.
fn each_task(ledger: &LedgerShared) -> impl Iterator<Item = Arc<TaskShared>> {
    (0..).map_while(|place| ledger.locked(|inner| inner.tasks.get(place).cloned()))
}

/// Who holds memory, largest first. Allocates.
pub(super) fn holders(ledger: &LedgerShared) -> Vec<HolderReport> {
    let mut holders: Vec<_> = each_task(ledger).flat_map(|task| task.holders()).collect();
    holders.sort_by_key(|holder| std::cmp::Reverse(holder.granted));
    holders
}

/// Bytes of text about holders in an error.
const HOLDERS_NAMED: usize = 8;

/// Says who holds the memory. Allocates.
pub(super) fn describe_holders(ledger: &LedgerShared) -> String {
    use std::fmt::Write as _;
    let holders = holders(ledger);
    let mut text = String::from("held by");
    for holder in holders.iter().take(HOLDERS_NAMED) {
        // Writing to a string cannot fail.
        let _ = write!(text, " {}={} (task {})", holder.name, holder.granted, holder.task);
    }
    match holders.len().saturating_sub(HOLDERS_NAMED) {
        0 if holders.is_empty() => text.push_str(" nobody"),
        0 => {}
        more => {
            let rest: u64 = holders.iter().skip(HOLDERS_NAMED).map(|holder| holder.granted).sum();
            let _ = write!(text, " and {more} others={rest}");
        }
    }
    text
}

#[cfg(test)]
mod tests;
