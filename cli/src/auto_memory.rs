//! `--memory auto`: a budget from what the container and its node leave, kept true while tasks run.
//!
//! The margin is what the program itself may take beside its budget, or a sixteenth of the tightest
//! limit if that is more. Tasks poll between two batches; a poll reads a few small files, so it is
//! made at most every tenth of a second, by one task at a time, and allocates nothing.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bywash::node::{
    Budget, BudgetExplanation, Container, Declared, Governor, GovernorOptions, Observation,
};
use bywash::{Clock, ErrorKind, MemoryLedger, SystemClock};

use crate::auto_report::{AutoReport, BudgetReport};
use crate::budgeted::{OVERHEAD_BYTES, Work};
use crate::failure::{Failure, Result};
use crate::sizes::human_size;

/// A budget that was found, and what keeps a ledger true to it.
#[derive(Debug)]
pub(crate) struct AutoMemory {
    found: Budget,
    reserve: u64,
    clock: SystemClock,
    due_ms: AtomicU64,
    governed: Mutex<Governed>,
}

#[derive(Debug)]
struct Governed {
    governor: Governor,
    seen: Seen,
}

/// What the polls did; of fixed size.
#[derive(Debug)]
struct Seen {
    polls: u64,
    failed: Option<bywash::Error>,
    cuts: u64,
    raises: u64,
    last: u64,
    highest: u64,
    lowest: u64,
    tightest: BudgetExplanation,
    freed: u64,
    below_minimum: u64,
}

impl AutoMemory {
    /// Finds the budget of work that needs `needed` bytes, with `reserve` bytes left to others in the
    /// container.
    pub(crate) fn find(reserve: u64, needed: u64, work: &Work<'_>) -> Result<Self> {
        let mut container = Container::find("/")?;
        let margin = margin(&container.observe()?);
        // Whose it will be does not matter: the parts of what is declared are added up.
        let declared = Declared { heap: reserve, margin, ..Declared::default() };
        let too_little = |found: u64, why: &str| {
            let kib = needed.div_ceil(1024);
            Failure::new(format!(
                "--memory auto finds {} for {work}, which {} at least {kib}KiB; raise the \
                 container's limit, lower --reserve{}, or give a size ({why})",
                human_size(found),
                work.workers.need(),
                work.workers.or_tasks()
            ))
        };
        let found =
            Budget::from_container(&mut container, declared).map_err(|error| {
                match error.kind() {
                    ErrorKind::MemoryLimit => too_little(0, &error.to_string()),
                    _ => error.into(),
                }
            })?;
        if found.capacity < needed {
            return Err(too_little(found.capacity, &found.explanation.to_string()));
        }
        let options = GovernorOptions { floor: needed, ..GovernorOptions::default() };
        let governor = Governor::new(container, declared, options)?;
        let seen = Seen::starting_at(&found);
        Ok(Self {
            found,
            reserve,
            clock: SystemClock::start(),
            due_ms: AtomicU64::new(0),
            governed: Mutex::new(Governed { governor, seen }),
        })
    }

    /// What was found.
    pub(crate) const fn capacity(&self) -> u64 {
        self.found.capacity
    }

    /// Sets the ledger's capacity anew if that is due and no other task does it now. Blocks for the
    /// spills that a lower one makes. An error leaves the capacity as it is and is reported.
    pub(crate) fn poll(&self, ledger: &MemoryLedger) {
        let now = self.clock.now();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let due_ms = self.due_ms.load(Ordering::Relaxed);
        let next_ms = now_ms.saturating_add(POLL_INTERVAL_MS);
        let (order, failed) = (Ordering::Relaxed, Ordering::Relaxed);
        if now_ms < due_ms || self.due_ms.compare_exchange(due_ms, next_ms, order, failed).is_err()
        {
            return;
        }
        if let Ok(mut governed) = self.governed.try_lock() {
            governed.poll(now, ledger);
        }
    }

    /// What was decided, for the report.
    pub(crate) fn report(&self) -> AutoReport {
        let governed = self.governed.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = &governed.seen;
        AutoReport {
            reserve_bytes: self.reserve,
            found: BudgetReport::of(&self.found.explanation),
            tightest: BudgetReport::of(&seen.tightest),
            polls: seen.polls,
            capacity_cuts: seen.cuts,
            capacity_raises: seen.raises,
            capacity_lowest_bytes: seen.lowest,
            capacity_highest_bytes: seen.highest,
            capacity_last_bytes: seen.last,
            freed_by_polls_bytes: seen.freed,
            polls_below_minimum: seen.below_minimum,
            poll_error: seen.failed.as_ref().map(ToString::to_string),
        }
    }
}

impl Governed {
    fn poll(&mut self, now: Duration, ledger: &MemoryLedger) {
        let seen = &mut self.seen;
        seen.polls += 1;
        let report = match self.governor.poll(now, ledger) {
            Ok(report) => report,
            Err(error) => {
                seen.failed.get_or_insert(error);
                return;
            }
        };
        seen.cuts += u64::from(report.new_capacity < report.old_capacity);
        seen.raises += u64::from(report.new_capacity > report.old_capacity);
        seen.last = report.new_capacity;
        seen.highest = seen.highest.max(report.new_capacity);
        seen.freed = seen.freed.saturating_add(report.freed);
        seen.below_minimum += u64::from(report.below_floor);
        if report.new_capacity < seen.lowest {
            (seen.lowest, seen.tightest) = (report.new_capacity, report.explanation);
        }
    }
}

impl Seen {
    fn starting_at(found: &Budget) -> Self {
        Self {
            polls: 0,
            failed: None,
            cuts: 0,
            raises: 0,
            last: found.capacity,
            highest: found.capacity,
            lowest: found.capacity,
            tightest: found.explanation.clone(),
            freed: 0,
            below_minimum: 0,
        }
    }
}

/// Left free whatever happens: what the program takes beside its budget, or a sixteenth of the
/// tightest limit.
fn margin(seen: &Observation<'_>) -> u64 {
    let limits = seen.groups.iter().flat_map(|group| [group.limit, group.high]).flatten();
    let tightest = limits.chain([seen.node.total]).min().unwrap_or(0);
    OVERHEAD_BYTES.max(tightest / MARGIN_PART)
}

const POLL_INTERVAL_MS: u64 = 100;
const MARGIN_PART: u64 = 16;
