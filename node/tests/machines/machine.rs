//! Machines to look at: each a text file of system files, unpacked into a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// One unpacked machine; gone when dropped.
pub(crate) struct Machine {
    dir: TempDir,
}

impl Machine {
    /// Unpacks `fixtures/NAME.txt`: a line `=== path` begins a file, what follows is in it.
    pub(crate) fn new(name: &str) -> Self {
        let text = fs::read_to_string(fixtures().join(format!("{name}.txt"))).unwrap();
        let machine = Self { dir: tempfile::tempdir().unwrap() };
        for part in text.split("=== ").skip(1) {
            let (path, content) = part.split_once('\n').unwrap();
            machine.write(path, content.as_bytes());
        }
        machine
    }

    /// The names of all.
    pub(crate) fn names() -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(fixtures())
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    }

    /// Where its `/` is.
    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Makes or replaces a file.
    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Made anew: some filesystems flush a file that is cut and written.
        drop(fs::remove_file(&path));
        fs::write(path, content).unwrap();
    }

    /// Every file it has, relative to its root.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut dirs = vec![self.root().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else {
                    files.push(path.strip_prefix(self.root()).unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}
