//! Where to spill when nobody says: the one place of the library that reads the environment.
//!
//! On Debian 13 and Fedora /tmp is memory, where spilling frees nothing; so every candidate is
//! looked at, and the first one on a disk is taken.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bywash_core::{Error, ErrorKind, Result};
use bywash_spill::{Store, UnusedDir, check_disk_backed};

/// The directories to spill to when none are given, and those that were looked at in vain.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DefaultSpillDirs {
    /// On a disk and writable: all such of `BYWASH_SPILL_DIRS`, or one of the system's.
    pub dirs: Vec<PathBuf>,
    /// Looked at before and not taken.
    pub passed_over: Vec<UnusedDir>,
}

/// Finds the directories to spill to: every one on a disk of `BYWASH_SPILL_DIRS` (paths separated
/// by commas or colons; made if missing), else the first on a disk of /var/tmp, the system's
/// directory for temporary files (`TMPDIR`) and the working directory.
///
/// Set-up: reads the environment, makes and removes a session in the directories, allocates.
///
/// # Errors
/// `NotFound` when there is none, saying of each what it is and why it was not taken.
pub fn default_spill_dirs(store: &Arc<dyn Store>) -> Result<DefaultSpillDirs> {
    let listed = std::env::var_os(VARIABLE).unwrap_or_default();
    let mut system = vec![PathBuf::from("/var/tmp"), std::env::temp_dir()];
    system.extend(std::env::current_dir());
    choose(store, &paths_in(&listed), &system)
}

fn choose(
    store: &Arc<dyn Store>,
    listed: &[PathBuf],
    system: &[PathBuf],
) -> Result<DefaultSpillDirs> {
    let mut found = DefaultSpillDirs { dirs: Vec::new(), passed_over: Vec::new() };
    for path in listed {
        found.consider(path, check_disk_backed(store, path).map(drop));
    }
    for path in system {
        if !found.dirs.is_empty() {
            break;
        }
        // What the system does not have is not made.
        let is_there = store.open_dir(path).map(drop);
        found.consider(path, is_there.and_then(|()| check_disk_backed(store, path).map(drop)));
    }
    if !found.dirs.is_empty() {
        return Ok(found);
    }
    let why = |unused: &UnusedDir| format!("{}: {}", unused.path.display(), unused.error);
    let each: Vec<String> = found.passed_over.iter().map(why).collect();
    Err(Error::new(ErrorKind::NotFound, NONE).with_detail(each.join("; ")))
}

impl DefaultSpillDirs {
    fn consider(&mut self, path: &Path, checked: Result<()>) {
        let path = path.to_path_buf();
        match checked {
            Ok(()) => self.dirs.push(path),
            Err(error) => self.passed_over.push(UnusedDir::new(path, error)),
        }
    }
}

fn paths_in(listed: &OsStr) -> Vec<PathBuf> {
    let paths = listed.as_bytes().split(|byte| matches!(byte, b',' | b':'));
    paths.filter(|path| !path.is_empty()).map(|path| OsStr::from_bytes(path).into()).collect()
}

const VARIABLE: &str = "BYWASH_SPILL_DIRS";
const NONE: &str = "no directory on a disk was found to spill to; set BYWASH_SPILL_DIRS to one";

#[cfg(test)]
mod tests {
    use super::*;
    use bywash_spill::FsStore;

    #[test]
    fn a_list_is_separated_by_commas_or_colons() {
        let paths = |text: &str| paths_in(OsStr::new(text));
        assert_eq!(paths("/a,/b:/c"), ["/a", "/b", "/c"].map(PathBuf::from));
        assert_eq!(paths(",/a::"), [PathBuf::from("/a")]);
        assert!(paths("").is_empty());
    }

    #[test]
    fn none_is_an_error_that_says_why_of_each() {
        let store: Arc<dyn Store> = Arc::new(FsStore::new());
        let gone = PathBuf::from("gone");
        let listed = [PathBuf::from("Cargo.toml")];
        let error = choose(&store, &listed, std::slice::from_ref(&gone)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = error.to_string();
        assert!(text.contains("Cargo.toml: ") && text.contains("gone: "), "{text}");
        assert!(!gone.exists(), "what the system does not have is not made");
    }

    #[test]
    fn all_that_are_listed_are_taken_and_then_none_of_the_systems() {
        let store: Arc<dyn Store> = Arc::new(FsStore::new());
        let here = default_spill_dirs(&store).unwrap().dirs.remove(0);
        let root = tempfile::tempdir_in(here).unwrap();
        let listed = ["a", "b"].map(|name| root.path().join(name));
        let system = [root.path().to_path_buf()];
        let with_a_file = [listed.as_slice(), &[PathBuf::from("Cargo.toml")]].concat();
        let found = choose(&store, &with_a_file, &system).unwrap();
        assert_eq!(found.dirs, listed);
        assert_eq!(found.passed_over.len(), 1);
        let found = choose(&store, &[], &system).unwrap();
        assert_eq!(found.dirs, system);
        drop(found);
        let left = std::fs::read_dir(root.path().join("a")).unwrap().count();
        assert_eq!(left, 0, "the look leaves nothing");
    }
}
