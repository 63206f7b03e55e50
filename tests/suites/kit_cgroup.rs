//! The kernel memory limit of the kit: it kills what is above and leaves alone what is below.

use bywash_tests::{cgroup, child};

const CHILD: &str = "touches_memory_in_a_child";

#[test]
fn kills_what_is_above_the_limit_only() {
    let program = child::executable();
    for (mebibytes, survives) in [(200, false), (20, true)] {
        let touched = format!("{mebibytes}");
        let variables = [(child::VARIABLE, touched.as_str())];
        let arguments = ["--exact", CHILD, "--nocapture"];
        let limited = match cgroup::run_limited(64 << 20, &program, &arguments, &variables) {
            Ok(limited) => limited,
            Err(why) => return bywash_tests::skipped("kills_what_is_above_the_limit_only", &why),
        };
        assert_eq!(limited.output.status.success(), survives, "{mebibytes} MiB: {limited:?}");
        assert_eq!(limited.oom_kills > 0, !survives, "{limited:?}");
        if let Some(peak) = limited.peak_bytes {
            assert!((20 << 20..=64 << 20).contains(&peak), "{limited:?}");
        }
    }
    let left = std::process::Command::new("find")
        .args(["/sys/fs/cgroup", "-name"])
        .arg(format!("bywash-test-{}-*", std::process::id()))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "", "a group was left");
}

#[test]
fn touches_memory_in_a_child() {
    let Some(mebibytes) = child::argument() else {
        return;
    };
    let bytes = mebibytes.parse::<usize>().unwrap() << 20;
    let touched = std::hint::black_box(vec![1u8; bytes]);
    assert_eq!(
        touched.iter().step_by(4096).map(|&byte| usize::from(byte)).sum::<usize>() * 4096,
        bytes
    );
}
