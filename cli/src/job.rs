//! `job.json`: what a finished shuffle is, written last. A directory without it is not a shuffle.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::failure::{At, Failure, Result};
use crate::input::Piece;

/// A finished shuffle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Job {
    /// Version of this file.
    pub version: u32,
    /// Columns whose hash placed the rows.
    pub by: Vec<String>,
    /// Number of partitions.
    pub partitions: u32,
    /// Codec of the blocks.
    pub codec: String,
    /// Fingerprint of the schema, as in the name of the schema file.
    pub schema_fingerprint: String,
    /// Rows in all map outputs.
    pub rows: u64,
    /// Bytes in all map outputs.
    pub bytes: u64,
    /// The map outputs, in order.
    pub map_outputs: Vec<JobMap>,
}

/// A map output of a finished shuffle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobMap {
    /// Map id.
    pub map: u64,
    /// The attempt that was committed.
    pub attempt: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// What it was made of, in order.
    pub inputs: Vec<Piece>,
}

impl Job {
    /// Reads the job of a directory.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let path = path_in(dir);
        let text = fs::read(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::new(format!(
                "{}: has no {NAME}, so no shuffle finished there; run `bywash shuffle --out` to it",
                dir.display()
            )),
            _ => Failure::new(format!("{}: {error}", path.display())),
        })?;
        let job: Self = serde_json::from_slice(&text).at(&path)?;
        if job.version != VERSION {
            return Err(Failure::new(format!(
                "{}: is of version {}; this program reads version {VERSION}",
                path.display(),
                job.version
            )));
        }
        Ok(job)
    }

    /// Publishes the job: a temporary file, synced, then named; never over another job.
    pub(crate) fn publish(&self, dir: &Path) -> Result<()> {
        let path = path_in(dir);
        let mut file = tempfile::Builder::new().prefix(".job-").tempfile_in(dir).at(dir)?;
        let mut text = serde_json::to_vec_pretty(self).at(&path)?;
        text.push(b'\n');
        file.write_all(&text).at(&path)?;
        file.as_file().sync_all().at(&path)?;
        file.persist_noclobber(&path).map_err(|error| error.error).at(&path)?;
        Ok(())
    }
}

/// Fails if a directory holds a shuffle, finished or not: its map outputs would be taken for ours.
pub(crate) fn refuse_used(dir: &Path) -> Result<()> {
    if path_in(dir).symlink_metadata().is_ok() {
        return Err(Failure::new(format!(
            "{}: holds a finished shuffle; give another --out or remove it",
            dir.display()
        )));
    }
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.at(dir)?,
    };
    for entry in entries {
        let name = PathBuf::from(entry.at(dir)?.file_name());
        if name.extension().is_some_and(|extension| extension == "index") {
            return Err(Failure::new(format!(
                "{}: holds map outputs of a shuffle that did not finish; remove it or give \
                 another --out",
                dir.display()
            )));
        }
    }
    Ok(())
}

/// The path of a directory's job file.
pub(crate) fn path_in(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

/// The version that this program writes and reads.
pub(crate) const VERSION: u32 = 1;
const NAME: &str = "job.json";

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job {
            version: VERSION,
            by: vec!["k".into()],
            partitions: 4,
            codec: "lz4".into(),
            schema_fingerprint: "0".into(),
            rows: 1,
            bytes: 2,
            map_outputs: vec![],
        }
    }

    #[test]
    fn is_published_once() {
        let dir = tempfile::tempdir().unwrap();
        refuse_used(dir.path()).unwrap();
        job().publish(dir.path()).unwrap();
        assert_eq!(Job::read(dir.path()).unwrap(), job());
        assert!(job().publish(dir.path()).is_err());
        assert!(refuse_used(dir.path()).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn unfinished_outputs_are_not_reused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("0.index"), b"").unwrap();
        assert!(refuse_used(dir.path()).unwrap_err().to_string().contains("did not finish"));
        assert!(Job::read(dir.path()).unwrap_err().to_string().contains("has no job.json"));
    }
}
