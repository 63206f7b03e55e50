//! The import table of ARCHITECTURE.md, checked against what cargo resolved.
//!
//! Who may use whom is what keeps each crate usable alone: core without an operating system, spill
//! without a network, the library without an engine or Parquet.

#![expect(clippy::unwrap_used, reason = "a broken manifest should stop the test where it is read")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The crates of the table and all they may depend on, development apart.
const TABLE: &[(&str, &[&str])] = &[
    (
        "bywash-core",
        &[
            "arrow-array",
            "arrow-buffer",
            "arrow-data",
            "arrow-schema",
            "bytemuck",
            "crc32c",
            "half",
            "libc",
            "lz4_flex",
            "lz4-sys",
            // Under cfg(shuttle) only.
            "shuttle",
            "twox-hash",
            "zstd-sys",
        ],
    ),
    (
        "bywash-spill",
        &[
            "arrow-array",
            "arrow-schema",
            "bytemuck",
            "bywash-core",
            "bywash-node",
            "crc32c",
            "rustix",
        ],
    ),
    ("bywash-node", &["bywash-core", "rustix"]),
    ("bywash", &["bywash-core", "bywash-node", "bywash-spill"]),
    (
        "bywash-ffi",
        &[
            "arrow-array",
            "arrow-buffer",
            "arrow-data",
            "arrow-schema",
            "bywash",
            "rustix",
            "serde_json",
        ],
    ),
    (
        "bywash-cli",
        &[
            "arrow-array",
            "arrow-cast",
            "arrow-schema",
            "arrow-select",
            "bywash",
            "clap",
            "indicatif",
            "libc",
            "parquet",
            "serde",
            "serde_json",
            "tempfile",
            "tpchgen",
            "tpchgen-arrow",
            "twox-hash",
        ],
    ),
];

/// Crates that may depend on anything, and that nothing published may depend on.
const UNPUBLISHED: &[&str] = &["bywash-tests", "bywash-benches", "bywash-fuzz"];

#[test]
fn crates_import_only_what_the_table_allows() {
    let metadata = metadata();
    let mut seen = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        seen.insert(name);
        let published = package["publish"].is_null();
        assert_eq!(published, !UNPUBLISHED.contains(&name), "{name}: publish");
        let Some((_, allowed)) = TABLE.iter().find(|(crate_name, _)| *crate_name == name) else {
            assert!(UNPUBLISHED.contains(&name), "{name} is not in the table: add it there");
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            if dependency["kind"] == "dev" {
                continue;
            }
            let dependency = dependency["name"].as_str().unwrap();
            assert!(allowed.contains(&dependency), "{name} may not use {dependency}");
        }
    }
    for (name, _) in TABLE {
        assert!(seen.contains(name), "{name} is in the table and not in the workspace");
    }
}

#[test]
fn one_arrow_major_is_in_the_tree() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut majors = BTreeSet::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let prefix = format!("{name} = \"");
            let line = package.lines().find_map(|line| line.strip_prefix(&prefix));
            line.unwrap().trim_end_matches('"').to_owned()
        };
        let name = field("name");
        if name == "parquet" || name == "arrow" || name.starts_with("arrow-") {
            majors.insert(field("version").split('.').next().unwrap().to_owned());
        }
    }
    assert_eq!(majors.len(), 1, "{majors:?}");
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--no-deps"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
