//! Real quotas, so that an attempt is refused at every byte that it reserves in turn.

use std::sync::Arc;

use bywash::{ErrorKind, Figure, SpillOptions};

use super::failing::NOTHING;
use super::ground::{Ground, Opened, Variant};
use super::points::Covered;
use super::workload::Workload;
use crate::faults::{Fault, FaultStore, Repeat, Scope};

/// Which quota is raised from nothing to enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Of each spill directory.
    SpillDir,
    /// Of all spill directories.
    SpillTotal,
    /// Of the output directory.
    Output,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::SpillDir, Self::SpillTotal, Self::Output];
}

/// Raises the quota step by step: one byte below what the next write needs, then exactly that.
/// Returns the number of quotas tried.
pub fn step_by_step(workload: &Workload, variant: Variant, limit: Limit) -> usize {
    let mut quota = 0;
    for tried in 1.. {
        let Some((used, requested)) = attempt(workload, variant, limit, quota) else {
            return tried;
        };
        let enough = used + requested;
        if enough - 1 > quota {
            let below = attempt(workload, variant, limit, enough - 1);
            // Of two directories, the other one may have had room for it.
            let alone = limit != Limit::SpillDir || variant.spill_dirs == 1;
            assert!(below.is_some() || !alone, "{limit:?}: a byte less is not enough");
        }
        // With two directories the next write may go to the other one: always move on.
        quota = enough.max(quota + 1);
    }
    unreachable!("quotas end before numbers do");
}

/// Under a quota of exactly one output: an attempt that fails at any operation, and one that loses,
/// give back what they reserved, so that the next one has it.
pub fn output_comes_back(workload: &Workload, variant: Variant) -> Covered {
    let open = |ground: &Ground, store: &Arc<FaultStore>, quota| {
        let dirs = ground.open_with(store, SpillOptions::default(), quota);
        dirs.expect("directories")
    };
    let write = |dirs: &Opened, number: u64| {
        let memory = workload.attempt();
        let written = workload.write(&memory, dirs, number).map(drop);
        memory.end().expect("the ledger");
        written
    };
    let ground = Ground::new(variant);
    let winner = open(&ground, &ground.store(), None);
    write(&winner, 1).expect("an attempt");
    let quota = Some(ground.output_bytes());
    let loser = open(&ground, &ground.store(), quota);
    for number in 2..5 {
        write(&loser, number).expect("the winner's output");
    }

    let record = super::failing::record(workload, variant, &|_| Scope::default());
    let mut covered = Covered::default();
    for (at, op) in (0..).zip(&record) {
        let ground = Ground::new(variant);
        let store = ground.store();
        let dirs = open(&ground, &store, quota);
        store.arm(at, Fault::IO, Repeat::Once);
        let failed = write(&dirs, 1).is_err();
        store.disarm();
        // An output that is there leaves no quota for a second attempt to lose with.
        if failed && !ground.committed(workload) {
            covered.add(&[at], &[*op]);
            let again = write(&dirs, 2);
            again.unwrap_or_else(|error| panic!("{variant:?}, {op:?} at {at}: {error}"));
        }
    }
    covered
}

/// One attempt under a quota: `None` when it succeeds, else what was used and asked for when it was
/// refused. Then nothing is left and an attempt with no quota succeeds.
fn attempt(workload: &Workload, variant: Variant, limit: Limit, quota: u64) -> Option<(u64, u64)> {
    let ground = Ground::new(variant);
    let only = |chosen: Limit| (chosen == limit).then_some(quota);
    let spill = SpillOptions {
        quota_per_dir: only(Limit::SpillDir),
        quota_total: only(Limit::SpillTotal),
        ..SpillOptions::default()
    };
    let store = ground.store();
    let dirs = ground.open_with(&store, spill, only(Limit::Output));
    let dirs = dirs.expect("directories");
    let memory = workload.attempt();
    let result = workload.write(&memory, &dirs, 1);
    let refused = match result {
        Ok(output) => {
            let checked = workload.check(&output);
            checked.unwrap_or_else(|wrong| panic!("{limit:?} of {quota}: {wrong}"));
            None
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Quota, "{limit:?} of {quota}: {error}");
            let figure = |figure| error.figure(figure).expect("a figure of the error");
            assert_eq!(figure(Figure::Quota), quota, "{error}");
            assert!(!ground.committed(workload), "{limit:?} of {quota}");
            Some((quota - figure(Figure::Available), figure(Figure::Requested)))
        }
    };
    memory.end().unwrap_or_else(|wrong| panic!("{limit:?} of {quota}: {wrong}"));
    assert_eq!(dirs.spill.used_bytes(), 0, "{limit:?} of {quota}");
    assert_eq!(ground.left(workload), NOTHING, "{limit:?} of {quota}");
    drop(dirs);
    assert_eq!(ground.left_when_closed(workload), NOTHING, "{limit:?} of {quota}");
    if refused.is_some() {
        let dirs = ground.open(&store).expect("directories");
        let memory = workload.attempt();
        let output = workload.write(&memory, &dirs, 2).expect("no quota");
        workload.check(&output).expect("the right rows");
    }
    refused
}
