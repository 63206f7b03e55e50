//! Keeping a ledger's capacity true to the container while a job runs.
//!
//! The host calls [`Governor::poll`] as often as it likes, about once a second; there is no thread
//! of ours. What is kept from poll to poll has a fixed size and polling allocates nothing: it is
//! called when memory is short.

mod decide;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bywash_core::memory::MemoryLedger;
use bywash_core::{Error, Figure, Result};

pub use decide::Cause;
use decide::{Signals, State, decide};

use crate::budget::{BudgetExplanation, Declared};
use crate::container::{Container, Observation};

/// How a [`Governor`] decides. Bytes unless the name says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GovernorOptions {
    /// The capacity never goes below this: the minimum budget of what runs. Default 0.
    pub floor: u64,
    /// The capacity never goes above this. Default: no bound but what is observed.
    pub ceiling: u64,
    /// The capacity grows only while the tightest signal observed allows this much more. Default
    /// 32 MiB, at least 1.
    pub band: u64,
    /// For how long it must, before each step. Default 10 s.
    pub hold: Duration,
    /// How far it grows at once: this or an eighth of the capacity. Default 64 MiB, at least 1.
    pub step: u64,
    /// The time between two cuts by an alarm. Default 2 s.
    pub settle: Duration,
    /// No growth for so long after a cut. Default 60 s.
    pub calm: Duration,
    /// Tasks stalled for so much of the last 10 s are an alarm, in hundredths of a percent. Default
    /// 2000; 10,001 and more is never.
    pub stall_hundredths: u64,
}

impl Default for GovernorOptions {
    fn default() -> Self {
        Self {
            floor: 0,
            ceiling: u64::MAX,
            band: 32 << 20,
            hold: Duration::from_secs(10),
            step: 64 << 20,
            settle: Duration::from_secs(2),
            calm: Duration::from_secs(60),
            stall_hundredths: 2000,
        }
    }
}

/// Shrinks and regrows a ledger's capacity by what its container and node have left.
#[derive(Debug)]
pub struct Governor {
    container: Container,
    declared: Declared,
    options: GovernorOptions,
    state: State,
}

/// What a poll saw and did. Bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollReport {
    /// The capacity before.
    pub old_capacity: u64,
    /// The capacity from now on.
    pub new_capacity: u64,
    /// Why it changed.
    pub cause: Cause,
    /// The signals ask for less than the floor, which holds: the container may run out of memory.
    pub below_floor: bool,
    /// What was granted above the new capacity.
    pub over: u64,
    /// What spills gave back of that before the poll returned; what is busy follows at its own next
    /// step.
    pub freed: u64,
    /// The tightest signal and all figures.
    pub explanation: BudgetExplanation,
}

/// What is governed: a [`MemoryLedger`], or a test's.
trait Governed {
    fn capacity(&self) -> u64;
    fn live(&self) -> u64;
    fn set_capacity(&self, bytes: u64) -> u64;
    fn reclaim_over(&self) -> u64;
}

impl Governor {
    /// A governor that reads `container` and leaves room for what is `declared`.
    ///
    /// # Errors
    /// `InvalidArgument` if the floor is above the ceiling, or the band or step is 0.
    pub fn new(container: Container, declared: Declared, options: GovernorOptions) -> Result<Self> {
        if options.floor > options.ceiling {
            let message = "the floor of a governor is above its ceiling: lower it";
            return Err(Error::invalid(message)
                .with(Figure::Requested, options.floor)
                .with(Figure::Available, options.ceiling));
        }
        if options.band == 0 || options.step == 0 {
            return Err(Error::invalid("the band and the step of a governor are at least 1 byte"));
        }
        Ok(Self { container, declared, options, state: State::default() })
    }

    /// Reads all signals and sets the capacity of `ledger`: at once down to the tightest, slowly up
    /// again. What is granted above it is reclaimed: consumers spill on this thread, which blocks
    /// for their I/O. `now` is the time since any fixed point of a clock that does not go back.
    ///
    /// The capacity of a new ledger counts: it shrinks to the tightest signal at the first poll.
    ///
    /// # Errors
    /// Those of [`Container::observe`]; the capacity is left as it is.
    pub fn poll(&mut self, now: Duration, ledger: &MemoryLedger) -> Result<PollReport> {
        self.govern(now, ledger)
    }

    /// What may be read beside polling.
    pub const fn container(&self) -> &Container {
        &self.container
    }

    fn govern(&mut self, now: Duration, ledger: &impl Governed) -> Result<PollReport> {
        let old_capacity = ledger.capacity();
        // Before the rest is read: what is granted meanwhile then counts as others', not as room.
        let live = ledger.live();
        let seen = self.container.observe()?;
        let mut explanation = BudgetExplanation::of(&seen, &self.declared, live);
        let (ooms, limit_hits) = events(&seen);
        let signals = Signals {
            ceiling: explanation.ceiling,
            slack: explanation.slack,
            margin: explanation.margin,
            ooms,
            limit_hits,
            stall: explanation.stall.map_or(0, |report| report.stall.full_avg10),
        };
        if self.options.ceiling < explanation.ceiling {
            explanation.bound_by_host(self.options.ceiling);
        }
        // What happened in another group, before we came, is no news.
        let state = if seen.moved { self.state.with_other_counters() } else { self.state };
        let decision = decide(&self.options, old_capacity, &signals, state, now);
        self.state = decision.state;
        let over = ledger.set_capacity(decision.capacity);
        let freed = if over > 0 { ledger.reclaim_over() } else { 0 };
        Ok(PollReport {
            old_capacity,
            new_capacity: decision.capacity,
            cause: decision.cause,
            below_floor: decision.below_floor,
            over,
            freed,
            explanation,
        })
    }
}

impl Governed for MemoryLedger {
    fn capacity(&self) -> u64 {
        Self::capacity(self)
    }

    fn live(&self) -> u64 {
        Self::live(self)
    }

    fn set_capacity(&self, bytes: u64) -> u64 {
        Self::set_capacity(self, bytes)
    }

    fn reclaim_over(&self) -> u64 {
        Self::reclaim_over(self)
    }
}

/// How often memory ran out and how often a limit was met, in our group and by the limits above.
fn events(seen: &Observation<'_>) -> (u64, u64) {
    seen.groups.iter().fold((0u64, 0u64), |(ooms, hits), group| {
        let events = &group.events;
        let ooms = ooms.saturating_add(events.oom).saturating_add(events.oom_kill);
        (ooms, hits.saturating_add(events.high).saturating_add(events.max))
    })
}
