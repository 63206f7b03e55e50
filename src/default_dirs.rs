//! Where to spill when nobody says: the one place of the library that reads the environment.
//!
//! On Debian 13 and Fedora /tmp is memory, where spilling frees nothing; so every candidate is
//! looked at, and the first one on a disk is taken.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use bywash_core::{Error, ErrorKind, Result};
use bywash_spill::{Store, UnusedDir, check_disk_backed};

/// The directories to spill to when none are given.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DefaultSpillDirs {
    /// On a disk and writable: all such of `BYWASH_SPILL_DIRS`, or one of the system's.
    pub dirs: Vec<PathBuf>,
    /// Those of `BYWASH_SPILL_DIRS` that were not taken, and why.
    pub unused: Vec<UnusedDir>,
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
    let mut dirs = Vec::new();
    let mut unused = Vec::new();
    for path in listed {
        match check_disk_backed(store, path) {
            Ok(_) => dirs.push(path.clone()),
            Err(error) => unused.push(UnusedDir::new(path.clone(), error)),
        }
    }
    if !dirs.is_empty() {
        return Ok(DefaultSpillDirs { dirs, unused });
    }
    let mut passed_over = unused.clone();
    for path in system {
        // What the system does not have is not made.
        match store.open_dir(path).and_then(|_| check_disk_backed(store, path)) {
            Ok(_) => return Ok(DefaultSpillDirs { dirs: vec![path.clone()], unused }),
            Err(error) => passed_over.push(UnusedDir::new(path.clone(), error)),
        }
    }
    let why = |unused: &UnusedDir| format!("{}: {}", unused.path.display(), unused.error);
    let each: Vec<String> = passed_over.iter().map(why).collect();
    Err(Error::new(ErrorKind::NotFound, NONE).with_detail(each.join("; ")))
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
        assert_eq!(found.unused.len(), 1);
        assert_eq!(choose(&store, &[], &system).unwrap().dirs, system);
        let left = std::fs::read_dir(root.path().join("a")).unwrap().count();
        assert_eq!(left, 0, "the look leaves nothing");
    }
}
