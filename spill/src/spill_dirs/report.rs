//! What spill directories tell of themselves.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bywash_core::Error;
use bywash_node::Filesystem;

use super::{DirCondition, DirIndex};

/// One directory in use, as it was at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DirReport {
    /// Its place in the order given.
    pub index: DirIndex,
    /// The path it was opened by.
    pub path: Arc<str>,
    /// What it is on.
    pub filesystem: Arc<Filesystem>,
    /// Whether it is worth trying.
    pub condition: DirCondition,
    /// Bytes reserved by open files.
    pub used_bytes: u64,
    /// Its own quota.
    pub quota_bytes: Option<u64>,
    /// Bytes of memory charged for open files; 0 but for a directory in memory.
    pub charged_bytes: u64,
    /// Files open now.
    pub files: u64,
    /// Files made so far.
    pub files_total: u64,
    /// Bytes written so far.
    pub written_bytes_total: u64,
    /// Bytes read so far.
    pub read_bytes_total: u64,
    /// Writes and creations refused by a quota, a full disk or the memory budget so far.
    pub refusals_total: u64,
    /// Operations that failed otherwise so far.
    pub failures_total: u64,
}

/// A directory that was given and is not used.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct UnusedDir {
    /// As given.
    pub path: PathBuf,
    /// Why.
    pub error: Error,
}

impl UnusedDir {
    /// A directory that is not used because of `error`.
    pub const fn new(path: PathBuf, error: Error) -> Self {
        Self { path, error }
    }
}

/// What is counted of one directory.
#[derive(Debug, Default)]
pub(super) struct DirCounters {
    pub(super) files: AtomicU64,
    pub(super) files_total: AtomicU64,
    pub(super) written_bytes: AtomicU64,
    pub(super) read_bytes: AtomicU64,
    pub(super) charged_bytes: AtomicU64,
    pub(super) refusals: AtomicU64,
    pub(super) failures: AtomicU64,
}

impl DirCounters {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn take(counter: &AtomicU64, count: u64) {
        counter.fetch_sub(count, Ordering::Relaxed);
    }

    pub(super) fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
