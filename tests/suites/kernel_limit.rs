//! The demo's shuffle alone in a kernel memory limit of its budget and 64 MiB ends verified.
//!
//! The stages of `bywash demo` run one by one, so that only the shuffle is limited. The scale factor
//! is 2 in a release build and less in a slow one; `BYWASH_SCALE_FACTOR` overrides it and
//! `BYWASH_PROGRAM` names the program (else it is built).
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test prints its figures and fails by panicking"
)]

use std::path::Path;

use bywash_tests::{cgroup, dirs, program, skipped};

const OVERHEAD: u64 = 64 << 20;

#[test]
fn a_shuffle_stays_within_its_budget_and_the_overhead() {
    const NAME: &str = "a_shuffle_stays_within_its_budget_and_the_overhead";
    if let Err(why) = cgroup::run_limited(OVERHEAD, Path::new("true"), &[], &[]) {
        return skipped(NAME, &why);
    }
    let default = if cfg!(debug_assertions) { "0.2" } else { "2" };
    let scale_factor = std::env::var("BYWASH_SCALE_FACTOR").unwrap_or_else(|_| default.to_owned());
    println!("scale factor {scale_factor}");
    let program = program::path();
    // Spills on a memory-backed filesystem would be charged as memory.
    let root = dirs::on_disk();
    let generated = root.path().join("input");
    let inputs = program::generate(&program, &scale_factor, &generated);

    for mebibytes in [32u64, 64, 256] {
        for tasks in ["1", "2"] {
            let out = root.path().join(format!("out-{mebibytes}-{tasks}"));
            let spill = root.path().join("spill");
            let memory = format!("{mebibytes}MiB");
            let mut arguments = vec![
                "shuffle",
                "--by",
                "l_orderkey",
                "--partitions",
                "200",
                "--memory",
                &memory,
                "--codec",
                "lz4",
                "--tasks",
                tasks,
                "--json",
                "--spill-dir",
                text(&spill),
                "--out",
                text(&out),
            ];
            arguments.extend(inputs.iter().map(|path| text(path)));
            let limit = (mebibytes << 20) + OVERHEAD;
            let limited = cgroup::run_limited(limit, &program, &arguments, &[]).unwrap();
            println!(
                "{memory}, {tasks} tasks: peak with page cache {:?}, {}",
                limited.peak_bytes,
                figures(&limited.output.stdout),
            );
            assert!(
                limited.output.status.success() && limited.oom_kills == 0,
                "{memory}, {tasks} tasks: {limited:?}"
            );
            let mut verify = vec!["demo-verify", text(&out)];
            verify.extend(inputs.iter().map(|path| text(path)));
            program::run(&program, &verify);
            std::fs::remove_dir_all(&out).unwrap();
        }
    }
}

/// The memory figures of the program's own report.
fn figures(report: &[u8]) -> String {
    let report: serde_json::Value = serde_json::from_slice(report).unwrap_or_default();
    let names = [
        "granted_peak_bytes",
        "live_peak_bytes",
        "resident_anonymous_peak_bytes",
        "resident_total_peak_bytes",
    ];
    names.map(|name| format!("{name} {}", report[name])).join(", ")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
