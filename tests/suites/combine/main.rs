//! The combiner: groups are those of a map at every budget from the minimum, whatever happens
//! meanwhile.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test suite")]

use bywash_tests::combine::{CombineCase, REACHED};
use bywash_tests::search::run_cases;
use bywash_tests::seed::run_seed;

#[test]
fn groups_are_those_of_a_map() {
    run_cases::<CombineCase>("combine", run_seed(), 0..300, 2);
    println!("{REACHED:?}");
}
