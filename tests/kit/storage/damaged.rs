//! A committed output is damaged: a new attempt replaces it where the damage shows without reading
//! the data, and [`bywash::OutputDir::remove_output`] removes it in any case; also when storage fails
//! or the process is killed at any operation of that, and when two are at it at once.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bywash::{AttemptId, ErrorKind, Result};
use bywash_spill::StoreOp;

use super::failing::{FAULTS, NOTHING};
use super::ground::{Ground, Opened, Variant};
use super::killed::{KILLED, argument, parse};
use super::points::{Covered, Points};
use super::workload::{MAP, Workload};
use crate::faults::{Fault, FaultStore, Repeat};

/// What a child is told before what [`super::killed`] tells it.
pub(super) const HEAL: &str = "heal ";
/// As [`HEAL`].
pub(super) const REMOVE: &str = "remove ";

/// What happened to an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// A bit of the index is another, in its header or behind it.
    IndexBit,
    /// The header of the index is nonsense.
    IndexHeader,
    /// The end of the index is missing.
    IndexShort,
    /// There is nothing in the index.
    IndexEmpty,
    /// There is no data file.
    DataGone,
    /// The end of the data file is missing.
    DataShort,
    /// A bit of the schema file is another.
    SchemaBit,
    /// A bit of the data is another: only readers find that.
    DataBit,
}

impl Damage {
    /// What a new attempt finds and replaces.
    pub const FOUND: [Self; 7] = [
        Self::IndexBit,
        Self::IndexHeader,
        Self::IndexShort,
        Self::IndexEmpty,
        Self::DataGone,
        Self::DataShort,
        Self::SchemaBit,
    ];

    /// Whose output stands once it is mended by attempt 2: of a schema only the file is made anew.
    const fn mended(self) -> u64 {
        if matches!(self, Self::SchemaBit) { 1 } else { 2 }
    }

    /// Does it to the output of `ground`.
    fn done_to(self, ground: &Ground) {
        let file = |wanted: &str| {
            let mut entries = ground.entries().into_iter();
            let found = entries.find(|path| path.to_string_lossy().contains(wanted));
            ground.path().join(found.expect("a file of the output"))
        };
        match self {
            Self::IndexBit => flip(&file(".index"), 130),
            Self::IndexHeader => flip(&file(".index"), 1),
            Self::IndexShort => cut(&file(".index"), 1),
            Self::IndexEmpty => cut(&file(".index"), u64::MAX),
            Self::DataGone => std::fs::remove_file(file(".data")).expect("a data file"),
            Self::DataShort => cut(&file(".data"), 1),
            Self::SchemaBit => flip(&file("schema-"), 40),
            Self::DataBit => flip(&file(".data"), 100),
        }
    }
}

/// An attempt of one number written again in the same directories, before and after the damage: it is
/// given its first output while that is whole, and replaces it when it is not. A quota that holds no
/// second output shows that the first one's comes back when it is removed.
pub fn same_attempt_again(workload: &Workload, variant: Variant, damage: Damage) {
    let ground = Ground::new(variant);
    let dirs = ground.open(&ground.store()).expect("directories");
    for _ in 0..2 {
        assert_eq!(written(workload, &dirs, 1).expect("no fault"), 1, "{damage:?}: whole");
    }
    damage.done_to(&ground);
    check(workload, &ground, &dirs, written(workload, &dirs, 1).expect("no fault"), "replaced");
    assert!(dirs.out.remove_output(MAP, Some(AttemptId(1))).expect("no fault"), "{damage:?}");
    assert_eq!(written(workload, &dirs, 1).expect("no fault"), 1, "{damage:?}: removed");
    assert!(!dirs.out.remove_output(MAP, Some(AttemptId(2))).expect("no fault"), "another's");
    check(workload, &ground, &dirs, 1, "another's stays");
    drop(dirs);
    ground.sweep();
    assert_eq!(ground.left_when_closed(workload), NOTHING, "{damage:?}: closed");
}

/// Outputs are written and removed under a quota that holds one.
pub fn quota_comes_back(workload: &Workload, variant: Variant) {
    let ground = Ground::new(variant);
    let dirs = ground.open(&ground.store()).expect("directories");
    assert_eq!(written(workload, &dirs, 1).expect("no fault"), 1);
    let quota = ground.output_bytes();
    assert!(dirs.out.remove_output(MAP, None).expect("no fault"));
    drop(dirs);
    let spill = bywash::SpillOptions::default();
    let dirs = ground.open_with(&ground.store(), spill, Some(quota)).expect("directories");
    for attempt in 1..5 {
        assert_eq!(written(workload, &dirs, attempt).expect("the quota holds one"), attempt);
        assert!(dirs.out.remove_output(MAP, None).expect("no fault"));
    }
}

/// A new attempt at a damaged output while storage fails at the chosen operations: an error, or a
/// whole output; and the attempt after that succeeds.
pub fn healing(workload: &Workload, variant: Variant, damage: Damage, points: Points) -> Covered {
    let record = {
        let (ground, store, dirs) = damaged(workload, variant, damage);
        store.disarm();
        let winner = written(workload, &dirs, 2).expect("no fault");
        assert_eq!(winner, damage.mended(), "{damage:?} is replaced");
        let record = store.record();
        check(workload, &ground, &dirs, winner, "no fault");
        record
    };
    each(&record, points, FAULTS.into_iter(), |at, fault, repeat| {
        let place = format!("{damage:?}, {variant:?}: {fault:?} {repeat:?} at operation {at}");
        let (ground, store, dirs) = damaged(workload, variant, damage);
        store.arm(at, fault, repeat);
        let outcome = written(workload, &dirs, 2);
        assert!(store.fired().is_some(), "{place}: it has this operation");
        store.disarm();
        match outcome {
            Ok(attempt) => assert_eq!(ground.committed_by(workload), Some(attempt), "{place}"),
            Err(error) => {
                let kinds = [ErrorKind::Io, ErrorKind::NoSpace];
                assert!(kinds.contains(&error.kind()), "{place}: {error}");
            }
        }
        let again = written(workload, &dirs, 3).unwrap_or_else(|error| panic!("{place}: {error}"));
        assert!([damage.mended(), 3].contains(&again), "{place}: the output of attempt {again}");
        check(workload, &ground, &dirs, again, &place);
        drop(dirs);
        ground.sweep();
        assert_eq!(ground.left_when_closed(workload), NOTHING, "{place}: closed");
    })
}

/// An output is removed while storage fails at the chosen operations: it is whole or gone, gone if
/// that was the answer, and removing it again works.
pub fn removing(workload: &Workload, variant: Variant, damage: Damage, points: Points) -> Covered {
    let record = {
        let (ground, store, dirs) = damaged(workload, variant, damage);
        store.disarm();
        assert!(dirs.out.remove_output(MAP, None).expect("no fault"), "there is one");
        let record = store.record();
        assert_eq!(ground.committed_by(workload), None);
        assert!(!dirs.out.remove_output(MAP, None).expect("no fault"), "there is none");
        record
    };
    each(&record, points, FAULTS.into_iter(), |at, fault, repeat| {
        let place = format!("{damage:?}, {variant:?}: {fault:?} {repeat:?} at operation {at}");
        let (ground, store, dirs) = damaged(workload, variant, damage);
        store.arm(at, fault, repeat);
        let outcome = dirs.out.remove_output(MAP, None);
        let fired = store.fired();
        store.disarm();
        if outcome.is_ok() {
            assert!(!index(&ground).exists(), "{place}, {fired:?}: removed, and there");
        }
        let again = dirs.out.remove_output(MAP, None);
        again.unwrap_or_else(|error| panic!("{place}, {fired:?}: again: {error}"));
        assert!(!index(&ground).exists(), "{place}, {fired:?}: there");
        assert_eq!(written(workload, &dirs, 2).expect("no fault"), 2, "{place}, {fired:?}");
        check(workload, &ground, &dirs, 2, &place);
        drop(dirs);
        ground.sweep();
        assert_eq!(ground.left_when_closed(workload), NOTHING, "{place}, {fired:?}: closed");
    })
}

/// The process is killed at each chosen operation of healing, or of removing; the next attempt
/// succeeds, and nothing else is left.
pub fn killed(
    workload: &Workload,
    variant: Variant,
    damage: Damage,
    points: Points,
    mode: Mode,
    command: &dyn Fn(&str) -> Command,
) -> Covered {
    let record = {
        let (ground, ..) = damaged(workload, variant, damage);
        let store = ground.store();
        act(mode, workload, &ground, &store);
        store.record()
    };
    let kills = [(Fault::Kill, Repeat::Once), (Fault::KillAfter, Repeat::Once)];
    each(&record, points, kills.into_iter(), |at, fault, _| {
        let place = format!("{mode:?}, {damage:?}, {variant:?}: {fault:?} at operation {at}");
        let (ground, _, dirs) = damaged(workload, variant, damage);
        drop(dirs);
        let word = if mode == Mode::Heal { HEAL } else { REMOVE };
        let argument = format!("{word}{}", argument(workload, &ground, (at, fault)));
        let killed = command(&argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let killed = killed.expect("a child").signal();
        assert_eq!(killed, KILLED, "{place}: the child has this operation");
        let store = ground.store();
        let dirs = ground.open(&store).expect("directories");
        let winner = written(workload, &dirs, 3).unwrap_or_else(|e| panic!("{place}: {e}"));
        let possible = [damage.mended(), 3].contains(&winner) || mode == Mode::Remove;
        assert!(possible, "{place}: the output of attempt {winner}");
        check(workload, &ground, &dirs, winner, &place);
        drop(dirs);
        ground.sweep();
        assert_eq!(ground.left_when_closed(workload), NOTHING, "{place}: closed");
    })
}

/// What a second process does until it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A new attempt.
    Heal,
    /// The output removed.
    Remove,
}

/// The second process.
pub(super) fn child(mode: Mode, argument: &str) {
    let (workload, ground, (at, fault)) = parse(argument);
    let store = ground.store();
    store.arm(at, fault, Repeat::Once);
    act(mode, &workload, &ground, &store);
}

fn act(mode: Mode, workload: &Workload, ground: &Ground, store: &std::sync::Arc<FaultStore>) {
    let dirs = ground.open(store).expect("directories");
    match mode {
        Mode::Heal => drop(written(workload, &dirs, 2).expect("an attempt")),
        Mode::Remove => drop(dirs.out.remove_output(MAP, None).expect("removed")),
    }
}

/// Two attempts replace a damaged output, one of them waiting before each of the chosen operations
/// while the other runs to its end: both have one whole output. Who comes while the other is about to
/// take the old index away is told so after a while, and has it when it tries again.
pub fn racing(workload: &Workload, variant: Variant, damage: Damage, points: Points) -> Covered {
    race(workload, variant, damage, points, |dirs| written(workload, dirs, 3))
}

/// As [`racing`], with one that removes the output of the first attempt, and no other.
pub fn racing_removal(
    workload: &Workload,
    variant: Variant,
    damage: Damage,
    points: Points,
) -> Covered {
    race(workload, variant, damage, points, |dirs| {
        dirs.out.remove_output(MAP, Some(AttemptId(1)))?;
        written(workload, dirs, 3)
    })
}

fn race(
    workload: &Workload,
    variant: Variant,
    damage: Damage,
    points: Points,
    other: impl Fn(&Opened) -> Result<u64>,
) -> Covered {
    let record = {
        let (_ground, store, dirs) = damaged(workload, variant, damage);
        store.disarm();
        written(workload, &dirs, 2).expect("no fault");
        store.record()
    };
    let pause = [(Fault::Pause, Repeat::Once)];
    each(&record, points, pause.into_iter(), |at, fault, repeat| {
        let place = format!("{damage:?}, {variant:?}: paused at operation {at}");
        let (ground, store, first) = damaged(workload, variant, damage);
        let second = ground.open(&ground.store()).expect("directories");
        store.arm(at, fault, repeat);
        let winners = std::thread::scope(|scope| {
            let slow = scope.spawn(|| {
                let winner = written(workload, &first, 2);
                store.end();
                winner.expect("no fault")
            });
            store.wait_paused();
            let fast = other(&second);
            store.resume();
            let slow = slow.join().expect("an attempt");
            let fast = fast.or_else(|error| {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{place}: {error}");
                other(&second)
            });
            [slow, fast.unwrap_or_else(|error| panic!("{place}: {error}"))]
        });
        assert_eq!(winners[0], winners[1], "{place}: one output");
        check(workload, &ground, &second, winners[0], &place);
        drop((first, second));
        ground.sweep();
        assert_eq!(ground.left_when_closed(workload), NOTHING, "{place}: closed");
    })
}

/// Directories with the output of attempt 1, damaged.
fn damaged(
    workload: &Workload,
    variant: Variant,
    damage: Damage,
) -> (Ground, std::sync::Arc<FaultStore>, Opened) {
    let ground = Ground::new(variant);
    let dirs = ground.open(&ground.store()).expect("directories");
    assert_eq!(written(workload, &dirs, 1).expect("no fault"), 1);
    drop(dirs);
    damage.done_to(&ground);
    let store = ground.store();
    let dirs = ground.open(&store).expect("directories");
    (ground, store, dirs)
}

/// Whose output stands after this attempt.
fn written(workload: &Workload, dirs: &Opened, number: u64) -> Result<u64> {
    let memory = workload.attempt();
    let outcome = workload.write(&memory, dirs, number).map(|output| output.attempt().0);
    memory.end().expect("the ledger");
    outcome
}

/// The output is the winner's and whole; whoever asks next is given it.
fn check(workload: &Workload, ground: &Ground, dirs: &Opened, winner: u64, place: &str) {
    assert_eq!(ground.committed_by(workload), Some(winner), "{place}");
    let next = written(workload, dirs, 9).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(next, winner, "{place}: a whole output stands");
}

fn each(
    record: &[StoreOp],
    points: Points,
    faults: impl Iterator<Item = (Fault, Repeat)>,
    trial: impl Fn(u64, Fault, Repeat),
) -> Covered {
    let mut covered = Covered::default();
    for (fault, repeat) in faults {
        let chosen = points.choose(record);
        covered.add(&chosen, record);
        for at in chosen {
            trial(at, fault, repeat);
        }
    }
    covered
}

fn index(ground: &Ground) -> PathBuf {
    ground.path().join("out").join(format!("{}.index", MAP.0))
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).expect("a file");
}

fn cut(path: &Path, bytes: u64) {
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("a file");
    let len = file.metadata().expect("a file").len();
    file.set_len(len.saturating_sub(bytes)).expect("a length");
}
