//! The demo, small: it verifies, and what it verifies with does notice differences.

use std::fs;

use crate::kit::{bywash, fail, on_disk, report, succeed, text};

#[test]
fn verifies_with_spills_and_leaves_nothing() {
    let dir = on_disk();
    let shared = ["demo", "--scale-factor", "0.05", "--memory", "12MiB", "--partitions", "64"];
    let found = report(&[&shared[..], &["--dir", text(dir.path())]].concat());
    assert_eq!(found["verified"], true, "{found}");
    let shuffle = &found["shuffle"];
    assert_eq!(shuffle["rows"], found["verify"]["rows"], "{found}");
    let bytes = |key: &str| shuffle[key].as_u64().unwrap();
    assert!(bytes("live_peak_bytes") <= bytes("granted_peak_bytes"), "{shuffle}");
    assert!(bytes("granted_peak_bytes") <= bytes("budget_bytes"), "{shuffle}");
    assert!(bytes("spilled_bytes") > 0, "{shuffle}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn prints_a_report_for_people() {
    let found = succeed(&["demo", "--scale-factor", "0.01", "--partitions", "7", "--tasks", "3"]);
    for line in ["rows ", "budget ", "granted peak ", "live peak ", "resident peak ", "verified "] {
        assert!(found.contains(line), "{line}: {found}");
    }
}

#[test]
fn finds_a_budget_and_says_how() {
    let shared = ["demo", "--scale-factor", "0.01", "--memory", "auto", "--reserve", "1m"];
    let found = report(&shared);
    assert_eq!(found["verified"], true, "{found}");
    let (shuffle, auto) = (&found["shuffle"], &found["shuffle"]["auto"]);
    assert_eq!(auto["reserve_bytes"], 1 << 20, "{auto}");
    assert_eq!(auto["found"]["bytes"], shuffle["budget_bytes"], "{auto}");
    let figure = |key: &str| auto["found"][key].as_u64().unwrap();
    let rest = ["others_bytes", "untouched_bytes", "margin_bytes"].map(figure).iter().sum::<u64>();
    assert_eq!(figure("limit_bytes") - rest, figure("bytes"), "{auto}");
    assert!(figure("margin_bytes") >= 64 << 20, "{auto}");
    assert!(auto["polls"].as_u64().unwrap() > 0, "{auto}");
    let text = succeed(&shared);
    for line in ["  found  ", "held by others", "  followed  "] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn a_reserve_without_a_budget_to_find_is_refused_at_once() {
    let arguments = ["demo", "--scale-factor", "100", "--memory", "64MiB", "--reserve", "1g"];
    assert!(fail(&arguments).contains("--reserve goes with --memory auto"));
    let arguments = ["shuffle", "x.parquet", "--by", "x", "--partitions", "1", "--out", "x"];
    let error = fail(&[&arguments[..], &["--memory", "64MiB", "--reserve", "1g"]].concat());
    assert!(error.contains("--reserve goes with --memory auto"), "{error}");
}

#[test]
fn kept_files_can_be_verified_again_and_differences_are_found() {
    let dir = on_disk();
    let arguments =
        ["demo", "--scale-factor", "0.01", "--keep", "--tasks", "2", "--dir", text(dir.path())];
    let kept = report(&arguments)["kept"].as_str().unwrap().to_owned();
    let out = format!("{kept}/shuffle");
    let inputs: Vec<String> =
        (0..2).map(|part| format!("{kept}/input/lineitem-{part:03}.parquet")).collect();
    let difference = |inputs: &[&str]| {
        let arguments = [&["demo-verify", &out], inputs].concat();
        let found: serde_json::Value = serde_json::from_str(&succeed(&arguments)).unwrap();
        found["first_difference"].as_str().map(str::to_owned)
    };
    assert_eq!(difference(&[&inputs[0], &inputs[1]]), None);
    let found = difference(&[&inputs[0]]).unwrap();
    assert!(found.contains("not among the inputs"), "{found}");

    // Rows placed by another column than the job says.
    let job = format!("{out}/job.json");
    let text = fs::read_to_string(&job).unwrap();
    fs::write(&job, text.replace("l_orderkey", "l_partkey")).unwrap();
    let found = difference(&[&inputs[0], &inputs[1]]).unwrap();
    assert!(found.contains("digests differ"), "{found}");

    // Rows of one task read in another order.
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["map_outputs"][0]["inputs"] = value["map_outputs"][1]["inputs"].take();
    fs::write(&job, serde_json::to_string(&value).unwrap().replace("null", "[]")).unwrap();
    let found = difference(&[&inputs[0], &inputs[1]]).unwrap();
    assert!(found.contains("was not read once"), "{found}");
}

#[test]
fn a_failing_step_fails_the_demo() {
    let output = bywash(&["demo", "--scale-factor", "0.001", "--memory", "4k"]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("give at least"), "the child says why: {error}");
    assert!(error.contains("the step `shuffle` failed"), "{error}");
    let missing = fail(&["demo-verify", "/nonexistent", "x.parquet"]);
    assert!(missing.contains("has no job.json"), "{missing}");
}
