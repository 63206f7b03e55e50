//! Placement by hash equals real Spark's, for every type that Spark hashes; the types that Spark
//! does not have are placed as `docs/PARTITIONING.md` says. `tests/spark/README.md` says how the
//! vectors were made.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test prints its figures and fails by panicking"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, Schema};
use arrow_select::concat::concat;
use bywash_core::partition::{SparkHash, pmod};
use serde_json::Value;

#[path = "spark_placement/values.rs"]
mod values;
#[path = "spark_placement/widened.rs"]
mod widened;

use values::{Column, arrays, index, list, text};

const VERSIONS: [&str; 2] = ["3.5", "4.1"];

#[test]
fn equals_real_spark() {
    for version in VERSIONS {
        let file = vectors(version);
        assert!(text(&file["spark"]).starts_with(&format!("{version}.")), "{}", file["spark"]);
        let mut checked = Checked::default();
        for table in list(&file["tables"]) {
            check_table(table, &mut checked);
        }
        assert!(checked.hashes > 9_000, "{checked:?}");
        assert!(checked.ids > 8_000, "{checked:?}");
        assert_eq!(
            (checked.partitions.first(), checked.partitions.last()),
            (Some(&1), Some(&10_000))
        );
    }
}

/// A difference between the versions would need a rule per version: none is known.
#[test]
fn every_version_answers_the_same() {
    let [old, new] = VERSIONS.map(|version| list(&vectors(version)["tables"]).to_vec());
    let added: Vec<_> = new.iter().filter(|table| !old.contains(table)).collect();
    assert_eq!(old.len() + added.len(), new.len());
    assert!(added.iter().all(|table| table["name"] == "time"), "{} tables differ", added.len());
}

/// The first table of the documentation names what the vectors cover.
#[test]
fn documented_rules_are_covered() {
    let mut covered = BTreeSet::new();
    for version in VERSIONS {
        let file = vectors(version);
        for column in list(&file["tables"]).iter().flat_map(|table| list(&table["columns"])) {
            let spark_type = text(&column["type"]).split('(').next().unwrap();
            let rules = arrays(column).into_iter().filter(|form| form.is_rule);
            covered.extend(rules.map(|form| (form.name, spark_type.to_owned())));
        }
    }
    assert_eq!(documented("## Types with a rule in Spark"), covered);
}

#[derive(Debug, Default)]
struct Checked {
    hashes: usize,
    ids: usize,
    partitions: BTreeSet<u32>,
}

fn check_table(table: &Value, checked: &mut Checked) {
    let forms: Vec<Vec<Column>> = list(&table["columns"]).iter().map(arrays).collect();
    // Each Spark type can arrive as several Arrow types: as many rounds as the most have.
    for round in 0..forms.iter().map(Vec::len).max().unwrap() {
        let columns: Vec<ArrayRef> =
            forms.iter().map(|forms| Arc::clone(&forms[round % forms.len()].array)).collect();
        // The same rows once more, so that reading starts inside the buffers.
        let twice: Vec<ArrayRef> =
            columns.iter().map(|column| concat(&[column, column]).unwrap()).collect();
        let rows = columns[0].len();
        let sliced: Vec<ArrayRef> = twice.iter().map(|column| column.slice(rows, rows)).collect();
        for (columns, start) in [(&columns, 0), (&twice, rows), (&sliced, 0)] {
            check(table, columns, start, rows);
        }
    }
    for asked in list(&table["hashes"]) {
        checked.hashes += list(&asked["hash"]).len();
    }
    for asked in list(&table["placements"]) {
        checked.ids += list(&asked["ids"]).len();
        checked.partitions.insert(u32::try_from(index(&asked["partitions"])).unwrap());
    }
}

fn check(table: &Value, columns: &[ArrayRef], start: usize, rows: usize) {
    let types: Vec<_> = columns.iter().map(|column| column.data_type()).collect();
    let place = |by: &Value| format!("{} {types:?} by {by}", table["name"]);
    let mut out = vec![0; rows];
    for asked in list(&table["hashes"]) {
        hasher(columns, &asked["by"]).hash(columns, start, &mut out);
        let expected: Vec<i64> = list(&asked["hash"]).iter().map(|v| v.as_i64().unwrap()).collect();
        let found: Vec<i64> = out.iter().map(|hash| i64::from(hash.cast_signed())).collect();
        assert_eq!(found, expected, "{}", place(&asked["by"]));
    }
    for asked in list(&table["placements"]) {
        let partitions = u32::try_from(index(&asked["partitions"])).unwrap();
        let hasher = hasher(columns, &asked["by"]);
        let expected: Vec<u64> = list(&asked["ids"]).iter().map(|v| v.as_u64().unwrap()).collect();
        hasher.partition_ids(columns, start, partitions, &mut out);
        let found: Vec<u64> = out.iter().map(|id| u64::from(*id)).collect();
        assert_eq!(found, expected, "{} among {partitions}", place(&asked["by"]));
        hasher.hash(columns, start, &mut out);
        let found: Vec<u64> = out.iter().map(|hash| u64::from(pmod(*hash, partitions))).collect();
        assert_eq!(found, expected, "{} among {partitions}, by pmod", place(&asked["by"]));
    }
}

fn hasher(columns: &[ArrayRef], by: &Value) -> SparkHash {
    let by: Vec<usize> = list(by).iter().map(index).collect();
    SparkHash::try_new(&schema_of(columns), &by).unwrap()
}

fn schema_of(columns: &[ArrayRef]) -> Schema {
    let field = |column: &ArrayRef| Field::new("c", DataType::clone(column.data_type()), true);
    Schema::new(columns.iter().map(field).collect::<Vec<_>>())
}

/// The first two columns of the table under a heading of the documentation.
fn documented(heading: &str) -> BTreeSet<(String, String)> {
    let page = std::fs::read_to_string(root().join("docs/PARTITIONING.md")).unwrap();
    let section = page.split(heading).nth(1).unwrap().split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    rows.map(|row| row.split('|').skip(1).map(cell))
        .map(|mut cells| (cells.next().unwrap(), cells.next().unwrap()))
        .collect()
}

fn vectors(version: &str) -> Value {
    let path = root().join(format!("tests/spark/vectors-{version}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
