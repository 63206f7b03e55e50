//! Spill and output directories for one test, with a look at what is left in them.
//!
//! They are on a disk, found the way a program finds its default: the system's directory for
//! temporary files may be memory, where spills are refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bywash::{
    FsStore, OutputDir, OutputOptions, SpillDirs, SpillOptions, Store, default_spill_dirs,
};
use tempfile::TempDir;

/// A fresh directory on a disk; gone with its handle.
pub fn on_disk() -> TempDir {
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let found = default_spill_dirs(&store).expect("a directory on a disk");
    tempfile::tempdir_in(&found.dirs[0]).expect("a temporary directory")
}

/// A fresh pair of directories; gone with this value.
#[derive(Debug)]
pub struct Dirs {
    /// Where runs go.
    pub spill: Arc<SpillDirs>,
    /// Where map outputs go.
    pub out: Arc<OutputDir>,
    root: TempDir,
}

impl Dirs {
    /// On the real store, with unnamed spill files.
    pub fn new() -> Self {
        Self::with_store(Arc::new(FsStore::new()), SpillOptions::default())
    }

    /// On `store`.
    pub fn with_store(store: Arc<dyn Store>, options: SpillOptions) -> Self {
        let root = on_disk();
        let path = root.path().join("out");
        let spills = [root.path().join("spill")];
        let spill =
            SpillDirs::open(Arc::clone(&store), &spills, options).expect("a spill directory");
        let out =
            OutputDir::open(store, &path, OutputOptions::default()).expect("an output directory");
        Self { spill, out, root }
    }

    /// The path of the output directory.
    pub fn out_path(&self) -> PathBuf {
        self.root.path().join("out")
    }

    /// Files under the spill directory, but for the locks of sessions.
    pub fn spill_files(&self) -> Vec<PathBuf> {
        files(&self.root.path().join("spill"))
    }

    /// Files under the output directory, but for the locks of sessions.
    pub fn out_files(&self) -> Vec<PathBuf> {
        files(&self.out_path())
    }

    /// Closes both and says what is left of the sessions then: nothing, if all is well.
    pub fn close(self) -> Vec<PathBuf> {
        let Self { spill, out, root } = self;
        drop((spill, out));
        let mut left = entries(&root.path().join("spill"));
        left.extend(entries(&root.path().join("out")).into_iter().filter(|path| path.is_dir()));
        left
    }
}

impl Default for Dirs {
    fn default() -> Self {
        Self::new()
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let (dirs, mut files): (Vec<_>, Vec<_>) =
        entries(dir).into_iter().partition(|path| path.is_dir());
    files.retain(|file| file.file_name().is_none_or(|name| !name.eq_ignore_ascii_case("lock")));
    files.extend(dirs.iter().flat_map(|dir| self::files(dir)));
    files
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .collect()
}
