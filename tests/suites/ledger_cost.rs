//! What a grant and its release cost in instructions, counted by callgrind: the same on a busy
//! machine as on a quiet one. The times are in docs/BENCHMARKS.md.
//!
//! A change that raises a count says why in the commit that raises the limit.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test prints its figures")]

use std::process::Command;

use bywash::MemoryLedger;
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
    let counted = counted(few).and_then(|base| Ok((base, counted(many)?)));
    let (base, all) = match counted {
        Ok(counts) => counts,
        Err(why) => return skipped(NAME, &why),
    };
    let each = (all - base) / (many - few);
    println!("a grant and its release: {each} instructions, at most {INSTRUCTIONS_MAX}");
    assert!(each <= INSTRUCTIONS_MAX, "{each} instructions, at most {INSTRUCTIONS_MAX}");
    assert!(each > INSTRUCTIONS_MAX / 4, "{each} instructions: are they counted?");
}

/// Instructions of a process that grants and releases so many times.
fn counted(rounds: u64) -> Result<u64, String> {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", dir.path().join("out").display()))
        .arg(child::executable())
        .args(["--exact", "grants", "--test-threads", "1"])
        .env(child::VARIABLE, rounds.to_string())
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    // A valgrind that does not know this machine's instructions is no fault of the ledger's.
    let line = told.lines().find_map(|line| line.split_once("Collected :"));
    match line {
        Some((_, count)) if output.status.success() => Ok(count.trim().parse().unwrap()),
        _ => Err(format!("callgrind: {}: {}", output.status, told.lines().last().unwrap_or(""))),
    }
}

/// The process whose instructions are counted.
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
}
