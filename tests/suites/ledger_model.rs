//! The memory ledger against reference models, in random steps.

use bywash_tests::{ledger, seed};

#[test]
fn the_rules_answer_as_foretold() {
    ledger::check_rules(ledger::cases(4_000), seed::run_seed());
}

#[test]
fn the_account_adds_up() {
    ledger::check_account(ledger::cases(2_000), seed::run_seed());
}
