//! `bywash shuffle --memory auto` in a kernel memory limit finds a budget that keeps it alive.
//!
//! Needs root and a memory controller; says so where it is skipped.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test prints its figures and fails by panicking"
)]

use std::path::{Path, PathBuf};

use bywash_tests::{cgroup, dirs, program, skipped};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 256 * MIB;
/// The program's default.
const MARGIN: u64 = 64 * MIB;
/// More than the limit, as Arrow arrays.
const SCALE_FACTOR: &str = "0.3";
const RESERVE: u64 = 80 * MIB;

#[test]
fn a_budget_found_in_a_limit_keeps_the_program_alive() {
    const NAME: &str = "a_budget_found_in_a_limit_keeps_the_program_alive";
    if let Err(why) = cgroup::run_limited(LIMIT, Path::new("true"), &[], &[]) {
        return skipped(NAME, &why);
    }
    let limited = Limited::prepare();
    let whole = limited.shuffled(&[]);
    let auto = &whole["auto"];
    assert_eq!(auto["found"]["signal"], "memory limit", "{auto}");
    assert_eq!(auto["found"]["limit_bytes"], LIMIT, "{auto}");
    assert_eq!(auto["found"]["margin_bytes"], MARGIN, "{auto}");
    assert!(bytes(&whole["budget_bytes"]) <= LIMIT - MARGIN, "{whole}");
    // Less what the program held then, which is little.
    assert!(bytes(&whole["budget_bytes"]) >= LIMIT - MARGIN - 32 * MIB, "{whole}");
    assert!(bytes(&whole["granted_peak_bytes"]) <= bytes(&auto["capacity_highest_bytes"]));
    assert!(bytes(&auto["polls"]) > 1, "{auto}");
    assert_eq!(auto["poll_error"], serde_json::Value::Null, "{auto}");
    assert_eq!(auto["polls_below_minimum"], 0, "{auto}");

    // What the program itself holds counts as a part of what is reserved.
    let rest = limited.shuffled(&["--reserve", &RESERVE.to_string()]);
    let auto = &rest["auto"];
    assert_eq!(bytes(&auto["reserve_bytes"]), RESERVE);
    let found = bytes(&rest["budget_bytes"]);
    assert!(found.abs_diff(LIMIT - MARGIN - RESERVE) < MIB, "{rest}");
    assert!(bytes(&rest["spilled_bytes"]) > 0, "{rest}");

    for reserve in ["191MiB", "2GiB"] {
        let ended = limited.run(&["--reserve", reserve]);
        let error = String::from_utf8_lossy(&ended.output.stderr);
        assert_eq!(ended.output.status.code(), Some(1), "{error}");
        assert!(error.contains("--memory auto finds "), "{error}");
        assert!(error.contains("for 2 task(s), which need at least "), "{error}");
        assert!(error.contains("lower --reserve"), "{error}");
        assert!(!limited.out().exists(), "nothing is made for a shuffle that cannot start");
        println!("{error}");
    }
}

struct Limited {
    root: tempfile::TempDir,
    program: PathBuf,
    inputs: Vec<PathBuf>,
}

impl Limited {
    fn prepare() -> Self {
        // Spills on a memory-backed filesystem would be charged as memory.
        let root = dirs::on_disk();
        let program = program::path();
        let inputs = program::generate(&program, SCALE_FACTOR, &root.path().join("input"));
        Self { root, program, inputs }
    }

    /// The report of a shuffle that was not killed, and verified.
    fn shuffled(&self, more: &[&str]) -> serde_json::Value {
        let ended = self.run(more);
        assert!(ended.output.status.success(), "{more:?}: {ended:?}");
        assert_eq!(ended.oom_kills, 0, "{more:?}: {ended:?}");
        let out = self.out();
        let verify = ["demo-verify", text(&out)];
        program::run(&self.program, &[&verify[..], &self.inputs()].concat());
        std::fs::remove_dir_all(&out).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&ended.output.stdout).unwrap();
        println!(
            "budget {}, granted peak {}, spilled {}, {}",
            report["budget_bytes"],
            report["granted_peak_bytes"],
            report["spilled_bytes"],
            report["auto"]
        );
        report
    }

    fn run(&self, more: &[&str]) -> cgroup::Limited {
        let (out, spill) = (self.out(), self.root.path().join("spill"));
        let shuffle = ["shuffle", "--by", "l_orderkey", "--partitions", "200", "--tasks", "2"];
        let memory =
            ["--memory", "auto", "--json", "--spill-dir", text(&spill), "--out", text(&out)];
        let arguments = [&shuffle[..], &memory, more, &self.inputs()].concat();
        cgroup::run_limited(LIMIT, &self.program, &arguments, &[]).unwrap()
    }

    fn out(&self) -> PathBuf {
        self.root.path().join("out")
    }

    fn inputs(&self) -> Vec<&str> {
        self.inputs.iter().map(|path| text(path)).collect()
    }
}

fn bytes(value: &serde_json::Value) -> u64 {
    value.as_u64().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
