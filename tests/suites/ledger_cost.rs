//! What a grant and its release cost in instructions, counted by callgrind: the same on a busy
//! machine as on a quiet one. The times are in docs/BENCHMARKS.md.
//!
//! A change that raises a count says why in the commit that raises the limit.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test prints its figures")]

use std::process::Command;

use bywash::{MemoryLedger, minimum_budget};
use bywash_tests::writers::Writers;
use bywash_tests::{child, skipped};

/// Measured 437 optimised and 601 in a development build, with Rust 1.95; a quarter more fails.
const INSTRUCTIONS_MAX: u64 = if cfg!(debug_assertions) { 751 } else { 546 };

#[test]
fn a_grant_and_its_release_take_few_instructions() {
    const NAME: &str = "a_grant_and_its_release_take_few_instructions";
    if !cfg!(target_arch = "x86_64") {
        return skipped(NAME, "the limits are for x86_64");
    }
    // What starting and ending takes is in both counts.
    let (few, many) = (1_000, 21_000);
    let counted = counted("grants", few).and_then(|base| Ok((base, counted("grants", many)?)));
    let (base, all) = match counted {
        Ok(counts) => counts,
        Err(why) => return skipped(NAME, &why),
    };
    let each = (all.instructions - base.instructions) / (many - few);
    println!("a grant and its release: {each} instructions, at most {INSTRUCTIONS_MAX}");
    assert!(each <= INSTRUCTIONS_MAX, "{each} instructions, at most {INSTRUCTIONS_MAX}");
    assert!(each > INSTRUCTIONS_MAX / 4, "{each} instructions: are they counted?");
}

/// Of the CPU of a shuffle with two tasks. The budget is little above the least there is, so that chunks are
/// small and each is asked for, spilled and asked for again: about the most that a row can cost.
const SHARE_MAX_PERCENT: u64 = 2;

#[test]
fn two_tasks_spend_under_two_percent_of_a_shuffle_on_the_ledger() {
    const NAME: &str = "two_tasks_spend_under_two_percent_of_a_shuffle_on_the_ledger";
    if !cfg!(target_arch = "x86_64") {
        return skipped(NAME, "the limits are for x86_64");
    }
    let counted = counted("shuffles", 0).and_then(|base| Ok((base, counted("shuffles", 400_000)?)));
    let (base, all) = match counted {
        Ok(counts) => counts,
        Err(why) => return skipped(NAME, &why),
    };
    let (grants, work) = (all.grants - base.grants, all.instructions - base.instructions);
    // Each at the most it may take (the test above), those of the working sets left out.
    let ledger = grants * INSTRUCTIONS_MAX;
    println!("{grants} grants in {work} instructions: {} millionths", ledger * 1_000_000 / work);
    assert!(ledger < work * SHARE_MAX_PERCENT / 100, "{grants} grants in {work} instructions");
    assert!(grants > 20, "{grants} grants: are they counted?");
}

/// What a process did.
struct Counted {
    instructions: u64,
    grants: u64,
}

/// Counts a process that runs `test`, one of those below.
fn counted(test: &str, argument: u64) -> Result<Counted, String> {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", dir.path().join("out").display()))
        .arg(child::executable())
        .args(["--exact", test, "--test-threads", "1", "--nocapture"])
        .env(child::VARIABLE, argument.to_string())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    // A valgrind that does not know this machine's instructions is no fault of the ledger's.
    let line = told.lines().find_map(|line| line.split_once("Collected :"));
    match line {
        Some((_, count)) if output.status.success() => {
            let said = String::from_utf8_lossy(&output.stdout);
            let grants = said.lines().find_map(|line| line.strip_prefix(GRANTS)).unwrap();
            Ok(Counted {
                instructions: count.trim().parse().unwrap(),
                grants: grants.parse().unwrap(),
            })
        }
        _ => Err(format!("callgrind: {}: {}", output.status, told.lines().last().unwrap_or(""))),
    }
}

/// Before the number of grants, on a line of its own.
const GRANTS: &str = "grants: ";

/// A process whose instructions are counted: grants and releases, so many times.
#[test]
fn grants() {
    let Some(rounds) = child::argument() else {
        return;
    };
    let ledger = MemoryLedger::new(1 << 40);
    let task = ledger.admit(1, 1 << 30).unwrap().remove(0);
    let consumer = task.consumer("counted");
    for _ in 0..rounds.parse().unwrap() {
        drop(consumer.try_reserve(std::hint::black_box(4096)).unwrap());
    }
    println!("\n{GRANTS}{}", ledger.snapshot().grants);
}

/// Another: so many rows in two shuffles, whose tasks take turns.
#[test]
fn shuffles() {
    let Some(rows) = child::argument() else {
        return;
    };
    let rows: i64 = rows.parse().unwrap();
    let writers = Writers::new();
    let minimum = minimum_budget(&writers.spec, 2).unwrap();
    let ledger = MemoryLedger::new(minimum + minimum / 2);
    let tasks = ledger.admit(2, minimum / 2).unwrap();
    let mut open = [writers.writer(&tasks[0], 0), writers.writer(&tasks[1], 1)];
    let batch = writers.rows(rows.clamp(1, 10_000));
    for _ in 0..rows / 10_000 {
        for writer in &mut open {
            writer.write(&batch).unwrap();
        }
    }
    for writer in open {
        assert_eq!(writer.finish().unwrap().total_rows(), rows.cast_unsigned());
    }
    println!("\n{GRANTS}{}", ledger.snapshot().grants);
}
