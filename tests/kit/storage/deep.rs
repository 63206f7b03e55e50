//! Every operation of every workload in every variant, in each kind of trouble.

use std::process::Command;

use super::damaged::{self, Damage, Mode};
use super::{Points, Variant, Workload, beside, failing, killed, quotas, racing};

/// Runs it all, telling `report` what was covered. `command` makes a command that hands its argument
/// to [`super::child`].
pub fn everything(command: &dyn Fn(&str) -> Command, report: &dyn Fn(String)) {
    let every = Points::Every;
    for workload in Workload::all() {
        let say = |what: &str, variant: Variant, covered: &dyn std::fmt::Display| {
            report(format!("{what}: {}, {variant:?}: {covered}", workload.name()));
        };
        for one in Variant::ONE_DIR {
            let two = one.with_two_dirs();
            let covered = failing::everywhere(&workload, one, every);
            say("failing", one, &covered);
            let covered = failing::everywhere(&workload, two, every);
            say("failing", two, &covered);
            let covered = failing::one_of_two_full(&workload, one, every);
            say("one of two full", two, &covered);
            let covered = failing::one_of_two_failing(&workload, one, every);
            say("one of two failing", two, &covered);
            for variant in [one, two] {
                for limit in quotas::Limit::ALL {
                    let tried = quotas::step_by_step(&workload, variant, limit);
                    say("quotas", variant, &format!("{limit:?}, {tried} tried"));
                }
            }
            let covered = killed::everywhere(&workload, one, every, command);
            say("killed", one, &covered);
            let covered = beside::everywhere(&workload, one, every, command);
            say("sweep beside", one, &covered);
            if !workload.commits() {
                continue;
            }
            let covered = racing::one_paused(&workload, one, every);
            say("racing, one paused", one, &covered);
            for damage in Damage::FOUND {
                let covered = damaged::healing(&workload, one, damage, every);
                say(&format!("replacing, {damage:?}"), one, &covered);
                let covered = damaged::removing(&workload, one, damage, every);
                say(&format!("removing, {damage:?}"), one, &covered);
                let covered = damaged::racing(&workload, one, damage, every);
                say(&format!("replacing, racing, {damage:?}"), one, &covered);
                for mode in [Mode::Heal, Mode::Remove] {
                    let covered = damaged::killed(&workload, one, damage, every, mode, command);
                    say(&format!("killed, {mode:?}, {damage:?}"), one, &covered);
                }
            }
            for late in [false, true] {
                let covered = racing::one_failing(&workload, one, every, late);
                say("racing, one failing", one, &covered);
                let covered = racing::one_killed(&workload, one, every, late, command);
                say("racing, one killed", one, &covered);
            }
        }
    }
}
