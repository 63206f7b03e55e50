//! 64 tasks of four consumers under a quarter of what they want, and 20 writers where about half fit:
//! everything ends, nobody starves, nothing is ever above the capacity, and all comes back.
//!
//! `deep ledger-stress` does the same for ten minutes.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test suite")]

use std::time::Duration;

use bywash_tests::seed::run_seed;
use bywash_tests::stress;

#[test]
fn tasks_under_a_quarter_of_what_they_want() {
    let reached = stress::ledger(run_seed(), seconds(12), &|line| println!("{line}")).unwrap();
    println!("{reached}");
    assert!(reached.ledger.waits > 0, "nobody waited");
    assert!(reached.refusals > 0, "nobody was refused");
    assert!(reached.over > 0, "the capacity never fell below what was granted");
    assert!(reached.ledger.reclaimed > 0, "nothing was reclaimed");
    assert!(reached.cancelled > 0, "nothing was cancelled");
}

#[test]
fn more_writers_than_fit() {
    let shuffles = stress::writers(run_seed(), seconds(6), &|line| println!("{line}")).unwrap();
    println!("shuffles of {} tasks: {shuffles:?}", shuffles.len());
}

/// `BYWASH_STRESS_SECONDS` makes it longer.
fn seconds(default: u64) -> Duration {
    let seconds = std::env::var("BYWASH_STRESS_SECONDS").ok().map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(default))
}
