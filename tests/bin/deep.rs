//! The long runs of the property suites: `deep SUITE [--seed N] [--cases N] [--from N] [--seconds N]`.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a program")]

mod cgroup_v2;
mod combine;
mod python;
mod scale;
mod sort;

use std::fmt::Debug;
use std::ops::Range;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use bywash_tests::case::{REACHED, ShuffleCase};
use bywash_tests::combine::CombineCase;
use bywash_tests::records::RecordCase;
use bywash_tests::search::Case;
use bywash_tests::sort::{self as sort_kit, SortCase};
use bywash_tests::{child, ledger, search, seed, storage, stress};

fn main() -> ExitCode {
    if let Some(argument) = child::argument() {
        if let Some(combined) = combine::child(&argument) {
            return combined.map_or_else(
                |why| {
                    eprintln!("{why}");
                    ExitCode::FAILURE
                },
                |()| ExitCode::SUCCESS,
            );
        }
        storage::child(&argument);
        return ExitCode::SUCCESS;
    }
    match run(std::env::args().skip(1)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}\nusage: deep SUITE [--seed N] [--cases N] [--from N] [--seconds N]");
            eprintln!(
                "suites: shuffle-oracle, records-oracle, sort-oracle, combine-oracle (20000 cases),"
            );
            eprintln!("        store-faults (all of them), combine (rows: 100000000),");
            eprintln!("        sort (rows: 20000000),");
            eprintln!("        ledger-stress (600 seconds), ledger-model (200000 cases of each),");
            eprintln!(
                "        interleavings (100 times the schedules of ci/interleavings), cgroup-v2,"
            );
            eprintln!("        c-lender (600 seconds), scale (rows: 300000000, 30 GB)");
            ExitCode::FAILURE
        }
    }
}

/// Whether the suite passed; those that panic when they fail only say so.
fn run(mut arguments: impl Iterator<Item = String>) -> Result<bool, String> {
    let (mut suite, mut chosen, mut cases, mut from) = (None, None, None, 0);
    let mut seconds = SECONDS;
    while let Some(argument) = arguments.next() {
        let mut number = || {
            let value = arguments.next().ok_or_else(|| format!("{argument} needs a number"))?;
            seed::parse(&value).ok_or_else(|| format!("{argument} needs a number, not {value}"))
        };
        match argument.as_str() {
            "--" => {}
            "--seed" => chosen = Some(number()?),
            "--cases" => cases = Some(number()?),
            "--from" => from = number()?,
            "--seconds" => seconds = number()?,
            _ if suite.is_none() && !argument.starts_with('-') => suite = Some(argument),
            _ => return Err(format!("what is {argument}?")),
        }
    }
    let chosen = chosen.unwrap_or_else(seed::run_seed);
    let of = Cases { seed: chosen, indexes: from..from + cases.unwrap_or(CASES) };
    match suite.as_deref() {
        Some(suite @ "shuffle-oracle") => Ok(oracle::<ShuffleCase>(suite, of, &REACHED)),
        Some(suite @ "records-oracle") => Ok(oracle::<RecordCase>(suite, of, &REACHED)),
        Some(suite @ "sort-oracle") => Ok(oracle::<SortCase>(suite, of, &sort_kit::REACHED)),
        Some(suite @ "combine-oracle") => {
            Ok(oracle::<CombineCase>(suite, of, &bywash_tests::combine::REACHED))
        }
        Some("combine") => {
            let rows =
                i64::try_from(cases.unwrap_or(COMBINE_ROWS)).map_err(|why| why.to_string())?;
            let right = combine::run(rows)?;
            println!("combine: {}", if right { "passed" } else { "FAILED" });
            Ok(right)
        }
        Some("scale") => {
            scale::run(cases.unwrap_or(SCALE_ROWS), chosen)?;
            println!("scale: passed");
            Ok(true)
        }
        Some("sort") => {
            let right = sort::run(cases.unwrap_or(SORT_ROWS))?;
            println!("sort: {}", if right { "passed" } else { "FAILED" });
            Ok(right)
        }
        Some("store-faults") => {
            let again = |argument: &str| {
                let mut command = Command::new(child::executable());
                command.env(child::VARIABLE, argument);
                command
            };
            storage::everything(&again, &|line| println!("{line}"));
            println!("store-faults: passed");
            Ok(true)
        }
        Some("ledger-model") => {
            let cases =
                u32::try_from(cases.unwrap_or(MODEL_CASES)).map_err(|why| why.to_string())?;
            ledger::check_rules(cases, chosen);
            ledger::check_account(cases, chosen);
            println!("ledger-model: {cases} cases of each passed");
            Ok(true)
        }
        Some("interleavings") => {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/interleavings");
            let mut command = Command::new(script);
            command.env("BYWASH_INTERLEAVINGS", cases.unwrap_or(INTERLEAVINGS).to_string());
            command.env("BYWASH_SEED", format!("{chosen:#x}"));
            command.status().map(|status| status.success()).map_err(|why| why.to_string())
        }
        Some("cgroup-v2") => cgroup_v2::run(),
        // Built and run by the tests of the C interface, in this program's profile.
        Some("c-lender") => {
            let mut command = Command::new(env!("CARGO"));
            command.args(["test", "--locked", "-p", "bywash-ffi", "--test", "c_programs"]);
            if !cfg!(debug_assertions) {
                command.arg("--release");
            }
            command.args(["--", "--exact", "--nocapture", C_LENDER]);
            command.current_dir(env!("CARGO_MANIFEST_DIR"));
            command.env("BYWASH_SEED", chosen.to_string());
            command.env("BYWASH_LENDER_SECONDS", seconds.to_string()).stderr(Stdio::inherit());
            let output = command.output().map_err(|why| why.to_string())?;
            let told = String::from_utf8_lossy(&output.stdout);
            println!("{told}");
            // A filter that names no test passes too.
            Ok(output.status.success() && told.contains("1 passed"))
        }
        Some("ledger-stress") => {
            let say = |line: String| println!("{line}");
            // Two parts in three for the bare ledger, one for real writers.
            let reached = stress::ledger(chosen, Duration::from_secs(seconds * 2 / 3), &say)?;
            println!("{reached}");
            let shuffles = stress::writers(chosen, Duration::from_secs(seconds / 3), &say)?;
            println!("shuffles of {} tasks: {shuffles:?}", shuffles.len());
            println!("ledger-stress: passed");
            Ok(true)
        }
        Some(other) => Err(format!("no suite {other}")),
        None => Err("which suite?".to_owned()),
    }
}

/// Which cases of a property suite.
struct Cases {
    seed: u64,
    indexes: Range<u64>,
}

/// Runs them on all processors; panics at one that fails. `reached` counts what they came to.
fn oracle<C: Case>(suite: &str, of: Cases, reached: &dyn Debug) -> bool {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cases = of.indexes.end - of.indexes.start;
    search::run_cases::<C>(suite, of.seed, of.indexes, threads);
    println!("{suite}: {cases} cases passed\n{reached:?}");
    true
}

const CASES: u64 = 20_000;
const COMBINE_ROWS: u64 = 100_000_000;
const SCALE_ROWS: u64 = 300_000_000;
const SORT_ROWS: u64 = 20_000_000;
const MODEL_CASES: u64 = 200_000;
const INTERLEAVINGS: u64 = 100;
const SECONDS: u64 = 600;
const C_LENDER: &str = "the_shared_library_allocates_within_what_a_c_host_lent";
