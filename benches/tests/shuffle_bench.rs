//! The benchmark program in its small mode: it runs and says what it should.

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use serde_json::Value;

    fn bench(arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_shuffle_bench")).args(arguments).output().unwrap()
    }

    fn report(arguments: &[&str]) -> Value {
        let shared = ["--json", "--iterations", "2", "--warmup", "0"];
        let output = bench(&[&shared[..], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    #[test]
    fn floor_ratio_is_reported_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let directory = ["--output-dir", dir.path().to_str().unwrap()];
        let rows = ["--scale-factor", "0.01", "--limit", "20000", "--batch-size", "3000"];
        let found = report(&[&["--floor"], &directory[..], &rows].concat());
        assert_eq!(found["rows"], 20_000);
        assert!(found["floor_ratio"].as_f64().unwrap() > 0.0, "{found}");
        assert_eq!(found["floor"]["tried"].as_array().unwrap().len(), 8);
        assert!(found["floor"]["output_bytes"].as_u64().unwrap() > 0);
        assert!(found["output_bytes"].as_u64().unwrap() > 0);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn ids_codecs_and_a_limit() {
        let rows = ["--scale-factor", "0.01", "--partitioning", "ids", "--partitions", "50"];
        for codec in ["none", "lz4", "zstd:1"] {
            let limits = ["--codec", codec, "--memory-limit", "12MiB"];
            let found = report(&[&rows[..], &limits].concat());
            assert_eq!(found["codec"], codec);
            assert!(found.get("floor_ratio").is_none(), "{found}");
            assert!(found["granted_peak_bytes"].as_u64().unwrap() <= 12 << 20, "{found}");
        }
    }

    #[test]
    fn two_tasks_share_the_rows_and_ask_the_ledger_seldom() {
        let rows = ["--scale-factor", "0.01", "--memory-limit", "12MiB"];
        let one = report(&rows);
        let two = report(&[&rows[..], &["--tasks", "2"]].concat());
        assert_eq!((&one["tasks"], &two["tasks"]), (&1.into(), &2.into()));
        assert_eq!(one["rows"], two["rows"]);
        for found in [one, two] {
            let ledger = &found["ledger"];
            // For a chunk, a spill, a working set, not for a row or a batch: that makes it cheap.
            let (grants, rows) = (ledger["grants"].as_u64(), found["rows"].as_u64());
            assert!((1..rows.unwrap() / 100).contains(&grants.unwrap()), "{ledger}");
            assert!(ledger["cpu_share"].as_f64().unwrap() > 0.0, "{ledger}");
        }
    }

    #[test]
    fn records_to_files_and_through_a_sink() {
        let rows = ["--records", "--limit", "30000", "--batch-size", "1000"];
        for target in [&[][..], &["--sink"], &["--floor"]] {
            let found = report(&[&rows[..], &["--memory-limit", "3MiB"], target].concat());
            assert_eq!(found["rows"], 30_000);
            assert!(found["spilled_bytes"].as_u64().unwrap() > 0, "{found}");
            assert!(found["output_bytes"].as_u64().unwrap() > 30_000 * 50, "{found}");
        }
    }

    #[test]
    fn an_unknown_column_is_an_error() {
        let output = bench(&["--scale-factor", "0.001", "--hash-columns", "0,16"]);
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("`16`") && error.contains("below 16"), "{error}");
    }
}
