//! Tests that need a process of their own: the test binary runs itself for one test.
//!
//! A child test is an ordinary `#[test]` that returns at once unless [`argument`] names a job.

use std::path::PathBuf;
use std::process::Command;

/// A command that runs only `test` of this very binary, telling it `argument`.
pub fn command(test: &str, argument: &str) -> Command {
    let mut command = Command::new(executable());
    command.args(["--exact", test, "--nocapture", "--test-threads", "1"]);
    command.env(VARIABLE, argument);
    command
}

/// What the parent told this process; `None` in an ordinary run.
pub fn argument() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

/// This binary.
pub fn executable() -> PathBuf {
    std::env::current_exe().expect("the path of this binary")
}

/// Runs [`command`] to its end and fails with all it printed unless it succeeded; returns its
/// standard output. Return addresses of refused allocations are given their names.
pub fn run(test: &str, argument: &str) -> String {
    let output = command(test, argument).output().expect("the child starts");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        output.status.success(),
        "child {test} with {argument:?}: {}\n{out}\n{err}\n{}",
        output.status,
        named(&err),
    );
    out.into_owned()
}

/// The functions behind the offsets of the last few `REFUSED` lines, where `addr2line` is there.
pub fn named(text: &str) -> String {
    let mut names = String::new();
    let refused = text.lines().rev().filter(|line| line.starts_with("REFUSED"));
    for line in refused.take(3) {
        let offsets = line.split_whitespace().filter(|word| word.starts_with("0x")).skip(1);
        let output = Command::new("addr2line")
            .args(["-f", "-C", "-i", "-p", "-e"])
            .arg(executable())
            .args(offsets)
            .output();
        match output {
            Ok(output) => {
                let found = String::from_utf8_lossy(&output.stdout);
                // What lies above the test itself is the harness.
                let ours = found.lines().take_while(|line| !line.contains("FnOnce"));
                names.push_str(&ours.collect::<Vec<_>>().join("\n"));
                names.push_str("\n\n");
            }
            Err(error) => return format!("addr2line: {error}"),
        }
    }
    names
}

/// The environment variable that carries [`argument`].
pub const VARIABLE: &str = "BYWASH_TEST_CHILD";
