//! The decision against a model that keeps all history; polls against a ledger that is a number.

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;

use super::decide::{Decision, Signals, State, decide};
use super::{Cause, Governor, GovernorOptions};

const OPTIONS: GovernorOptions = GovernorOptions {
    floor: 50,
    ceiling: 1500,
    band: 20,
    hold: Duration::from_secs(10),
    step: 30,
    settle: Duration::from_secs(2),
    calm: Duration::from_secs(25),
    stall_hundredths: 2000,
};

const CALM: Signals =
    Signals { ceiling: 1000, slack: 1000, margin: 10, ooms: 0, limit_hits: 0, stall: 0 };

/// One poll as the model remembers it.
struct Past {
    now: u64,
    ceiling: u64,
    alarmed: bool,
    cut: bool,
    capacity: u64,
}

/// The rules as the module says them, from the whole history.
fn naive(past: &[Past], before: Option<&Signals>, capacity: u64, seen: &Signals, now: u64) -> Past {
    let ceiling = seen.ceiling;
    let alarmed = before.is_some_and(|before| {
        seen.ooms > before.ooms
            || (seen.limit_hits > before.limit_hits && seen.slack < seen.margin)
            || (seen.stall >= OPTIONS.stall_hundredths && seen.slack < 2 * seen.margin)
    });
    let last_cut = past.iter().rev().find(|poll| poll.cut).map(|poll| poll.now);
    let cut = alarmed && last_cut.is_none_or(|at| now - at >= OPTIONS.settle.as_secs());
    let mut next = if cut { capacity - capacity / 8 } else { capacity };
    let roomy = |poll: &&Past| {
        !poll.alarmed
            && poll.capacity == capacity
            && poll.ceiling >= capacity + OPTIONS.band
            && capacity < OPTIONS.ceiling
    };
    let window: Vec<&Past> = past.iter().rev().take_while(roomy).collect();
    if let Some(first) = window.last() {
        let lowest = window.iter().map(|poll| poll.ceiling).chain([ceiling]).min().unwrap();
        if !alarmed
            && lowest >= capacity + OPTIONS.band
            && now - first.now >= OPTIONS.hold.as_secs()
            && last_cut.is_none_or(|at| now - at >= OPTIONS.calm.as_secs())
        {
            next = lowest.min(capacity + OPTIONS.step.max(capacity / 8));
        }
    }
    let capacity = next.min(ceiling).clamp(OPTIONS.floor, OPTIONS.ceiling);
    Past { now, ceiling, alarmed, cut, capacity }
}

fn signals() -> impl Strategy<Value = Signals> {
    (0..3000u64, 0..60u64, 0..30u64, 0..2u64, 0..3u64, prop_oneof![Just(0), 0..4000u64]).prop_map(
        |(ceiling, slack, margin, ooms, limit_hits, stall)| Signals {
            ceiling,
            slack,
            margin,
            ooms: u64::from(ooms == 1 && limit_hits == 0),
            limit_hits,
            stall,
        },
    )
}

/// Polls whose counters only rise, at times that only rise. Long calm stretches in between.
fn polls() -> impl Strategy<Value = Vec<(u64, Signals)>> {
    let one = (0..6u64, signals(), 0..8u8, 0..40u64);
    proptest::collection::vec(one, 1..60).prop_map(|polls| {
        let (mut now, mut ooms, mut hits) = (0, 0, 0);
        let mut found = Vec::new();
        for (step, seen, kind, wobble) in polls {
            now += step;
            let seen = if kind > 1 {
                Signals { ceiling: 900 + wobble, ooms, limit_hits: hits, ..CALM }
            } else {
                (ooms, hits) = (ooms + seen.ooms, hits + seen.limit_hits);
                Signals { ooms, limit_hits: hits, ..seen }
            };
            found.push((now, seen));
        }
        found
    })
}

/// Runs polls; the capacity after each.
fn run(polls: &[(u64, Signals)], mut capacity: u64) -> (Vec<Decision>, State, u64) {
    let mut state = State::default();
    let mut decisions = Vec::new();
    for (now, seen) in polls {
        let decision = decide(&OPTIONS, capacity, seen, state, Duration::from_secs(*now));
        (state, capacity) = (decision.state, decision.capacity);
        decisions.push(decision);
    }
    (decisions, state, capacity)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn decides_as_the_model_and_never_above_the_ceiling(polls in polls(), start in 0..4000u64) {
        let mut past: Vec<Past> = Vec::new();
        let (decisions, ..) = run(&polls, start);
        let mut capacity = start;
        let mut before = None;
        for ((now, seen), decision) in polls.iter().zip(decisions) {
            past.push(naive(&past, before, capacity, seen, *now));
            prop_assert_eq!(decision.capacity, past.last().unwrap().capacity);
            let bound = seen.ceiling.min(OPTIONS.ceiling);
            prop_assert!(decision.capacity <= bound.max(OPTIONS.floor));
            prop_assert_eq!(decision.below_floor, bound < OPTIONS.floor);
            let (now_is, was) = (decision.capacity, capacity);
            prop_assert_eq!(decision.cause == Cause::Steady, now_is == was);
            prop_assert_eq!(matches!(decision.cause, Cause::Regrown | Cause::Floor), now_is > was);
            capacity = decision.capacity;
            before = Some(seen);
        }
    }

    /// Whatever came before: under a constant load the capacity only rises, to within the band of
    /// what was observed or to what the host allows, and then stays.
    #[test]
    fn a_constant_load_does_not_make_it_swing(polls in polls(), ceiling in 0..3000u64) {
        let (_, mut state, mut capacity) = run(&polls, 2000);
        let (last, seen) = *polls.last().unwrap();
        let seen = Signals { ceiling, slack: 1000, ..seen };
        let bound = ceiling.clamp(OPTIONS.floor, OPTIONS.ceiling);
        let mut settled = 0;
        for tick in 0..2000 {
            let now = Duration::from_secs(last + tick);
            let decision = decide(&OPTIONS, capacity, &seen, state, now);
            if tick > 0 {
                prop_assert!(decision.capacity >= capacity, "fell at {tick}");
            }
            settled = if decision.capacity == capacity { settled + 1 } else { 0 };
            (state, capacity) = (decision.state, decision.capacity);
        }
        prop_assert!(settled > 100, "still moving");
        prop_assert!(capacity <= bound && capacity + OPTIONS.band >= bound);
        if ceiling >= bound + OPTIONS.band {
            prop_assert_eq!(capacity, bound);
        }
    }

    /// A better machine never gets less.
    #[test]
    fn is_monotone_in_the_signals(
        polls in polls(), wait in 0..40u64, seen in signals(),
        ceiling in 0..500u64, slack in 0..50u64, ooms in 0..2u64, hits in 0..2u64,
        stall in 0..3000u64,
    ) {
        let (_, state, capacity) = run(&polls, 900);
        let (last, latest) = polls.last().unwrap();
        let now = Duration::from_secs(last + wait);
        let worse = Signals {
            ooms: latest.ooms + seen.ooms,
            limit_hits: latest.limit_hits + seen.limit_hits,
            ..seen
        };
        let better = Signals {
            ceiling: worse.ceiling + ceiling,
            slack: worse.slack + slack,
            margin: worse.margin,
            ooms: worse.ooms.saturating_sub(ooms),
            limit_hits: worse.limit_hits.saturating_sub(hits),
            stall: worse.stall.saturating_sub(stall),
        };
        let of = |seen| decide(&OPTIONS, capacity, &seen, state, now).capacity;
        prop_assert!(of(better) >= of(worse), "{better:?} {worse:?}");
    }
}

#[test]
fn shrinks_at_once_and_grows_by_steps_after_the_holding_time() {
    let (_, state, capacity) = run(&[(0, CALM), (1, Signals { ceiling: 300, ..CALM })], 1000);
    assert_eq!(capacity, 300);
    let (mut state, mut capacity) = (state, capacity);
    let mut grew = Vec::new();
    for now in 2..60 {
        let decision = decide(&OPTIONS, capacity, &CALM, state, Duration::from_secs(now));
        if decision.capacity != capacity {
            grew.push((now, decision.capacity));
        }
        (state, capacity) = (decision.state, decision.capacity);
    }
    assert_eq!(grew, [(12, 337), (22, 379), (32, 426), (42, 479), (52, 538)]);
}

#[test]
fn a_limit_met_by_writing_files_is_no_alarm() {
    let met = |now, slack| (now, Signals { limit_hits: now, slack, ..CALM });
    let (decisions, ..) = run(&[met(0, 10), met(1, 10), met(2, 10)], 1000);
    assert!(decisions.iter().all(|decision| decision.cause == Cause::Steady));
    let (decisions, ..) = run(&[met(0, 9), met(1, 9)], 1000);
    assert_eq!((decisions[1].cause, decisions[1].capacity), (Cause::LimitMet, 875));
}

/// With the default band, which is wider than all that was cut.
#[test]
fn a_small_capacity_comes_back_to_what_the_host_allows() {
    let most = 24 << 20;
    let options = GovernorOptions { ceiling: most, ..GovernorOptions::default() };
    let calm = Signals { ceiling: 1 << 30, slack: 1 << 30, margin: 1 << 20, ..CALM };
    let (mut state, mut capacity) = (State::default(), most);
    let mut poll = |seen: &Signals, now| {
        let decision = decide(&options, capacity, seen, state, Duration::from_secs(now));
        (state, capacity) = (decision.state, decision.capacity);
        capacity
    };
    poll(&calm, 0);
    assert_eq!(poll(&Signals { ooms: 1, ..calm }, 1), most - most / 8);
    let calm = Signals { ooms: 1, ..calm };
    assert_eq!((2..80).map(|now| poll(&calm, now)).max(), Some(most));
}

/// A ledger that is numbers.
struct Fake {
    capacity: Cell<u64>,
    granted: Cell<u64>,
}

impl super::Governed for Fake {
    fn capacity(&self) -> u64 {
        self.capacity.get()
    }

    fn live(&self) -> u64 {
        self.granted.get()
    }

    fn set_capacity(&self, bytes: u64) -> u64 {
        self.capacity.set(bytes);
        self.granted.get().saturating_sub(bytes)
    }

    fn reclaim_over(&self) -> u64 {
        let half = self.granted.get().saturating_sub(self.capacity.get()) / 2;
        self.granted.set(self.granted.get() - half);
        half
    }
}

/// What another group met before we were moved there is no alarm; what it meets then is.
#[test]
fn the_counters_of_another_group_are_no_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("proc/meminfo", "MemTotal: 10000000 kB\nMemAvailable: 9000000 kB\n");
    write("proc/self/mountinfo", "35 23 0:29 / /groups rw - cgroup2 cgroup2 rw\n");
    let group = |name: &str, kills: u64| {
        write(&format!("groups/{name}/memory.max"), "1000000000\n");
        write(&format!("groups/{name}/memory.current"), "1000\n");
        write(&format!("groups/{name}/memory.stat"), "anon 1000\nfile 0\n");
        write(&format!("groups/{name}/memory.events"), &format!("oom_kill {kills}\n"));
    };
    group("a", 0);
    group("b", 7);
    write("proc/self/cgroup", "0::/a\n");
    let container = crate::Container::find(dir.path()).unwrap();
    let options = GovernorOptions { ceiling: 1000, ..GovernorOptions::default() };
    let declared = crate::Declared::default();
    let mut governor = Governor::new(container, declared, options).unwrap();
    let ledger = Fake { capacity: Cell::new(1000), granted: Cell::new(0) };
    let mut cause = |now| governor.govern(Duration::from_secs(now), &ledger).unwrap().cause;
    assert_eq!(cause(0), Cause::Steady);
    write("proc/self/cgroup", "0::/b\n");
    assert_eq!(cause(10), Cause::Steady);
    group("b", 8);
    assert_eq!(cause(20), Cause::OutOfMemory);
}

#[test]
fn an_option_that_cannot_be_kept_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("proc")).unwrap();
    for (floor, ceiling, band) in [(2, 1, 1), (0, 1, 0)] {
        let container = crate::Container::find(dir.path()).unwrap();
        let options = GovernorOptions { floor, ceiling, band, ..GovernorOptions::default() };
        Governor::new(container, crate::Declared::default(), options).unwrap_err();
    }
}

/// A poll reports what it found over and what came back, and an odd file leaves all as it was.
#[test]
fn a_poll_takes_back_what_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let proc = dir.path().join("proc");
    std::fs::create_dir(&proc).unwrap();
    let meminfo = |text: &str| std::fs::write(proc.join("meminfo"), text).unwrap();
    meminfo("MemTotal: 1000 kB\nMemAvailable: 300 kB\nShmem: 500 kB\n");
    let container = crate::Container::find(dir.path()).unwrap();
    let declared = crate::Declared { margin: 100 << 10, ..Default::default() };
    let options = GovernorOptions { floor: 10 << 10, ..GovernorOptions::default() };
    let mut governor = Governor::new(container, declared, options).unwrap();
    let ledger = Fake { capacity: Cell::new(u64::MAX), granted: Cell::new(400 << 10) };
    let report = governor.govern(Duration::ZERO, &ledger).unwrap();
    // 1000 - (700 - 400 ours) - 100
    assert_eq!((report.new_capacity, report.over), (600 << 10, 0));

    meminfo("MemTotal: 1000 kB\nMemAvailable: 0 kB\nShmem: 500 kB\n");
    let report = governor.govern(Duration::from_secs(1), &ledger).unwrap();
    assert_eq!((report.old_capacity, report.new_capacity), (600 << 10, 300 << 10));
    assert_eq!((report.over, report.freed), (100 << 10, 50 << 10));
    assert_eq!(report.cause, Cause::Tightest);

    meminfo("MemTotal: odd\n");
    governor.govern(Duration::from_secs(2), &ledger).unwrap_err();
    assert_eq!(ledger.capacity.get(), 300 << 10);
}
