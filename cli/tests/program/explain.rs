//! `--explain` and `--metrics`: what they say agrees with the report.

use std::fs;
use std::path::Path;

use crate::kit::{bywash, fail, report, text};

/// A small shuffle that spills, one task: nobody else asks it for memory.
const DEMO: [&str; 9] =
    ["demo", "--scale-factor", "0.05", "--memory", "8MiB", "--partitions", "64", "--tasks", "1"];

/// The value of a metric without labels.
fn value(metrics: &str, name: &str) -> u64 {
    let prefix = format!("{name} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("{name}: {metrics}")).parse().unwrap()
}

#[test]
fn explanation_and_metrics_agree_with_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bywash.prom");
    fs::write(&file, "of an earlier run").unwrap();
    let found = report(&[&DEMO[..], &["--explain", "--metrics", text(&file)]].concat());
    let shuffle = &found["shuffle"];
    let bytes = |key: &str| shuffle[key].as_u64().unwrap();

    let explain = &shuffle["explain"];
    let spills = explain["spills"].as_array().unwrap();
    let sum = |key: &str| spills.iter().map(|spill| spill[key].as_u64().unwrap()).sum::<u64>();
    assert!(!spills.is_empty() && spills.len() < 64, "{explain}");
    assert_eq!(sum("written_bytes"), bytes("spilled_bytes"), "{explain}");
    let peak: u64 = explain["peak"]
        .as_array()
        .unwrap()
        .iter()
        .map(|held| held["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(peak, bytes("granted_peak_bytes"), "{explain}");
    for spill in spills {
        assert_eq!(spill["cause"], "pressure", "{spill}");
        assert_eq!(spill["holder"]["consumer"], "shuffle-writer", "{spill}");
        assert!(spill["started_seconds"].as_f64().unwrap() > 0.0, "{spill}");
    }
    let lines = explain["text"].as_array().unwrap();
    assert!(
        lines.iter().any(|line| line
            .as_str()
            .unwrap()
            .contains("pressure: shuffle-writer of task 1 needed"))
    );

    let metrics = fs::read_to_string(&file).unwrap();
    let same = [
        ("bywash_memory_capacity_bytes", "budget_bytes"),
        ("bywash_memory_granted_peak_bytes", "granted_peak_bytes"),
        ("bywash_memory_live_peak_bytes", "live_peak_bytes"),
        ("bywash_spill_written_bytes_total", "spilled_bytes"),
        ("bywash_write_rows_total", "rows"),
        ("bywash_write_input_bytes_total", "input_bytes"),
        ("bywash_write_output_bytes_total", "output_bytes"),
        ("bywash_writers_total", "tasks"),
    ];
    for (metric, key) in same {
        assert_eq!(value(&metrics, metric), bytes(key), "{metric}");
    }
    assert_eq!(value(&metrics, "bywash_writers_open"), 0);
    assert_eq!(value(&metrics, "bywash_spill_used_bytes"), 0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn without_json_the_explanation_is_on_standard_error() {
    let output = bywash(&[&DEMO[..], &["--explain"]].concat());
    assert!(output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("memory: capacity 8388608 B, granted "), "{told}");
    assert!(told.contains("\n  #1 at "), "{told}");
    assert!(!String::from_utf8(output.stdout).unwrap().contains("#1 at "));
}

#[test]
fn metrics_go_only_to_files_that_a_rename_may_replace() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.parquet");
    let keys = std::sync::Arc::new(arrow_array::Int64Array::from(vec![1, 2]));
    crate::kit::write_parquet(&input, vec![("key", keys)], 10);
    let out = dir.path().join("out");
    let shuffle =
        ["shuffle", text(&input), "--by", "key", "--partitions", "2", "--memory", "64MiB"];
    let refused = |file: &Path| {
        fail(&[&shuffle[..], &["--out", text(&out), "--metrics", text(file)]].concat())
    };
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&input, &link).unwrap();
    for file in [dir.path(), &link, Path::new("..")] {
        let error = refused(file);
        assert!(error.contains("this is something else"), "{error}");
    }
    let error = refused(&dir.path().join("missing/file"));
    assert!(error.contains("a directory that is there"), "{error}");
}
