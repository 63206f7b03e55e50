//! Two attempts at one map, one of them paused, failing or killed at its operations: whoever gets to
//! the end of `finish` has a whole output, its own or the other's, and nothing else is left.

use std::process::{Command, Stdio};
use std::sync::Barrier;

use bywash::Result;

use super::failing::NOTHING;
use super::ground::{Ground, Opened, Variant};
use super::killed::{argument, record};
use super::points::{Covered, Points};
use super::workload::{Output, Workload};
use crate::faults::{Fault, Repeat};

/// The first attempt waits before each of the chosen operations while the second one runs to its
/// end: both return the same output.
pub fn one_paused(workload: &Workload, variant: Variant, points: Points) -> Covered {
    each(workload, variant, points, |at, place| {
        let ground = Ground::new(variant);
        let store = ground.store();
        let first = ground.open(&store).expect("directories");
        let second = ground.open(&ground.store()).expect("directories");
        store.arm(at, Fault::Pause, Repeat::Once);
        let winners = std::thread::scope(|scope| {
            let slow = scope.spawn(|| {
                let winner = attempt(workload, &first, 1).expect("no fault");
                store.end();
                winner
            });
            store.wait_paused();
            let fast = attempt(workload, &second, 2).expect("no fault");
            store.resume();
            [slow.join().expect("an attempt"), fast]
        });
        assert_eq!(winners[0], winners[1], "{place}: one output");
        end(workload, &ground, [first, second], Some(winners[0]), place);
    })
}

/// The first attempt fails at each of the chosen operations while the second one runs, at its own
/// pace or, with `late`, after the second has committed.
pub fn one_failing(workload: &Workload, variant: Variant, points: Points, late: bool) -> Covered {
    let mut covered = Covered::default();
    for (fault, repeat) in [
        (Fault::IO, Repeat::Once),
        (Fault::IO, Repeat::Forever),
        (Fault::IO_AFTER, Repeat::Once),
        (Fault::IO_AFTER, Repeat::Forever),
    ] {
        let more = each(workload, variant, points, |at, place| {
            let ground = Ground::new(variant);
            let store = ground.store();
            let first = ground.open(&store).expect("directories");
            let second = ground.open(&ground.store()).expect("directories");
            let early = late.then(|| attempt(workload, &second, 2).expect("no fault"));
            store.arm(at, fault, repeat);
            let start = Barrier::new(2);
            let (failing, winner) = std::thread::scope(|scope| {
                let failing = scope.spawn(|| {
                    start.wait();
                    attempt(workload, &first, 1)
                });
                start.wait();
                let winner =
                    early.unwrap_or_else(|| attempt(workload, &second, 2).expect("no fault"));
                (failing.join().expect("an attempt"), winner)
            });
            store.disarm();
            if let Ok(other) = failing {
                assert_eq!(other, winner, "{place}, {fault:?} {repeat:?}: one output");
            }
            end(workload, &ground, [first, second], Some(winner), place);
        });
        covered.chosen += more.chosen;
        covered.of += more.of;
    }
    covered
}

/// Another process is killed at each of the chosen operations, opening its directories included,
/// while an attempt of this one runs, at its own pace or, with `late`, after this one has committed.
pub fn one_killed(
    workload: &Workload,
    variant: Variant,
    points: Points,
    late: bool,
    command: &dyn Fn(&str) -> Command,
) -> Covered {
    let record = record(workload, variant);
    let mut covered = Covered::default();
    for fault in [Fault::Kill, Fault::KillAfter] {
        let chosen = points.choose(&record);
        covered.add(&chosen, &record);
        for at in chosen {
            let name = workload.name();
            let place = format!("{name}, {variant:?}, late {late}: {fault:?} at operation {at}");
            let ground = Ground::new(variant);
            let ours = ground.open(&ground.store()).expect("directories");
            let early = late.then(|| attempt(workload, &ours, 2).expect("no fault"));
            let argument = argument(workload, &ground, (at, fault));
            let mut command = command(&argument);
            let mut child =
                command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a child");
            let winner = early.unwrap_or_else(|| {
                attempt(workload, &ours, 2).unwrap_or_else(|error| panic!("{place}: {error}"))
            });
            // A race decides which operations it has; a few less than alone, and it may get through.
            child.wait().expect("a child");
            end(workload, &ground, [ours], Some(winner), &place);
        }
    }
    covered
}

/// One attempt that reads its output; returns whose output it is.
fn attempt(workload: &Workload, dirs: &Opened, number: u64) -> Result<u64> {
    let memory = workload.attempt();
    let outcome = workload.write(&memory, dirs, number);
    let outcome = outcome.map(|output: Output| {
        // Reading may meet the fault as well; what is committed is checked at the end.
        output.attempt().0
    });
    memory.end().expect("the ledger");
    outcome
}

/// All attempts are over: the output is the winner's, and after a sweep there is nothing else.
fn end<const N: usize>(
    workload: &Workload,
    ground: &Ground,
    dirs: [Opened; N],
    winner: Option<u64>,
    place: &str,
) {
    let committed = ground.committed_by(workload);
    assert_eq!(committed, winner, "{place}: the output");
    drop(dirs);
    ground.sweep();
    assert_eq!(ground.left_when_closed(workload), NOTHING, "{place}: closed");
    assert_eq!(ground.committed_by(workload), winner, "{place}: a sweep takes no output");
}

/// Runs `trial` at the chosen operations of an attempt, opening not included.
fn each(
    workload: &Workload,
    variant: Variant,
    points: Points,
    trial: impl Fn(u64, &str),
) -> Covered {
    let record = super::failing::record(workload, variant, &|_| crate::faults::Scope::default());
    let chosen = points.choose(&record);
    let mut covered = Covered::default();
    covered.add(&chosen, &record);
    for at in chosen {
        trial(at, &format!("{}, {variant:?}: operation {at}", workload.name()));
    }
    covered
}
