//! The program in a kernel memory limit of its budget and 64 MiB, spilling to a tmpfs: refused,
//! paid for, and, where nobody pays, killed. The last is what the others are there for.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use bywash_tests::cgroup::{Limited, run_limited};
use bywash_tests::dirs::on_disk;
use bywash_tests::mounts::Mounted;
use bywash_tests::{program, skipped};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn a_tmpfs_is_refused_paid_for_or_deadly() {
    const NAME: &str = "a_tmpfs_is_refused_paid_for_or_deadly";
    if let Err(why) = run_limited(OVERHEAD, Path::new("true"), &[], &[]) {
        return skipped(NAME, &why);
    }
    let Some(tmpfs) = Mounted::tmpfs(NAME, "1g") else { return };
    let job = Job::new();
    let disk = job.root.path().join("spill");

    fails_saying(&job.run("refuse", &[tmpfs.path()]), &["tmpfs mounted at", "give one on a disk"]);

    let place = tmpfs.path().to_str().unwrap();
    let alone = job.run("charge", &[tmpfs.path()]);
    fails_saying(&alone, &["requested", "available", "add a directory on a disk", place]);

    let report = job.verify(&job.run("charge", &[tmpfs.path(), &disk]));
    println!("with a disk: {}", report["spill_dirs"]);
    assert_eq!(report["spill_dirs"][0]["written_bytes"], 0, "a disk with room is used first");
    let (bytes, runs) = (report["spilled_bytes"].as_u64().unwrap(), runs(&report));
    assert!(runs >= 3, "{report}");

    // A disk on which the last run does not end.
    let size = format!("{}", bytes + (64 << 20));
    let Some(small) = Mounted::ext4(NAME, &size) else { return };
    leave_free(small.path(), bytes - bytes / runs / 2);
    let report = job.verify(&job.run("charge", &[tmpfs.path(), small.path()]));
    println!("with a disk that fills up: {}", report["spill_dirs"]);
    for dir in report["spill_dirs"].as_array().unwrap() {
        assert!(dir["written_bytes"].as_u64().unwrap() > 0, "{dir}");
    }

    let unpaid = job.run("unaccounted", &[tmpfs.path()]);
    println!("with nobody paying: {}, {} killed", unpaid.output.status, unpaid.oom_kills);
    assert_eq!(unpaid.output.status.signal(), Some(9), "{unpaid:?}");
    assert!(unpaid.oom_kills > 0, "{unpaid:?}");
}

/// A shuffle that spills several times its budget.
struct Job {
    root: TempDir,
    program: PathBuf,
    inputs: Vec<PathBuf>,
}

impl Job {
    fn new() -> Self {
        let root = on_disk();
        let program = program::path();
        let inputs = program::generate(&program, "0.2", &root.path().join("input"));
        Self { root, program, inputs }
    }

    fn run(&self, memory_backed: &str, spill_dirs: &[&Path]) -> Limited {
        let memory = BUDGET.to_string();
        let out = self.out();
        let mut arguments =
            vec!["shuffle", "--by", "l_orderkey", "--partitions", "50", "--codec", "none"];
        arguments.extend(["--json", "--memory", &memory, "--out", text(&out)]);
        arguments.extend(["--spill-memory-backed", memory_backed]);
        for dir in spill_dirs {
            arguments.extend(["--spill-dir", text(dir)]);
        }
        arguments.extend(self.inputs.iter().map(|path| text(path)));
        run_limited(BUDGET + OVERHEAD, &self.program, &arguments, &[]).unwrap()
    }

    /// Verifies and removes what a run put out; gives its report.
    fn verify(&self, limited: &Limited) -> Value {
        assert!(limited.output.status.success() && limited.oom_kills == 0, "{limited:?}");
        let out = self.out();
        let mut verify = vec!["demo-verify", text(&out)];
        verify.extend(self.inputs.iter().map(|path| text(path)));
        program::run(&self.program, &verify);
        std::fs::remove_dir_all(&out).unwrap();
        serde_json::from_slice(&limited.output.stdout).unwrap()
    }

    fn out(&self) -> PathBuf {
        self.root.path().join("out")
    }
}

fn fails_saying(limited: &Limited, parts: &[&str]) {
    let said = String::from_utf8_lossy(&limited.output.stderr);
    println!("{}", said.trim());
    assert_eq!(limited.output.status.code(), Some(1), "{limited:?}");
    assert_eq!(limited.oom_kills, 0, "{limited:?}");
    assert!(parts.iter().all(|part| said.contains(part)), "{said}");
}

fn runs(report: &Value) -> u64 {
    let counts = report["spills"].as_array().unwrap().iter();
    counts.map(|spill| spill["count"].as_u64().unwrap()).sum()
}

/// Fills a filesystem but for so many bytes.
fn leave_free(filesystem: &Path, bytes: u64) {
    let stat = rustix::fs::statvfs(filesystem).unwrap();
    let free = stat.f_bfree * stat.f_frsize;
    let filler = File::create(filesystem.join("filler")).unwrap();
    let flags = rustix::fs::FallocateFlags::empty();
    rustix::fs::fallocate(&filler, flags, 0, free.checked_sub(bytes).unwrap()).unwrap();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

const BUDGET: u64 = 32 << 20;
const OVERHEAD: u64 = 64 << 20;
