//! `bywash sort`: Parquet files into one in order, against a sort of the rows as text.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::types::IntervalDayTime;
use arrow_array::{ArrayRef, Float64Array, Int64Array, IntervalDayTimeArray, StringArray};

use crate::kit::{bywash, fail, misuse, on_disk, report, rows, succeed, text, write_parquet};

/// Two files; a key of few values with nulls, a float, a payload, and a number that counts the rows.
fn inputs(dir: &Path, each: i64) -> [PathBuf; 2] {
    let paths = [dir.join("a.parquet"), dir.join("b.parquet")];
    for (path, first) in paths.iter().zip([0, each]) {
        let keys = (first..first + each).map(|row| (row % 13 != 0).then_some(row * 7 % 101));
        let floats = (first..first + each).map(|row| f64::from(i32::try_from(row % 17).unwrap()));
        let words = (first..first + each).map(|row| format!("{:0>60}", row * 31 % 1009));
        write_parquet(
            path,
            vec![
                ("key", Arc::new(keys.collect::<Int64Array>())),
                ("float", Arc::new(Float64Array::from_iter_values(floats))),
                ("word", Arc::new(words.map(Some).collect::<StringArray>())),
                ("number", Arc::new(Int64Array::from_iter_values(first..first + each))),
            ],
            700,
        );
    }
    paths
}

/// A row as its columns.
fn columns(row: &str) -> (Option<i64>, f64, String, i64) {
    let fields: Vec<&str> = row.split('|').collect();
    (
        fields[0].parse().ok(),
        fields[1].parse().unwrap(),
        fields[2].to_owned(),
        fields[3].parse().unwrap(),
    )
}

#[test]
fn sorts_files_within_a_budget() {
    let dir = on_disk();
    let inputs = inputs(dir.path(), 40_000);
    let out = dir.path().join("sorted.parquet");
    let (spills, one, other) = (dir.path().join("spills"), text(&inputs[0]), text(&inputs[1]));
    let metrics = dir.path().join("metrics.txt");
    let found = report(&[
        "sort",
        one,
        other,
        "--by",
        "key:desc,word,float:nulls-last",
        "--memory",
        "2MiB",
        "--dir",
        text(&spills),
        "--out",
        text(&out),
        "--metrics",
        text(&metrics),
        "--explain",
    ]);
    assert_eq!(found["rows"], 80_000);
    assert!(found["runs"].as_u64().unwrap() > 1, "{found}");
    assert!(found["granted_peak_bytes"].as_u64().unwrap() <= 2 << 20, "{found}");
    assert!(found["explain"].is_object(), "{found}");
    let spilled = found["spilled_bytes"].as_u64().unwrap();
    assert!(spilled > 0, "{found}");
    let metrics = fs::read_to_string(&metrics).unwrap();
    assert!(
        metrics.contains(&format!("\nbywash_sort_spilled_bytes_total {spilled}\n")),
        "{metrics}"
    );
    // Two sources of one figure, and a time that was taken at all.
    assert!(metrics.contains("\nbywash_sort_seconds_total{phase=\"sort\"} "), "{metrics}");
    assert!(
        !metrics.contains("\nbywash_sort_seconds_total{phase=\"sort\"} 0.000000000\n"),
        "{metrics}"
    );
    let left = fs::read_dir(&spills).unwrap().count();
    assert_eq!(left, 0, "nothing is left of the spills");

    let mut expected = [rows(&inputs[0]), rows(&inputs[1])].concat();
    expected.sort_by(|one, other| {
        let (one, other) = (columns(one), columns(other));
        // Descending with nulls last: nothing is below everything, and turned round.
        other.0.cmp(&one.0).then(one.2.cmp(&other.2)).then(one.1.total_cmp(&other.1))
    });
    assert_eq!(rows(&out), expected);

    // The same file again, in memory alone.
    let again = dir.path().join("again.parquet");
    let by = "key:desc,word,float:nulls-last";
    let found =
        report(&["sort", one, other, "--by", by, "--memory", "256MiB", "--out", text(&again)]);
    assert_eq!((found["runs"].as_u64(), found["passes"].as_u64()), (Some(0), Some(0)));
    assert_eq!(rows(&again), expected);
}

#[test]
fn finds_a_budget_and_follows_it() {
    let dir = on_disk();
    let inputs = inputs(dir.path(), 2000);
    let (one, out) = (text(&inputs[0]), dir.path().join("out.parquet"));
    let fixed = ["sort", one, "--by", "key", "--reserve", "1m", "--out", text(&out), "--memory"];
    let error = fail(&[&fixed[..], &["64MiB"]].concat());
    assert!(error.contains("--reserve goes with --memory auto"), "{error}");
    let found = report(&[&fixed[..], &["auto"]].concat());
    let auto = &found["auto"];
    assert_eq!(auto["reserve_bytes"], 1 << 20, "{auto}");
    assert_eq!(auto["found"]["bytes"], found["budget_bytes"], "{auto}");
    assert!(auto["polls"].as_u64().unwrap() > 0, "{auto}");
    assert_eq!(found["rows"], 2000);
    fs::remove_file(&out).unwrap();
    let said = succeed(&[&fixed[..], &["auto"]].concat());
    for line in ["  found  ", "  followed  ", "parquet readers   at most "] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn says_what_is_wrong_before_it_reads() {
    let dir = on_disk();
    let inputs = inputs(dir.path(), 10);
    let (one, out) = (text(&inputs[0]), dir.path().join("out.parquet"));
    let sort = |by: &str, memory: &str| {
        fail(&["sort", one, "--by", by, "--memory", memory, "--out", text(&out)])
    };
    let error = sort("kye", "64MiB");
    assert!(error.contains("`kye`") && error.contains("key, float, word, number"), "{error}");
    let error = sort("key", "10KiB");
    assert!(error.contains("give at least"), "{error}");
    assert!(sort(":desc", "64MiB").contains("COL:desc"));
    for by in ["key:up", "key:asc:desc", "key:desc:up"] {
        let error = sort(by, "64MiB");
        let words = ["asc and desc", "nulls-first and nulls-last"];
        assert!(error.contains(by) && words.iter().all(|word| error.contains(word)), "{error}");
    }
    assert!(!out.exists());
    let below =
        |memory: &str| misuse(&["sort", one, "--by", "key", "--memory", memory, "--out", "x"]);
    assert!(below("-1").contains("`-1` is not a size"), "{}", below("-1"));
    let nowhere = dir.path().join("nowhere");
    let file = nowhere.join("out.parquet");
    let error = fail(&["sort", one, "--by", "key", "--memory", "8MiB", "--out", text(&file)]);
    let named = format!("{} takes no file", nowhere.display());
    assert!(error.contains(&named) && !error.contains(".bywash-"), "{error}");
    let error = fail(&[
        "sort",
        one,
        "--by",
        "key",
        "--memory",
        "8MiB",
        "--out",
        text(&out),
        "--spill-dir",
        one,
    ]);
    assert!(error.contains(&format!("--spill-dir {one}: cannot be made a directory")), "{error}");

    succeed(&["sort", one, "--by", "key:nulls-last", "--memory", "8MiB", "--out", text(&out)]);
    let before = fs::read(&out).unwrap();
    let error = sort("key", "8MiB");
    assert!(error.contains("is there already"), "{error}");
    assert_eq!(fs::read(&out).unwrap(), before);
    assert!(bywash(&["help", "sort"]).status.success());
}

#[test]
fn sorts_by_columns_with_commas_and_colons_in_their_names() {
    let dir = on_disk();
    let path = dir.path().join("in.parquet");
    let numbers = |values: [i64; 4]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    let columns = vec![
        ("a", numbers([1, 2, 1, 2])),
        ("b:desc", numbers([3, 4, 4, 3])),
        ("c,d", numbers([1, 2, 3, 4])),
    ];
    write_parquet(&path, columns, 10);
    let out = dir.path().join("out.parquet");
    let run = |by: &[&str]| -> Vec<String> {
        let by = by.iter().flat_map(|by| ["--by", by]);
        let fixed = ["sort", text(&path), "--memory", "8MiB", "--out", text(&out)];
        succeed(&fixed.into_iter().chain(by).collect::<Vec<_>>());
        let found = rows(&out).into_iter().map(|row| row.rsplit_once('|').unwrap().1.to_owned());
        let found = found.collect();
        fs::remove_file(&out).unwrap();
        found
    };
    assert_eq!(run(&["c,d"]), ["1", "2", "3", "4"]);
    assert_eq!(run(&["c,d:desc"]), ["4", "3", "2", "1"]);
    assert_eq!(run(&["a,b:desc"]), ["1", "3", "4", "2"]);
    assert_eq!(run(&["a:desc", "c,d:desc"]), ["4", "2", "3", "1"]);
    assert_eq!(run(&["b:desc:desc,a"]), ["3", "2", "1", "4"]);
    let error = fail(&["sort", text(&path), "--memory", "8MiB", "--out", "x", "--by", "a,c,d"]);
    assert!(error.contains("`c`") && error.contains("--by a --by b,c"), "{error}");
}

#[test]
fn names_the_column_that_has_no_order() {
    let dir = on_disk();
    let path = dir.path().join("in.parquet");
    let waits = IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, 2)]);
    write_parquet(&path, vec![("wait", Arc::new(waits))], 10);
    let error =
        fail(&["sort", text(&path), "--by", "wait", "--memory", "8MiB", "--out", text(&path)]);
    assert!(error.contains("no order to sort by; cast it: wait Interval("), "{error}");
}

#[test]
fn refuses_what_cannot_be_a_file_before_it_reads() {
    let dir = on_disk();
    let inputs = inputs(dir.path(), 10);
    let bytes = fs::read(&inputs[0]).unwrap();
    // Reading any of it would fail: only the footer is left.
    let footer = u32::from_le_bytes(bytes[bytes.len() - 8..][..4].try_into().unwrap());
    let pages = bytes.len() - 8 - usize::try_from(footer).unwrap();
    let damaged = [&vec![0xff; pages][..], &bytes[pages..]].concat();
    fs::write(&inputs[0], damaged).unwrap();
    let long = "n".repeat(256);
    for (name, why) in [
        ("foo.parquet/", "names a directory"),
        ("new/.", "names a directory"),
        ("new/..", "names a directory"),
        ("a.parquet/foo.parquet", "cannot be the name of a file"),
        (&long, "cannot be the name of a file"),
    ] {
        let out = format!("{}/{name}", dir.path().display());
        for command in ["sort", "group"] {
            let by = ["--by", "key", "--memory", "8MiB", "--out", &out];
            let error = fail(&[&[command, text(&inputs[0])], &by[..]].concat());
            assert!(error.contains(&format!("--out {out} ")) && error.contains(why), "{error}");
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left");
}
