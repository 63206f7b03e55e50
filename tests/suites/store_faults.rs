//! The whole write path, sorts and combines on storage that fails, is full or is cut off at any of its
//! operations; two attempts at once; sweeps beside live writers; damaged outputs replaced and removed.
//!
//! A CI run tries every operation of the small shuffles, and some of each kind where merges of runs make
//! many alike, and of sorts and combines; `deep store-faults` tries each of them.
#![expect(clippy::print_stdout, reason = "a test suite")]

use std::fmt::Display;
use std::process::Command;

use bywash_tests::child;
use bywash_tests::seed::run_seed;
use bywash_tests::storage::damaged::{Damage, Mode};
use bywash_tests::storage::{
    self, Points, Variant, Workload, beside, damaged, failing, killed, quotas, racing,
};

#[test]
fn every_operation_failing_of_an_attempt() {
    for workload in Workload::all() {
        for variant in variants(&workload) {
            let covered = failing::everywhere(&workload, variant, points(&workload));
            report("failing", &workload, variant, &covered);
        }
    }
}

#[test]
fn one_of_two_directories_full() {
    for workload in Workload::all() {
        for variant in &Variant::ONE_DIR[..3] {
            let covered = failing::one_of_two_full(&workload, *variant, points(&workload));
            report("one of two full", &workload, *variant, &covered);
        }
    }
}

#[test]
fn one_of_two_directories_failing() {
    for workload in Workload::all() {
        for variant in &Variant::ONE_DIR[..3] {
            let covered = failing::one_of_two_failing(&workload, *variant, points(&workload));
            report("one of two failing", &workload, *variant, &covered);
        }
    }
}

#[test]
fn every_step_of_a_quota() {
    for workload in Workload::all() {
        for variant in [Variant::PLAIN, Variant::PLAIN.with_two_dirs()] {
            for limit in quotas::Limit::ALL {
                let tried = quotas::step_by_step(&workload, variant, limit);
                report("quotas", &workload, variant, &format!("{limit:?}, {tried} tried"));
            }
        }
    }
}

#[test]
fn the_output_quota_comes_back() {
    for variant in Variant::ONE_DIR {
        let workload = Workload::tiny();
        let covered = quotas::output_comes_back(&workload, variant);
        report("output quota", &workload, variant, &covered);
    }
}

#[test]
fn killed_at_every_operation() {
    for (workload, variants) in [
        (Workload::tiny(), &Variant::ONE_DIR[..]),
        (Workload::several(), &Variant::ONE_DIR[1..3]),
        (Workload::merging(), &Variant::ONE_DIR[1..2]),
        (Workload::records(), &Variant::ONE_DIR[..2]),
        (Workload::sorted(), &Variant::ONE_DIR[1..2]),
        (Workload::combined_by_key(), &Variant::ONE_DIR[1..2]),
    ] {
        for &variant in variants {
            let points = process_points(&workload);
            let covered = killed::everywhere(&workload, variant, points, &command);
            report("killed", &workload, variant, &covered);
        }
    }
}

#[test]
fn a_sweep_beside_a_live_writer_takes_nothing() {
    for workload in Workload::all() {
        for variant in variants(&workload) {
            let points = process_points(&workload);
            let covered = beside::everywhere(&workload, variant, points, &command);
            report("sweep beside", &workload, variant, &covered);
        }
    }
}

#[test]
fn two_attempts_one_paused_or_failing_at_every_operation() {
    let workload = Workload::tiny();
    for variant in Variant::ONE_DIR {
        let covered = racing::one_paused(&workload, variant, Points::Every);
        report("racing, one paused", &workload, variant, &covered);
        for late in [false, true] {
            let covered = racing::one_failing(&workload, variant, Points::Every, late);
            report("racing, one failing", &workload, variant, &covered);
        }
    }
}

#[test]
fn two_attempts_one_killed_at_every_operation() {
    let workload = Workload::tiny();
    for variant in [Variant::PLAIN, Variant::ONE_DIR[3], Variant::ONE_DIR[4]] {
        for late in [false, true] {
            let covered = racing::one_killed(&workload, variant, Points::Every, late, &command);
            report("racing, one killed", &workload, variant, &covered);
        }
    }
}

#[test]
fn a_damaged_output_is_replaced_whatever_fails() {
    let workload = Workload::tiny();
    for (damage, variant) in damage() {
        let covered = damaged::healing(&workload, variant, damage, Points::Every);
        report(&format!("replacing, {damage:?}"), &workload, variant, &covered);
    }
}

#[test]
fn an_output_is_removed_whatever_fails() {
    let workload = Workload::tiny();
    for (damage, variant) in damage().chain([(Damage::DataBit, Variant::PLAIN)]) {
        let covered = damaged::removing(&workload, variant, damage, Points::Every);
        report(&format!("removing, {damage:?}"), &workload, variant, &covered);
    }
}

#[test]
fn killed_while_a_damaged_output_is_replaced_or_removed() {
    let workload = Workload::tiny();
    for (mode, damage, variant) in [
        (Mode::Heal, Damage::IndexBit, Variant::PLAIN),
        (Mode::Heal, Damage::DataGone, Variant::ONE_DIR[4]),
        (Mode::Heal, Damage::SchemaBit, Variant::ONE_DIR[2]),
        (Mode::Remove, Damage::IndexBit, Variant::PLAIN),
        (Mode::Remove, Damage::IndexHeader, Variant::PLAIN),
    ] {
        let covered = damaged::killed(&workload, variant, damage, Points::Every, mode, &command);
        report(&format!("killed, {mode:?}, {damage:?}"), &workload, variant, &covered);
    }
}

#[test]
fn two_attempts_replace_a_damaged_output_one_paused_at_every_operation() {
    let workload = Workload::tiny();
    for (damage, variant) in damage() {
        let covered = damaged::racing(&workload, variant, damage, Points::Every);
        report(&format!("replacing, racing, {damage:?}"), &workload, variant, &covered);
        if damage == Damage::SchemaBit {
            // Nothing is damaged but the schema: the output that stands may be removed meanwhile.
            continue;
        }
        let covered = damaged::racing_removal(&workload, variant, damage, Points::Every);
        report(&format!("removing, racing, {damage:?}"), &workload, variant, &covered);
    }
}

#[test]
fn an_attempt_written_again_in_one_directory() {
    for (damage, variant) in damage() {
        damaged::same_attempt_again(&Workload::tiny(), variant, damage);
    }
}

#[test]
fn the_quota_of_a_removed_output_comes_back() {
    for variant in Variant::ONE_DIR {
        damaged::quota_comes_back(&Workload::tiny(), variant);
    }
}

/// Each kind of damage, in the ways of storing by turns.
fn damage() -> impl Iterator<Item = (Damage, Variant)> {
    Damage::FOUND.into_iter().zip(Variant::ONE_DIR.into_iter().cycle())
}

/// Not a test of its own: what the others run in a second process.
#[test]
fn child() {
    if let Some(argument) = child::argument() {
        storage::child(&argument);
    }
}

fn command(argument: &str) -> Command {
    child::command("child", argument)
}

/// As [`points`], fewer where each takes a process.
fn process_points(workload: &Workload) -> Points {
    match points(workload) {
        Points::OfEachKind { seed, .. } => Points::OfEachKind { most: 2, seed },
        every @ Points::Every => every,
    }
}

/// All of what is little, some of each kind of what is much.
fn points(workload: &Workload) -> Points {
    if workload.small { Points::Every } else { Points::OfEachKind { most: 4, seed: run_seed() } }
}

/// Each way of storing for the smallest workload, the most different ones for the others.
fn variants(workload: &Workload) -> Vec<Variant> {
    let all = Variant::ONE_DIR;
    match workload.name() {
        "tiny" => all.to_vec(),
        _ if workload.commits() => vec![all[0], all[1], all[4]],
        // They only spill.
        _ => vec![all[0], all[1]],
    }
}

fn report(what: &str, workload: &Workload, variant: Variant, covered: &dyn Display) {
    println!("{what}: {}, {variant:?}: {covered}", workload.name());
}
