//! A short run of the accuracy benchmark keeps every bound.

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::Value;

    #[test]
    fn live_is_what_is_counted_and_resident_stays_near_granted() {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (csv, svg, work) = (path("a.csv"), path("a.svg"), path("work"));
        let output = Command::new(env!("CARGO_BIN_EXE_accuracy"))
            .args(["--memory", "96MiB", "--tasks", "3", "--scale", "96MiB", "--rounds", "1"])
            .args(["--json", "--csv", &csv, "--svg", &svg, "--dir", &work])
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}\n{}", String::from_utf8_lossy(&output.stdout));

        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let bounds = report["bounds"].as_array().unwrap();
        assert_eq!(bounds.len(), 8, "{bounds:?}");
        assert!(bounds.iter().all(|bound| bound["kept"] == true), "{bounds:?}");
        assert!(report["granted_bytes_max"].as_u64().unwrap() <= 96 << 20, "{report}");
        assert!(report["spills"]["count"].as_u64().unwrap() > 0, "{report}");

        let table = std::fs::read_to_string(csv).unwrap();
        let columns = "time_us,event,task,granted,live,counted,resident,budget";
        assert_eq!(table.lines().next(), Some(columns));
        for event in [",running,", ",stopped,", ",spill_begin,", ",spill_end,"] {
            assert!(table.contains(event), "{event}");
        }
        let picture = std::fs::read_to_string(svg).unwrap();
        assert!(picture.len() < 150 << 10 && picture.contains("budget"), "{}", picture.len());
        assert_eq!(std::fs::read_dir(work).unwrap().count(), 0, "files are left");
    }

    #[test]
    fn a_budget_that_holds_no_writer_is_an_error() {
        let output = Command::new(env!("CARGO_BIN_EXE_accuracy"))
            .args(["--memory", "1MiB", "--scale", "1MiB", "--rounds", "1"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("budget"), "{output:?}");
    }
}
