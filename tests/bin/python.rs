//! A Python to ask.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One that has duckdb: what BYWASH_PYTHON names, the one that ffi/tests/python/install makes, or the system's.
pub(crate) fn with_duckdb() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let candidates = [
        std::env::var_os("BYWASH_PYTHON").map(PathBuf::from),
        Some(root.join("target/python/bin/python")),
        Some(PathBuf::from("python3")),
    ];
    candidates.into_iter().flatten().find(|python| {
        let found = Command::new(python).args(["-c", "import duckdb"]).output();
        found.is_ok_and(|output| output.status.success())
    })
}
