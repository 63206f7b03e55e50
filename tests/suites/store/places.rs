//! Directories on the filesystems at hand, and what is left in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bywash_spill::{FsStore, Store};
use bywash_tests::faults::FaultStore;

pub(crate) fn fs_store() -> Arc<dyn Store> {
    Arc::new(FsStore::new())
}

/// A double that fails nothing yet, also as the trait object that the library takes.
pub(crate) fn fault_store() -> (Arc<FaultStore>, Arc<dyn Store>) {
    let faults = Arc::new(FaultStore::new(fs_store()));
    let store: Arc<dyn Store> = Arc::<FaultStore>::clone(&faults);
    (faults, store)
}

/// Everything below `path`, sorted.
pub(crate) fn entries(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![path.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            found.push(entry.path().strip_prefix(path).unwrap().to_path_buf());
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// What [`entries`] finds in an empty directory.
pub(crate) const NOTHING: [PathBuf; 0] = [];
