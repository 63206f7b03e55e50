//! The kit of the cross-crate suites: generators, a naive oracle, a counting and refusing
//! allocator, kernel memory limits, child processes and the one seed.
//!
//! Only [`block_stream`], [`blocks`], [`case`], [`combine`], [`dirs`], [`faults`], [`hoard`], [`lender`],
//! [`map_files`], [`mounts`], [`reclaiming`], [`records`], [`sort`], [`storage`], [`stress`] and [`writers`] use the code under test: they drive it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "a test kit reports by printing and fails by panicking"
)]

pub mod alloc;
pub mod block_stream;
pub mod blocks;
pub mod case;
pub mod cgroup;
pub mod child;
pub mod combine;
pub mod dirs;
pub mod faults;
pub mod generate;
pub mod hoard;
pub mod keys;
pub mod ledger;
pub mod lender;
pub mod map_files;
pub mod mounts;
pub mod oracle;
pub mod program;
pub mod reclaiming;
pub mod records;
pub mod resident;
pub mod search;
pub mod seed;
pub mod sort;
pub mod spark_hash;
pub mod storage;
pub mod stress;
pub mod vm;
pub mod watchdog;
pub mod writers;

/// Prints why a test did not run, so that it cannot be taken for one that passed.
pub fn skipped(test: &str, why: &str) {
    use std::io::Write;
    // Not println: the test harness swallows what a passing test prints with it.
    let line = format!("SKIPPED: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("standard error takes a line");
}
