//! The program `bywash`, built in the profile of the running test.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child;

/// Its path; `BYWASH_PROGRAM` names another one, else it is built.
pub fn path() -> PathBuf {
    if let Some(path) = std::env::var_os("BYWASH_PROGRAM") {
        return path.into();
    }
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "-p", "bywash-cli", "--bin", "bywash"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(status.success(), "the program builds");
    // A test is in target/PROFILE/deps.
    let executable = child::executable();
    executable.ancestors().nth(2).expect("a profile's directory").join("bywash")
}

/// Runs it outside of any limit and expects success.
pub fn run(program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("the program starts");
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Writes lineitem in `dir`, and gives the files.
pub fn generate(program: &Path, scale_factor: &str, dir: &Path) -> Vec<PathBuf> {
    let out = dir.to_str().expect("a path of ours is text");
    let arguments = ["demo-generate", "--scale-factor", scale_factor, "--files", "2", "--out", out];
    run(program, &arguments);
    let entries = std::fs::read_dir(dir).expect("what was generated");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}
