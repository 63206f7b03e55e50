//! The process killed before and after an operation, from opening the directories to closing them:
//! the output, if there is to be one, is whole or absent, a sweep leaves nothing else, the next attempt
//! succeeds.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::failing::NOTHING;
use super::ground::{Ground, Variant};
use super::points::{Covered, Points};
use super::workload::Workload;
use crate::faults::{Fault, Repeat};

/// How a child ends that was killed, and not by a failure of its own.
pub(super) const KILLED: Option<i32> = Some(rustix::process::Signal::KILL.as_raw());

/// The process killed at the chosen operations. `command` makes a command that hands its argument to
/// [`super::child`].
pub fn everywhere(
    workload: &Workload,
    variant: Variant,
    points: Points,
    command: &dyn Fn(&str) -> Command,
) -> Covered {
    let mut covered = Covered::default();
    let record = record(workload, variant);
    for fault in [Fault::Kill, Fault::KillAfter] {
        let chosen = points.choose(&record);
        covered.add(&chosen, &record);
        for at in chosen {
            let ground = Ground::new(variant);
            let argument = argument(workload, &ground, (at, fault));
            let killed = command(&argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
            let killed = killed.expect("a child");
            let name = workload.name();
            let place = format!("{name}, {variant:?}: {fault:?} at operation {at}");
            assert_eq!(killed.signal(), KILLED, "{place}: the child has this operation");
            check(workload, &ground, &place);
        }
    }
    covered
}

/// What the second process does: all of an attempt, until it is killed.
pub(super) fn child(argument: &str) {
    let (workload, ground, (at, fault)) = parse(argument);
    let store = ground.store();
    store.arm(at, fault, Repeat::Once);
    let dirs = ground.open(&store).expect("directories");
    let attempt = workload.attempt();
    drop(workload.write(&attempt, &dirs, 1).expect("an attempt"));
    attempt.end().expect("the ledger");
}

/// The operations of [`super::child`].
pub(super) fn record(workload: &Workload, variant: Variant) -> Vec<bywash_spill::StoreOp> {
    let ground = Ground::new(variant);
    let store = ground.store();
    let dirs = ground.open(&store).expect("directories");
    let attempt = workload.attempt();
    drop(workload.write(&attempt, &dirs, 1).expect("an attempt"));
    drop(dirs);
    store.record()
}

/// After the process is gone.
pub(super) fn check(workload: &Workload, ground: &Ground, place: &str) {
    // Panics for a half output: also before any sweep nothing wrong is visible.
    let before = ground.committed(workload);
    let dirs = ground.open(&ground.store()).expect("directories");
    assert_eq!(ground.left(workload), NOTHING, "{place}: swept");
    let sessions = ground.entries().into_iter().filter(|path| super::ground::is_session(path));
    let ours = ground.variant().spill_dirs + 1;
    assert_eq!(sessions.count(), ours, "{place}: a dead session is left");
    assert_eq!(ground.committed(workload), before, "{place}: a sweep takes no output");
    let attempt = workload.attempt();
    let output = workload.write(&attempt, &dirs, 2);
    let output = output.unwrap_or_else(|error| panic!("{place}: again: {error}"));
    workload.check(&output).unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
    assert_eq!(output.attempt().0, if before { 1 } else { 2 }, "{place}");
    drop(output);
    attempt.end().unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
    drop(dirs);
    assert_eq!(ground.left_when_closed(workload), NOTHING, "{place}: closed");
}

/// Everything a child needs to know, as text.
pub(super) fn argument(workload: &Workload, ground: &Ground, (at, fault): (u64, Fault)) -> String {
    let after = u8::from(fault == Fault::KillAfter);
    let path = ground.path().to_str().expect("a path in UTF-8");
    let (name, variant) = (workload.name(), ground.variant().number());
    format!("{name} {variant} {at} {after} {path}")
}

/// The other way round.
pub(super) fn parse(argument: &str) -> (Workload, Ground, (u64, Fault)) {
    let mut words = argument.splitn(5, ' ');
    let mut word = || words.next().expect("a word");
    let workload = Workload::of_name(word());
    let variant = Variant::of_number(word().parse().expect("a number"));
    let at = word().parse().expect("a number");
    let fault = if word() == "1" { Fault::KillAfter } else { Fault::Kill };
    let ground = Ground::at(PathBuf::from(word()), variant);
    (workload, ground, (at, fault))
}
