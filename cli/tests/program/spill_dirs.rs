//! Where the program spills, and what it says of directories in memory. /dev/shm is one for
//! everybody; where it is none, the test says so.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow_array::Int64Array;
use bywash::check_disk_backed;

use crate::kit::{fail, misuse, on_disk, report, store, text, write_parquet};

#[test]
fn a_directory_in_memory_is_refused_charged_or_used_as_it_is() {
    let Some(memory) = in_memory() else { return };
    let dir = on_disk();
    let input = input(dir.path());
    let fixed = ["shuffle", text(&input), "--by", "key", "--partitions", "3", "--memory", "64MiB"];
    let out = dir.path().join("out");
    let there = [&fixed[..], &["--out", text(&out), "--spill-dir", text(memory.path())]].concat();
    let error = fail(&there);
    for part in ["tmpfs mounted at /dev", "give one on a disk", text(memory.path())] {
        assert!(error.contains(part), "{error}");
    }
    for how in ["charge", "unaccounted"] {
        let found = report(&[&there[..], &["--spill-memory-backed", how]].concat());
        assert_eq!(found["spill_dirs"][0]["in_memory"], true, "{found}");
        std::fs::remove_dir_all(&out).unwrap();
    }
    assert!(misuse(&[&there[..], &["--spill-memory-backed", "maybe"]].concat()).contains("charge"));
    // With a disk beside it, it is left out and named.
    let both = [&there[..], &["--dir", text(dir.path())]].concat();
    let warned = said(&both, "");
    assert!(warned.contains("warning: not used for spills: /dev/shm"), "{warned}");
    std::fs::remove_dir_all(&out).unwrap();
    let demo = fail(&["demo", "--scale-factor", "0.01", "--dir", text(memory.path())]);
    assert!(demo.contains("give one on a disk"), "{demo}");

    let shuffled = memory.path().join("out");
    let warned = said(&[&fixed[..], &["--out", text(&shuffled)]].concat(), "");
    assert!(warned.contains("warning: --out /dev/shm"), "{warned}");
    let file = memory.path().join("one.parquet");
    for command in [
        &["sort", text(&input), "--by", "key", "--memory", "64MiB"][..],
        &["group", text(&input), "--by", "key", "--memory", "64MiB"],
        &["collect", text(&shuffled)],
    ] {
        let warned = said(&[command, &["--out", text(&file)]].concat(), "");
        assert!(warned.contains("warning: --out /dev/shm"), "{command:?}: {warned}");
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
fn without_a_directory_it_is_the_listed_ones_on_a_disk() {
    let dir = on_disk();
    let input = input(dir.path());
    let listed = dir.path().join("made");
    let out = dir.path().join("out");
    let arguments =
        ["shuffle", text(&input), "--by", "key", "--partitions", "3", "--memory", "64MiB"];
    let arguments = [&arguments[..], &["--json", "--out", text(&out)]].concat();
    let warned = said(&arguments, &format!("Cargo.toml,{}", text(&listed)));
    assert!(warned.contains("warning: not used for spills: Cargo.toml"), "{warned}");
    assert_eq!(std::fs::read_dir(&listed).unwrap().count(), 0, "made, used and left clean");
}

/// Runs the program to success with `BYWASH_SPILL_DIRS`; gives what it says on standard error.
fn said(arguments: &[&str], listed: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bywash"))
        .args(arguments)
        .env("BYWASH_SPILL_DIRS", listed)
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {error}");
    error
}

fn in_memory() -> Option<tempfile::TempDir> {
    let dir = tempfile::tempdir_in("/dev/shm").ok();
    let dir = dir.filter(|dir| check_disk_backed(&store(), dir.path()).is_err());
    if dir.is_none() {
        // Not eprintln: the harness swallows what a passing test prints with it.
        let line = "SKIPPED: spill_dirs: /dev/shm is no writable directory in memory\n";
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    dir
}

fn input(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("in.parquet");
    write_parquet(&path, vec![("key", Arc::new(Int64Array::from_iter_values(0..1000)))], 100);
    path
}
