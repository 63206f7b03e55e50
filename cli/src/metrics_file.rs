//! `--metrics FILE`: the figures of a command at its end, for a scraper that collects text files.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bywash::Metrics;

use crate::failure::{At, Failure, Result};

/// Where the figures go.
#[derive(Debug)]
pub(crate) struct MetricsFile<'a> {
    path: &'a Path,
    dir: PathBuf,
}

impl<'a> MetricsFile<'a> {
    /// Refuses now what could not be written at the end. What is replaced must be a file: a rename
    /// over a device or a pipe would remove it.
    pub(crate) fn new(path: &'a Path) -> Result<Self> {
        let named = path.file_name().is_some();
        let replaceable = match std::fs::symlink_metadata(path) {
            Ok(found) => found.is_file(),
            Err(_) => named,
        };
        if !replaceable {
            return Err(Failure::new(format!(
                "{}: --metrics writes a file by renaming, and this is something else",
                path.display()
            )));
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = parent.unwrap_or_else(|| Path::new(".")).to_owned();
        if !dir.is_dir() {
            return Err(Failure::new(format!(
                "{}: --metrics needs a directory that is there",
                dir.display()
            )));
        }
        Ok(Self { path, dir })
    }

    /// Writes the figures beside the file and gives them its name: whoever reads it sees the old
    /// text or the new, never half.
    pub(crate) fn write(&self, metrics: &Metrics) -> Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".bywash-metrics-")
            // For scrapers run by other users; the process's mask applies.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&self.dir)
            .at(&self.dir)?;
        file.write_all(metrics.snapshot().prometheus().as_bytes()).at(&self.dir)?;
        file.persist(self.path).map_err(|error| error.error).at(self.path)?;
        Ok(())
    }
}
