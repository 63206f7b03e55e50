//! Parquet through `shuffle` and `collect` and back.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::kit::{bywash, fail, on_disk, report, rows, sorted, succeed, text, write_parquet};
use arrow_array::types::Int8Type;
use arrow_array::{DictionaryArray, Int64Array, StringArray, StringViewArray};

/// Two files of small row groups with a view and a dictionary column.
fn inputs(dir: &Path) -> [PathBuf; 2] {
    let paths = [dir.join("a.parquet"), dir.join("b.parquet")];
    for (path, first) in paths.iter().zip([0i64, 5_000]) {
        let keys: Vec<i64> = (first..first + 5_000).map(|row| row * 7 % 1_000).collect();
        let words: Vec<Option<String>> = (first..first + 5_000)
            .map(|row| (row % 11 != 0).then(|| "w".repeat(usize::try_from(row % 40).unwrap())))
            .collect();
        let kinds = words.iter().map(|word| word.as_ref().map(|word| &word[..word.len().min(2)]));
        write_parquet(
            path,
            vec![
                ("key", Arc::new(Int64Array::from(keys))),
                ("word", Arc::new(words.iter().collect::<StringArray>())),
                ("view", Arc::new(words.iter().collect::<StringViewArray>())),
                ("kind", Arc::new(kinds.collect::<DictionaryArray<Int8Type>>())),
            ],
            900,
        );
    }
    paths
}

fn shuffle(inputs: &[PathBuf; 2], out: &Path) -> serde_json::Value {
    let fixed = ["--by", "key,word", "--partitions", "13", "--memory", "32MiB", "--tasks", "2"];
    let inputs = [text(&inputs[0]), text(&inputs[1])];
    report(&[&["shuffle"], &inputs[..], &fixed[..], &["--out", text(out)]].concat())
}

#[test]
fn every_row_comes_back_once() {
    let dir = on_disk();
    let inputs = inputs(dir.path());
    let out = dir.path().join("new/out");
    assert_eq!(shuffle(&inputs, &out)["rows"], 10_000);

    let file = dir.path().join("all.parquet");
    let found = report(&["collect", text(&out), "--out", text(&file)]);
    assert_eq!(found["rows"], 10_000);
    let all = rows(&file);
    let expected = [rows(&inputs[0]), rows(&inputs[1])].concat();
    assert_eq!(sorted(all.clone()), sorted(expected));

    // One partition at a time gives the same rows in the same order.
    let mut joined = Vec::new();
    for partition in 0..13 {
        let file = dir.path().join(format!("{partition}.parquet"));
        let number = partition.to_string();
        succeed(&["collect", text(&out), "--partition", &number, "--out", text(&file)]);
        joined.extend(rows(&file));
    }
    assert_eq!(joined, all);

    let verified = succeed(&["demo-verify", text(&out), text(&inputs[0]), text(&inputs[1])]);
    assert!(verified.contains("\"first_difference\": null"), "{verified}");
}

#[test]
fn more_tasks_than_row_groups() {
    let dir = on_disk();
    let file = dir.path().join("small.parquet");
    write_parquet(&file, vec![("key", Arc::new(Int64Array::from(vec![3, 1, 2])))], 10);
    let out = dir.path().join("out");
    let arguments = ["shuffle", text(&file), "--by", "key", "--partitions", "3", "--tasks", "4"];
    succeed(&[&arguments[..], &["--memory", "64MiB", "--out", text(&out)]].concat());
    let back = dir.path().join("back.parquet");
    succeed(&["collect", text(&out), "--out", text(&back)]);
    assert_eq!(sorted(rows(&back)), ["1", "2", "3"]);
}

#[test]
fn a_shuffle_that_did_not_finish_is_not_collected_and_not_reused() {
    let dir = on_disk();
    let inputs = inputs(dir.path());
    let out = dir.path().join("out");
    shuffle(&inputs, &out);
    let again = ["shuffle", text(&inputs[0]), "--by", "key", "--partitions", "2", "--memory"];
    let again = [&again[..], &["32MiB", "--out", text(&out)]].concat();
    assert!(fail(&again).contains("holds a finished shuffle"));

    fs::remove_file(out.join("job.json")).unwrap();
    assert!(fail(&again).contains("did not finish"));
    let file = dir.path().join("all.parquet");
    let error = fail(&["collect", text(&out), "--out", text(&file)]);
    assert!(error.contains("has no job.json"), "{error}");
    assert!(!file.exists());
}

#[test]
fn collect_never_replaces_what_is_there() {
    let dir = on_disk();
    let out = dir.path().join("out");
    shuffle(&inputs(dir.path()), &out);
    let precious = dir.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    for target in [precious.as_path(), &out.join("job.json"), Path::new("/dev/null")] {
        let error = fail(&["collect", text(&out), "--out", text(target)]);
        assert!(error.contains("there already"), "{error}");
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn a_column_name_that_stands_twice_is_refused() {
    let dir = on_disk();
    let file = dir.path().join("twice.parquet");
    let column = || -> arrow_array::ArrayRef { Arc::new(Int64Array::from(vec![1])) };
    write_parquet(&file, vec![("a", column()), ("a", column())], 10);
    let out = dir.path().join("out");
    let arguments = ["shuffle", text(&file), "--by", "a", "--partitions", "3", "--memory", "64MiB"];
    let error = fail(&[&arguments[..], &["--out", text(&out)]].concat());
    assert!(error.contains("two columns"), "{error}");
}

#[test]
fn corrupt_and_missing_files_are_noticed() {
    let dir = on_disk();
    let inputs = inputs(dir.path());
    let out = dir.path().join("out");
    shuffle(&inputs, &out);
    let target = dir.path().join("all.parquet");
    let collect = ["collect", text(&out), "--out", text(&target)];

    let data = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "data"))
        .unwrap();
    let good = fs::read(&data).unwrap();
    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 4;
    fs::write(&data, &bad).unwrap();
    fail(&collect);
    assert!(!target.exists(), "no file appears under its name");
    fs::write(&data, &good[..good.len() - 8]).unwrap();
    fail(&collect);
    fs::remove_file(&data).unwrap();
    fail(&collect);
    fs::write(&data, &good).unwrap();
    succeed(&collect);
}

#[test]
fn a_partition_that_is_not_there() {
    let dir = on_disk();
    let out = dir.path().join("out");
    shuffle(&inputs(dir.path()), &out);
    let file = dir.path().join("13.parquet");
    let error = fail(&["collect", text(&out), "--partition", "13", "--out", text(&file)]);
    assert!(error.contains("there is no partition 13") && error.contains("0 to 12"), "{error}");
}

#[test]
fn inputs_that_do_not_fit_together() {
    let dir = on_disk();
    let [first, _] = inputs(dir.path());
    let other = dir.path().join("other.parquet");
    write_parquet(&other, vec![("key", Arc::new(StringArray::from(vec!["x"])))], 10);
    let out = dir.path().join("out");
    let rest = ["--partitions", "2", "--memory", "32MiB", "--out", text(&out)];
    let files = ["shuffle", text(&first), text(&other), "--by", "key"];
    let error = fail(&[&files[..], &rest[..]].concat());
    assert!(error.contains("other.parquet: has 1 columns"), "{error}");

    let error = fail(&[&["shuffle", text(&first), "--by", "kee"], &rest[..]].concat());
    assert!(error.contains("`kee`") && error.contains("key, word, view, kind"), "{error}");

    let missing = dir.path().join("missing.parquet");
    let error = fail(&[&["shuffle", text(&missing), "--by", "key"], &rest[..]].concat());
    assert!(error.contains("missing.parquet: "), "{error}");
    assert!(!out.exists(), "nothing is made for a shuffle that cannot start");
}

#[test]
fn too_little_memory_says_how_much_is_needed_and_that_is_enough() {
    let dir = on_disk();
    let [first, _] = inputs(dir.path());
    let run = |memory: &str, out: &str| {
        let out = dir.path().join(out);
        let arguments = ["shuffle", text(&first), "--by", "key", "--partitions", "200", "--tasks"];
        bywash(&[&arguments[..], &["2", "--memory", memory, "--out", text(&out)]].concat())
    };
    let output = run("100k", "a");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    let needed = error.split("at least ").nth(1).unwrap().split(' ').next().unwrap();
    let output = run(needed, "b");
    assert!(output.status.success(), "{needed}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_killed_shuffle_leaves_what_the_next_one_sweeps_or_refuses() {
    let dir = on_disk();
    let generated = dir.path().join("in");
    succeed(&["demo-generate", "--scale-factor", "0.1", "--files", "1", "--out", text(&generated)]);
    let input = generated.join("lineitem-000.parquet");
    let out = dir.path().join("out");
    let arguments = [
        "shuffle",
        text(&input),
        "--by",
        "l_orderkey",
        "--partitions",
        "50",
        "--memory",
        "8MiB",
        "--out",
        text(&out),
    ];
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_bywash"))
        .args(arguments)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Its first sign of life in the directory, or its end if that came first.
    while !fs::read_dir(&out).is_ok_and(|mut entries| entries.next().is_some())
        && child.try_wait().unwrap().is_none()
    {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();

    let names = || {
        let entries = fs::read_dir(&out).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    if names().iter().any(|name| name == "job.json" || name == "0.index") {
        fail(&arguments);
        return;
    }
    let file = dir.path().join("all.parquet");
    fail(&["collect", text(&out), "--out", text(&file)]);
    succeed(&arguments);
    let left = names();
    assert_eq!(left.len(), 4, "data, index, schema and job: {left:?}");
    succeed(&["demo-verify", text(&out), text(&input)]);
}

#[test]
fn a_column_with_a_comma_in_its_name_places_rows() {
    let dir = on_disk();
    let file = dir.path().join("small.parquet");
    let numbers = || Arc::new(Int64Array::from(vec![3, 1, 2]));
    write_parquet(&file, vec![("a", numbers()), ("b,c", numbers())], 10);
    let out = dir.path().join("out");
    let arguments = ["shuffle", text(&file), "--by", "b,c", "--by", "a", "--partitions", "3"];
    succeed(&[&arguments[..], &["--memory", "64MiB", "--out", text(&out)]].concat());
    // The check reads the names in job.json, each as it stands.
    let verified = succeed(&["demo-verify", text(&out), text(&file)]);
    assert!(verified.contains("\"first_difference\": null"), "{verified}");
}
