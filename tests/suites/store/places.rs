//! Directories on the filesystems at hand, and what is left in them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use bywash_spill::{FsStore, Store};
use bywash_tests::faults::FaultStore;

/// A filesystem made for a test, unmounted at its end.
#[derive(Debug)]
pub(crate) struct Mounted {
    at: tempfile::TempDir,
    _image: tempfile::TempDir,
}

impl Mounted {
    /// `None`, with a loud line, where this machine does not let us.
    pub(crate) fn tmpfs(size: &str) -> Option<Self> {
        Self::mount("tmpfs", |at, _| {
            let size = format!("size={size}");
            run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(at))
        })
    }

    /// As [`Mounted::tmpfs`].
    pub(crate) fn ext4(size: &str) -> Option<Self> {
        Self::mount("ext4", |at, image| {
            run(Command::new("truncate").args(["-s", size]).arg(image))?;
            run(Command::new("mkfs.ext4").arg("-q").arg(image))?;
            run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(at))
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.at.path()
    }

    fn mount(kind: &str, mount: impl FnOnce(&Path, &Path) -> Result<(), String>) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let image = tempfile::tempdir().unwrap();
        match mount(at.path(), &image.path().join("image")) {
            Ok(()) => Some(Self { at, _image: image }),
            Err(error) => {
                let why = format!("no {kind} could be mounted (needs root): {error}");
                bywash_tests::skipped("store contract", &why);
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("umount").arg("-l").arg(self.at.path())) {
            eprintln!("a test filesystem stays mounted: {error}");
        }
    }
}

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

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// What [`entries`] finds in an empty directory.
pub(crate) const NOTHING: [PathBuf; 0] = [];
