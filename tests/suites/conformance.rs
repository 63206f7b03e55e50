//! Every test that docs/CONFORMANCE.md names is there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// Names are in the tables' code marks, segments joined by `::`. The first is a package's folder, or a suite here;
/// the last is a function; those between are in the path of the file.
#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/CONFORMANCE.md")).unwrap();
    let mut files = Vec::new();
    for folder in ["core/src", "spill/src", "cli/tests", "cli/src", "fuzz/fuzz_targets", "tests"] {
        rust_files(&root.join(folder), &root, &mut files);
    }
    let mut names = 0;
    for (number, line) in (1..).zip(page.lines()).filter(|(_, line)| line.starts_with('|')) {
        for name in line.split('`').skip(1).step_by(2).filter(|code| code.contains("::")) {
            let mut path: Vec<&str> = name.split("::").collect();
            let function = format!("fn {}(", path.pop().unwrap());
            let found = files.iter().any(|(file, text)| {
                path.iter().all(|segment| file.contains(&format!("/{segment}/")))
                    && text.contains(&function)
            });
            assert!(found, "docs/CONFORMANCE.md:{number}: there is no test {name}");
            names += 1;
        }
    }
    assert!(names > 100, "{names} names: is it read as it is written?");
}

/// Files under `folder`, each with its path from `root` as `/segment/segment/`.
fn rust_files(folder: &Path, root: &Path, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, root, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let place = path.strip_prefix(root).unwrap().with_extension("");
            let segments = place.to_str().unwrap();
            files.push((format!("/{segments}/"), std::fs::read_to_string(&path).unwrap()));
        }
    }
}
