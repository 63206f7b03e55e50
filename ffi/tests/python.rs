//! Streams of Python's data tools through the C interface: tests/python, with the packages that
//! tests/python/install put into target/python, or those of the system's Python.

#![expect(clippy::panic, reason = "a test stops where it fails")]
#![expect(clippy::print_stdout, reason = "which tools took part, with --nocapture")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn python_tools_stream_through_a_shuffle() {
    let Some(python) = python() else {
        say("SKIPPED: python_tools_stream_through_a_shuffle: no Python with pyarrow; run \
             ffi/tests/python/install");
        return;
    };
    let library = std::env::current_exe().unwrap().with_file_name("libbywash_ffi.so");
    let output = Command::new(python)
        .arg(manifest().join("tests/python/test_streams.py"))
        .env("BYWASH_LIBRARY", library)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("TMPDIR", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    print!("{told}");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{told}\n{complaint}", output.status);
    for line in told.lines().filter(|line| line.starts_with("MISSING")) {
        say(&format!("SKIPPED: a part of python_tools_stream_through_a_shuffle: {line}"));
    }
}

/// The first interpreter that has pyarrow.
fn python() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python/bin/python3");
    let asked = std::env::var_os("BYWASH_PYTHON").map(PathBuf::from);
    asked
        .into_iter()
        .chain([installed, manifest().join("../target/python/bin/python3")])
        .chain([PathBuf::from("python3")])
        .find(|python| {
            let found = Command::new(python).args(["-c", "import pyarrow"]).output();
            found.is_ok_and(|output| output.status.success())
        })
}

/// Says it past the harness, which swallows what passing tests print.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap_or_else(|error| {
        panic!("standard error takes a line: {error}");
    });
}

fn manifest() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
