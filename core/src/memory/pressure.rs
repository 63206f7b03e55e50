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
use super::host::{Repayment, Return};
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
    /// at any time. Never waits for the thread that is using the memory, and does not panic: a panic
    /// would be one of whoever asked, whose own work is not to blame. [`Consumer::take_wanted`] says who
    /// asks.
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
        Err(refusal) => {
            count_refusal(requester);
            Err(requester.name_holders(refusal.into()))
        }
    }
}

/// Counts a request that got nothing after everybody was asked.
pub(super) fn count_refusal(requester: &Consumer) {
    Counters::add(&requester.ledger().counters.refusals, 1);
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
    // Only those who have something to give: the list of the asked is short.
    let unasked =
        each_task(ledger).filter(|task| task.reclaimable() > 0 && !asked.has(task.place()));
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
    let given = match ledger.begin_repayment(bytes) {
        Some(repayment) => reclaim_for_host(ledger, repayment),
        None => reclaim_own(ledger, bytes),
    };
    Counters::add(&ledger.counters.reclaimed, given);
    given
}

fn reclaim_for_host(ledger: &LedgerShared, mut repayment: Repayment<'_>) -> u64 {
    repayment.repay();
    let missing = repayment.missing();
    let count = |freed: u64| {
        let came = repayment.repay();
        (repayment.missing(), freed.min(came))
    };
    ask_the_best(ledger, count, missing);
    // What came back otherwise meanwhile is the host's as well.
    repayment.repay();
    let given = repayment.given();
    drop(repayment);
    ledger.return_surplus(Return::Always);
    given
}

fn reclaim_own(ledger: &LedgerShared, bytes: u64) -> u64 {
    let mut given = 0u64;
    let count = |freed: u64| {
        given = given.saturating_add(freed);
        (bytes.saturating_sub(given), freed)
    };
    ask_the_best(ledger, count, bytes);
    given
}

/// Asks consumers of any task until no more is granted than the capacity.
pub(super) fn reclaim_over(ledger: &LedgerShared) -> u64 {
    Counters::add(&ledger.counters.reclaims, 1);
    let over = || ledger.granted().saturating_sub(ledger.capacity());
    let mut given = 0u64;
    let count = |freed: u64| {
        given = given.saturating_add(freed);
        (over(), freed)
    };
    ask_the_best(ledger, count, over());
    ledger.return_surplus(Return::Always);
    Counters::add(&ledger.counters.reclaimed, given);
    given
}

/// Makes idle consumers of any task spill, the best for what is missing first. After each `count` is
/// told what it says it freed, and answers what is missing still and what really came back: who gave
/// nothing is not asked again.
fn ask_the_best(ledger: &LedgerShared, mut count: impl FnMut(u64) -> (u64, u64), mut missing: u64) {
    let mut asked = Asked::nobody();
    while missing > 0 {
        let best =
            each_task(ledger).filter_map(|task| task.pick(missing, &asked)).reduce(better(missing));
        let Some(chosen) = best else {
            return;
        };
        let (still_missing, came) = count(chosen.ask_to_spill(Party::HOST, missing));
        if came == 0 {
            asked.add(chosen.place());
        }
        missing = still_missing;
    }
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
