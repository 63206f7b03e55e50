//! State machine tests of the memory ledger: random steps, each answer foretold by a short
//! reference model, shrunk to the fewest steps when one is wrong.

mod account;
mod fakes;
mod reference;
mod rules;

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use crate::seed::Rng;

/// The rules alone: [`bywash_core::memory::LedgerState`] against a reference.
pub fn check_rules(cases: u32, seed: u64) {
    check::<rules::Rules>("ledger rules", cases, seed);
}

/// The whole account: [`bywash_core::memory::MemoryLedger`] and all that hangs on it.
pub fn check_account(cases: u32, seed: u64) {
    check::<account::Account>("ledger account", cases, seed);
}

fn check<T: StateMachineTest>(name: &str, cases: u32, seed: u64) {
    println!("{name}: {cases} cases of up to {STEPS_MAX} steps, BYWASH_SEED={seed:#x}");
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let bytes = Rng::labelled(seed, &[u64::from(cases)]).bytes(32);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config.clone(), rng);
    let steps = T::Reference::sequential_strategy(1..STEPS_MAX);
    let outcome = runner.run(&steps, |(reference, steps, seen)| {
        T::test_sequential(config.clone(), reference, steps, seen);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{name}: {error}");
    }
}

/// Cases of a suite in `cargo test`, and how many when `PROPTEST_CASES` says otherwise.
pub fn cases(default: u32) -> u32 {
    let chosen = std::env::var("PROPTEST_CASES").ok();
    chosen.map_or(default, |cases| cases.parse().expect("PROPTEST_CASES is a number"))
}

const STEPS_MAX: usize = 60;
