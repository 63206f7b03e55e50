//! The benchmark program of sorts in its small mode: it runs and says what it should.

#[cfg(test)]
mod tests {
    use std::process::{Command, Output};

    use serde_json::Value;

    fn bench(arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sort_bench")).args(arguments).output().unwrap()
    }

    /// A report for each budget.
    fn reports(arguments: &[&str]) -> Vec<Value> {
        let output = bench(&[&["--json"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {error}");
        let reports = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        reports.map(Result::unwrap).collect()
    }

    fn number(report: &Value, name: &str) -> u64 {
        report[name].as_u64().unwrap_or_else(|| panic!("{name} of {report}"))
    }

    #[test]
    fn every_budget_gives_the_same_rows_and_nothing_is_left() {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let directory = ["--dir", dir.path().to_str().unwrap()];
        let rows = ["--rows", "60000", "--batch-size", "3000", "--memory-limit", "none,3MiB"];
        for codec in ["none", "lz4", "zstd:1"] {
            let found = reports(&[&rows[..], &directory, &["--codec", codec]].concat());
            assert_eq!(found.len(), 2);
            for report in &found {
                assert_eq!(number(report, "rows"), 60_000);
                assert_eq!(report["digest"], found[0]["digest"]);
                assert!(report["megabytes_per_cpu_second"].as_f64().unwrap() > 0.0, "{report}");
            }
            let (all, little) = (&found[0], &found[1]);
            assert!(all["memory_limit"].is_null(), "{all}");
            assert_eq!((number(all, "runs"), number(all, "spilled_bytes")), (0, 0), "{all}");
            assert_eq!(number(little, "memory_limit"), 3 << 20);
            assert!(number(little, "runs") > 1 && number(little, "passes") > 0, "{little}");
            assert!(number(little, "disk_peak_bytes") > 0, "{little}");
            assert!(number(little, "granted_peak_bytes") <= 3 << 20, "{little}");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn lineitem_by_several_columns_in_several_passes() {
        let sort = ["--scale-factor", "0.01", "--by", "l_shipdate,l_orderkey", "--runs-max", "2"];
        let found =
            reports(&[&sort[..], &["--memory-limit", "4MiB", "--iterations", "2"]].concat());
        assert_eq!(found.len(), 2);
        assert_eq!(found[0]["digest"], found[1]["digest"]);
        assert!(number(&found[0], "rows") > 50_000 && number(&found[0], "passes") > 1, "{found:?}");
    }

    #[test]
    fn an_unknown_column_and_a_budget_below_the_minimum_are_errors() {
        for (arguments, said) in [
            (["--rows", "10", "--by", "nowhere"], "nowhere"),
            (["--rows", "10", "--memory-limit", "100KiB"], "102400"),
        ] {
            let output = bench(&arguments);
            assert_eq!(output.status.code(), Some(1));
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(error.contains(said), "{error}");
        }
    }
}
