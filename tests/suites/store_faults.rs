//! The whole write path on storage that fails, is full or is cut off at any of its operations; two
//! attempts at once; sweeps beside live writers.
//!
//! A CI run tries every operation of the small workloads, and some of each kind where merges of
//! runs make many alike; `deep store-faults` tries each of them.
#![expect(clippy::print_stdout, reason = "a test suite")]

use std::fmt::Display;

use bywash_tests::seed::run_seed;
use bywash_tests::storage::{Points, Variant, Workload, failing, quotas};

#[test]
fn every_operation_failing_of_an_attempt() {
    for workload in Workload::all() {
        for variant in Variant::ONE_DIR {
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
                report(
                    "quotas",
                    &workload,
                    variant,
                    &format!("{limit:?}, {tried} tried"),
                );
            }
        }
    }
}

/// All of what is little, some of each kind of what is much.
fn points(workload: &Workload) -> Points {
    if workload.small {
        Points::Every
    } else {
        Points::OfEachKind {
            most: 4,
            seed: run_seed(),
        }
    }
}

fn report(what: &str, workload: &Workload, variant: Variant, covered: &dyn Display) {
    println!("{what}: {}, {variant:?}: {covered}", workload.name());
}
