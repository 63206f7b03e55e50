//! One operation of an attempt fails, or it and all after it: an error that says so or the right rows,
//! nothing left, the ledger at zero, and the next attempt succeeds.

use bywash::{ErrorKind, Result};
use bywash_spill::StoreOp;

use super::ground::{Ground, Opened, Variant};
use super::points::{Covered, Points};
use super::workload::{Output, Workload};
use crate::faults::{Fault, FaultStore, Repeat, Scope};

/// Every way of failing.
pub const FAULTS: [(Fault, Repeat); 8] = [
    (Fault::IO, Repeat::Once),
    (Fault::IO, Repeat::Forever),
    (Fault::NO_SPACE, Repeat::Once),
    (Fault::NO_SPACE, Repeat::Forever),
    (Fault::SHORT, Repeat::Once),
    (Fault::SHORT, Repeat::Forever),
    (Fault::IO_AFTER, Repeat::Once),
    (Fault::IO_AFTER, Repeat::Forever),
];

/// The operations of an attempt that nothing happens to: those that may fail.
pub fn record(
    workload: &Workload,
    variant: Variant,
    scope: &dyn Fn(&Ground) -> Scope,
) -> Vec<StoreOp> {
    let ground = Ground::new(variant);
    let store = ground.scoped_store(scope(&ground));
    let dirs = ground.open(&store).expect("directories");
    store.disarm();
    let attempt = workload.attempt();
    let output = workload.write(&attempt, &dirs, 1).expect("an attempt");
    let record = store.record();
    workload.check(&output).expect("the right rows");
    drop(output);
    attempt.end().expect("the ledger");
    assert_eq!(ground.left(workload), NOTHING);
    drop(dirs);
    assert_eq!(ground.left_when_closed(workload), NOTHING);
    record
}

/// All storage failing at the chosen operations, in each of [`FAULTS`].
pub fn everywhere(workload: &Workload, variant: Variant, points: Points) -> Covered {
    let mut covered = Covered::default();
    let record = record(workload, variant, &|_| Scope::default());
    for (fault, repeat) in FAULTS {
        let chosen = points.choose(&record);
        covered.add(&chosen, &record);
        for at in chosen {
            let trial = Trial { workload, variant, at, fault, repeat };
            trial.run(Scope::default(), Expect::ErrorOrSuccess);
        }
    }
    covered
}

/// Of two spill directories the first one's disk is full from the chosen operations on, and files in
/// it can still be read: every attempt succeeds.
pub fn one_of_two_full(workload: &Workload, variant: Variant, points: Points) -> Covered {
    let scope = |ground: &Ground| Scope {
        under: Some(ground.spill_path(0)),
        only: Some(vec![StoreOp::CreateUnnamed, StoreOp::CreateNew, StoreOp::WriteAt]),
    };
    one_of_two(workload, variant, points, &scope, |_| Expect::Success)
}

/// Of two spill directories the first one fails, once or for good: an attempt succeeds unless it
/// was a run that could not be read back.
pub fn one_of_two_failing(workload: &Workload, variant: Variant, points: Points) -> Covered {
    let scope = |ground: &Ground| Scope { under: Some(ground.spill_path(0)), only: None };
    one_of_two(workload, variant, points, &scope, |failed| {
        if failed.contains(&StoreOp::ReadAt) { Expect::ErrorOrSuccess } else { Expect::Success }
    })
}

fn one_of_two(
    workload: &Workload,
    variant: Variant,
    points: Points,
    scope: &dyn Fn(&Ground) -> Scope,
    expect: fn(&[StoreOp]) -> Expect,
) -> Covered {
    let variant = variant.with_two_dirs();
    let mut covered = Covered::default();
    let record = record(workload, variant, scope);
    assert!(!record.is_empty(), "the first directory is used");
    for (fault, repeat) in FAULTS {
        let chosen = points.choose(&record);
        covered.add(&chosen, &record);
        for at in chosen {
            let trial = Trial { workload, variant, at, fault, repeat };
            trial.run_in(scope, expect);
        }
    }
    covered
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Success,
    ErrorOrSuccess,
}

/// One operation of one attempt.
struct Trial<'a> {
    workload: &'a Workload,
    variant: Variant,
    at: u64,
    fault: Fault,
    repeat: Repeat,
}

impl Trial<'_> {
    fn run(&self, scope: Scope, expect: Expect) {
        let ground = Ground::new(self.variant);
        self.run_on(&ground, scope, &|_| expect);
    }

    fn run_in(&self, scope: &dyn Fn(&Ground) -> Scope, expect: fn(&[StoreOp]) -> Expect) {
        let ground = Ground::new(self.variant);
        let scope = scope(&ground);
        self.run_on(&ground, scope, &expect);
    }

    fn run_on(&self, ground: &Ground, scope: Scope, expect: &dyn Fn(&[StoreOp]) -> Expect) {
        let workload = self.workload;
        let store = ground.scoped_store(scope);
        let dirs = ground.open(&store).expect("directories");
        let attempt = workload.attempt();
        store.arm(self.at, self.fault, self.repeat);
        let result = workload.write(&attempt, &dirs, 1);
        let failed = self.failed(&store);
        store.disarm();
        let Some(&first) = failed.first() else {
            panic!("{self}: an attempt has more operations the first time");
        };
        let succeeded = result.is_ok();
        self.check_result(result, expect(&failed), first);
        attempt.end().unwrap_or_else(|wrong| panic!("{self}, {first:?}: {wrong}"));
        assert_eq!(dirs.spill.used_bytes(), 0, "{self}, {first:?}: quota is given back");

        // Panics for a half output. After an error there may be a whole one only where what failed
        // came after the commit, or hid whether it happened.
        let committed = ground.committed(workload);
        assert!(committed || !succeeded || !workload.commits(), "{self}, {first:?}: no output");
        if committed && !succeeded {
            let after = [StoreOp::SyncDir, StoreOp::IsLinked];
            let why = after.iter().any(|op| failed.contains(op));
            assert!(why, "{self}, {first:?}: an error, but an output");
        }
        // A failed removal, or not knowing whether a name was given, leaves things to the sweep.
        let removed = !failed.iter().any(|op| op.is_removal() || *op == StoreOp::IsLinked);
        if removed {
            assert_eq!(ground.left(workload), NOTHING, "{self}, {first:?}");
        }
        self.check_next(ground, dirs, removed, first);
    }

    /// The next attempt in this process, with the same directories; then nothing is left.
    fn check_next(&self, ground: &Ground, dirs: Opened, removed: bool, first: StoreOp) {
        let workload = self.workload;
        let attempt = workload.attempt();
        let output = workload.write(&attempt, &dirs, 2);
        let output = output.unwrap_or_else(|error| panic!("{self}, {first:?}: again: {error}"));
        workload.check(&output).unwrap_or_else(|wrong| panic!("{self}, {first:?}: {wrong}"));
        drop(output);
        attempt.end().unwrap_or_else(|wrong| panic!("{self}, {first:?}: {wrong}"));
        if removed {
            assert_eq!(ground.left(workload), NOTHING, "{self}, {first:?}: again");
        }
        drop(dirs);
        if !removed {
            ground.sweep();
        }
        assert_eq!(ground.left_when_closed(workload), NOTHING, "{self}, {first:?}: closed");
    }

    fn check_result(&self, result: Result<Output>, expect: Expect, first: StoreOp) {
        match result {
            Ok(output) => {
                let checked = self.workload.check(&output);
                checked.unwrap_or_else(|wrong| panic!("{self}, {first:?}: {wrong}"));
            }
            Err(error) => {
                assert_eq!(expect, Expect::ErrorOrSuccess, "{self}, {first:?}: {error}");
                let kind =
                    if self.fault == Fault::NO_SPACE { ErrorKind::NoSpace } else { ErrorKind::Io };
                assert_eq!(error.kind(), kind, "{self}, {first:?}: {error}");
                assert!(error.os_error().is_some(), "{self}, {first:?}: {error}");
                assert!(error.place().is_some(), "{self}, {first:?}: {error}");
            }
        }
    }

    /// The operations that failed.
    fn failed(&self, store: &FaultStore) -> Vec<StoreOp> {
        let mut record = store.record();
        let at = usize::try_from(self.at).expect("a place");
        let mut failed = record.split_off(at.min(record.len()));
        if self.repeat == Repeat::Once {
            failed.truncate(1);
        }
        failed
    }
}

impl std::fmt::Display for Trial<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { workload, variant, at, fault, repeat } = self;
        let name = workload.name();
        write!(f, "{name}, {variant:?}: {fault:?} {repeat:?} at operation {at}")
    }
}

/// What is left where nothing may be.
pub(super) const NOTHING: [std::path::PathBuf; 0] = [];
