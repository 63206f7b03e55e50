//! `bywash group` against a map.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int64Array, StringArray};
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::kit::{fail, on_disk, report, rows, sorted, succeed, text, write_parquet};

#[test]
fn groups_are_those_of_a_map_and_the_budget_holds() {
    let dir = on_disk();
    let path = dir.path().join("in.parquet");
    let count = 200_000i64;
    let keys: Vec<i64> = (0..count).map(|row| row * 7919 % 60_013).collect();
    let names: Vec<Option<String>> =
        keys.iter().map(|key| (key % 5 != 0).then(|| format!("n{}", key % 7))).collect();
    let values: Vec<Option<i64>> =
        (0..count).map(|row| (row % 3 != 0).then_some(row - 1000)).collect();
    let floats: Vec<f64> =
        (0..count).map(|row| f64::from(i32::try_from(row % 100).unwrap())).collect();
    write_parquet(
        &path,
        vec![
            ("key", Arc::new(Int64Array::from(keys.clone()))),
            ("name", Arc::new(names.iter().collect::<StringArray>())),
            ("value", Arc::new(Int64Array::from(values.clone()))),
            ("float", Arc::new(Float64Array::from(floats.clone()))),
        ],
        20_000,
    );
    let mut groups = BTreeMap::<_, Vec<usize>>::new();
    for (row, (key, name)) in keys.iter().zip(&names).enumerate() {
        groups.entry((*key, name.clone())).or_default().push(row);
    }
    let expected: Vec<String> = groups
        .iter()
        .map(|((key, name), rows)| {
            let there: Vec<i64> = rows.iter().filter_map(|row| values[*row]).collect();
            let or_null =
                |value: Option<i64>| value.map_or_else(|| "<null>".into(), |v| v.to_string());
            format!(
                "{key}|{}|{}|{:?}|{}|{}|{}|{}",
                name.as_deref().unwrap_or("<null>"),
                or_null((!there.is_empty()).then(|| there.iter().sum())),
                rows.iter().map(|row| floats[*row]).sum::<f64>(),
                or_null(there.iter().min().copied()),
                or_null(there.iter().max().copied()),
                there.len(),
                rows.len()
            )
        })
        .collect();
    let fixed = [
        "group",
        text(&path),
        "--by",
        "key,name",
        "--sum",
        "value,float",
        "--min",
        "value",
        "--max",
        "value",
        "--count",
        "value",
        "--count-rows",
    ];
    for (memory, spills) in [("3MiB", true), ("256MiB", false)] {
        let out = dir.path().join(format!("{memory}.parquet"));
        let args = ["--memory", memory, "--dir", text(dir.path()), "--out", text(&out)];
        let report = report(&[&fixed[..], &args].concat());
        assert_eq!(report["rows"], count);
        assert_eq!(report["groups"], expected.len());
        assert_eq!(report["spills"].as_u64().unwrap() > 0, spills, "{report}");
        assert!(report["granted_peak_bytes"].as_u64() <= report["budget_bytes"].as_u64());
        assert_eq!(sorted(rows(&out)), sorted(expected.clone()));
    }
    let out = dir.path().join("text.parquet");
    let said = succeed(
        &[&fixed[..], &["--memory", "8MiB"], &["--dir", text(dir.path()), "--out", text(&out)]]
            .concat(),
    );
    assert!(said.contains("groups            "), "{said}");
}

#[test]
fn what_is_wrong_is_said_before_anything_is_read() {
    let dir = on_disk();
    let path = dir.path().join("in.parquet");
    write_parquet(&path, vec![("name", Arc::new(StringArray::from(vec!["a"])))], 10);
    let out = dir.path().join("out.parquet");
    let run = |more: &[&str]| {
        fail(&[&["group", text(&path), "--by", "name", "--out", text(&out)], more].concat())
    };
    assert!(run(&["--memory", "64KiB"]).contains("give at least "));
    assert!(run(&["--memory", "8MiB", "--sum", "name"]).contains("cannot be summed"));
    assert!(run(&["--memory", "8MiB", "--min", "other"]).contains("there is no column `other`"));
    assert!(run(&["--memory", "8MiB", "--reserve", "1m"]).contains("goes with --memory auto"));
    assert!(!out.exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nor is a part of it left");

    // With an input that cannot be read, what is there already is what is said.
    fs::write(&out, "precious").unwrap();
    damage(&path);
    assert!(run(&["--memory", "8MiB"]).contains("is there already"));
    assert_eq!(fs::read_to_string(&out).unwrap(), "precious");
    assert!(succeed(&["group", "--help"]).contains("never over one that is there"));
}

/// Overwrites the pages of a Parquet file and leaves the footer.
fn damage(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let length = bytes.len();
    let footer = u32::from_le_bytes(bytes[length - 8..length - 4].try_into().unwrap());
    let pages = length - 8 - usize::try_from(footer).unwrap();
    bytes[4..pages].fill(0xff);
    fs::write(path, bytes).unwrap();
}

#[test]
fn columns_that_come_out_have_names_of_their_own() {
    let dir = on_disk();
    let path = dir.path().join("in.parquet");
    let numbers = || -> ArrayRef { Arc::new(Int64Array::from(vec![7, 7])) };
    write_parquet(&path, vec![("count", numbers()), ("sum(n)", numbers()), ("n", numbers())], 10);
    let out = dir.path().join("out.parquet");
    succeed(&[
        "group",
        text(&path),
        "--by",
        "count,sum(n)",
        "--sum",
        "n,n",
        "--count-rows",
        "--memory",
        "8MiB",
        "--out",
        text(&out),
    ]);
    let file = SerializedFileReader::new(File::open(&out).unwrap()).unwrap();
    let columns = file.metadata().file_metadata().schema_descr().columns().to_vec();
    let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
    assert_eq!(names, ["count", "sum(n)", "sum(n)_2", "sum(n)_3", "count_2"]);
    assert_eq!(rows(&out), ["7|7|14|14|2"]);
}

#[test]
fn finds_a_budget_and_follows_it() {
    let dir = on_disk();
    let path = dir.path().join("in.parquet");
    let keys = Int64Array::from_iter_values(0..50_000);
    write_parquet(&path, vec![("key", Arc::new(keys))], 5000);
    let out = dir.path().join("out.parquet");
    let found = report(&[
        "group",
        text(&path),
        "--by",
        "key",
        "--memory",
        "auto",
        "--reserve",
        "1m",
        "--out",
        text(&out),
    ]);
    assert_eq!(found["groups"], 50_000, "{found}");
    assert_eq!(found["auto"]["found"]["bytes"], found["budget_bytes"], "{found}");
    assert!(found["auto"]["polls"].as_u64().unwrap() > 0, "{found}");
}

#[test]
fn columns_with_commas_in_their_names_have_options_of_their_own() {
    let dir = on_disk();
    let path = dir.path().join("in.parquet");
    let numbers = || -> ArrayRef { Arc::new(Int64Array::from(vec![7, 7])) };
    write_parquet(&path, vec![("a", numbers()), ("b,c", numbers()), ("n", numbers())], 10);
    let out = dir.path().join("out.parquet");
    let fixed = ["group", text(&path), "--memory", "8MiB", "--out", text(&out)];
    let more = ["--by", "b,c", "--by", "a,n", "--sum", "b,c", "--max", "a,n"];
    succeed(&[&fixed[..], &more].concat());
    assert_eq!(rows(&out), ["7|7|7|14|7|7"]);
    fs::remove_file(&out).unwrap();
    let error = fail(&[&fixed[..], &["--by", "a,b,c"]].concat());
    assert!(error.contains("`b`") && error.contains("--by a --by b,c"), "{error}");
}

#[test]
fn a_sum_of_too_many_digits_names_its_column() {
    let dir = on_disk();
    let path = dir.path().join("in.parquet");
    let most = Decimal128Array::from(vec![10i128.pow(38) - 1; 2]);
    let most = most.with_precision_and_scale(38, 0).unwrap();
    let keys = Int64Array::from(vec![1, 1]);
    write_parquet(&path, vec![("key", Arc::new(keys)), ("price", Arc::new(most))], 10);
    let out = dir.path().join("out.parquet");
    let args = ["--by", "key", "--sum", "price", "--memory", "8MiB", "--out", text(&out)];
    let error = fail(&[&["group", text(&path)], &args[..]].concat());
    assert!(error.contains("column `price`: a sum has more than 38 digits"), "{error}");
    assert!(error.contains("cast the column to doubles first"), "{error}");
}
