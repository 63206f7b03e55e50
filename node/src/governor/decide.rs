//! What a poll does to the capacity: a pure function of the signals, the state and the time.
//!
//! Down at once, up slowly. The capacity is never above the ceiling; it grows when the ceiling was
//! above it by a band for a whole holding time, by one step, and no higher than the lowest ceiling
//! of that time: a load that comes and goes faster than the holding time leaves it at the trough.
//! The host's own ceiling does not move and needs no band: up to it the capacity may grow.
//!
//! Alarms cut it further by an eighth, once per settling time, and stop growth for a calming time: a
//! kill for memory; the limit met with less than the margin of page cache left (met with more it is
//! how writing files goes); tasks stalled for memory with less than two margins left.

use std::time::Duration;

use super::GovernorOptions;

/// What was seen, as far as it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signals {
    /// The most the tightest limit allows.
    pub(super) ceiling: u64,
    /// What the tightest limit has left beside all that is held.
    pub(super) slack: u64,
    /// The declared margin.
    pub(super) margin: u64,
    /// How often memory ran out, or a process was killed for it, so far.
    pub(super) ooms: u64,
    /// How often a limit was met so far.
    pub(super) limit_hits: u64,
    /// Share of the last 10 s in which all tasks waited for memory, in hundredths of a percent.
    pub(super) stall: u64,
}

/// What is kept from poll to poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct State {
    window: Option<Window>,
    cut_at: Option<Duration>,
    seen: Option<Seen>,
}

/// A time in which the ceiling was above the capacity by the band.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    since: Duration,
    lowest: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    ooms: u64,
    limit_hits: u64,
}

/// Why a poll left the capacity as it is, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Nothing changed.
    Steady,
    /// The tightest signal went below the capacity.
    Tightest,
    /// Memory ran out, or a process of ours was killed for it, since the last poll.
    OutOfMemory,
    /// A limit was met with less than the margin left.
    LimitMet,
    /// Tasks waited for memory with little left.
    Stalled,
    /// There was room for long enough.
    Regrown,
    /// The capacity was below the floor.
    Floor,
}

impl State {
    /// The same, for counters that begin anew.
    pub(super) fn with_other_counters(self) -> Self {
        Self { seen: None, ..self }
    }
}

/// What a poll decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) capacity: u64,
    pub(super) cause: Cause,
    /// The signals ask for less than the floor.
    pub(super) below_floor: bool,
    pub(super) state: State,
}

pub(super) fn decide(
    options: &GovernorOptions,
    capacity: u64,
    signals: &Signals,
    state: State,
    now: Duration,
) -> Decision {
    let ceiling = signals.ceiling.min(options.ceiling);
    let alarm = alarm(options, signals, state.seen);
    let waited = |since: Duration| now.saturating_sub(since);
    let mut cut_at = state.cut_at;
    let (mut next, mut cause) = (capacity, Cause::Steady);
    if let Some(alarm) = alarm {
        if cut_at.is_none_or(|at| waited(at) >= options.settle) {
            (next, cause) = (capacity - capacity / CUT, alarm);
            cut_at = Some(now);
        }
    } else if let Some(window) = state.window {
        let lowest = window.lowest.min(signals.ceiling);
        let calm = cut_at.is_none_or(|at| waited(at) >= options.calm);
        if is_roomy(options, lowest, capacity) && calm && waited(window.since) >= options.hold {
            let step = options.step.max(capacity / STEP);
            (next, cause) = (capacity.saturating_add(step), Cause::Regrown);
            next = next.min(lowest).min(options.ceiling);
        }
    }
    if ceiling < next {
        (next, cause) = (ceiling, Cause::Tightest);
    }
    if next < options.floor {
        next = options.floor;
        cause = match capacity.cmp(&next) {
            std::cmp::Ordering::Less => Cause::Floor,
            std::cmp::Ordering::Equal => Cause::Steady,
            std::cmp::Ordering::Greater => cause,
        };
    }
    let roomy = alarm.is_none() && is_roomy(options, signals.ceiling, next);
    let window = roomy.then(|| match state.window {
        Some(Window { since, lowest }) if next == capacity => {
            Window { since, lowest: lowest.min(signals.ceiling) }
        }
        _ => Window { since: now, lowest: signals.ceiling },
    });
    let seen = Some(Seen { ooms: signals.ooms, limit_hits: signals.limit_hits });
    let state = State { window, cut_at, seen };
    Decision { capacity: next, cause, below_floor: ceiling < options.floor, state }
}

/// Whether the signals allow a band more than `capacity`, and the host more at all.
fn is_roomy(options: &GovernorOptions, ceiling: u64, capacity: u64) -> bool {
    ceiling >= capacity.saturating_add(options.band) && options.ceiling > capacity
}

/// The most serious alarm. What happened before the first poll is no news.
fn alarm(options: &GovernorOptions, signals: &Signals, seen: Option<Seen>) -> Option<Cause> {
    let seen = seen?;
    if signals.ooms > seen.ooms {
        return Some(Cause::OutOfMemory);
    }
    if signals.limit_hits > seen.limit_hits && signals.slack < signals.margin {
        return Some(Cause::LimitMet);
    }
    let little = signals.slack < signals.margin.saturating_mul(2);
    (little && signals.stall >= options.stall_hundredths).then_some(Cause::Stalled)
}

/// An alarm takes one part of this many.
const CUT: u64 = 8;
/// A step is at least one part of this many.
const STEP: u64 = 8;
