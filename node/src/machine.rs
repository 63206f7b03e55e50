//! What the node and this process have: /proc/meminfo, /proc/self/status.

use std::sync::Arc;

use bywash_core::Result;

use crate::source::{Dir, LongLine, Source};
use crate::text::kibibytes;

/// The node's memory in bytes, from /proc/meminfo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeMemory {
    /// `MemTotal`.
    pub total: u64,
    /// `MemAvailable`: what can be had without swapping, reclaimable page cache included. `None`
    /// before Linux 3.14.
    pub available: Option<u64>,
    /// `Shmem`: shared memory and files on tmpfs.
    pub shmem: u64,
}

/// This process's resident memory that no file backs, in bytes, from /proc/self/status.
///
/// The kernel keeps these counters per CPU or thread and they may be some hundred KiB behind;
/// `smaps_rollup` is exact and walks every page table, which is too dear for a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessMemory {
    /// `RssAnon`.
    pub anon: u64,
    /// `RssShmem`: shared anonymous mappings and mapped tmpfs files.
    pub shmem: u64,
}

impl ProcessMemory {
    /// Both together.
    pub const fn resident(&self) -> u64 {
        self.anon.saturating_add(self.shmem)
    }
}

/// The files of this module.
#[derive(Debug)]
pub(crate) struct Machine {
    meminfo: Source,
    status: Source,
}

impl Machine {
    pub(crate) fn new(root: &Arc<Dir>) -> Self {
        Self { meminfo: root.source(c"proc/meminfo"), status: root.source(c"proc/self/status") }
    }

    /// # Errors
    /// `Corrupt` if the file is absent, odd or without `MemTotal`; `Io`.
    pub(crate) fn node(&self) -> Result<NodeMemory> {
        let (mut total, mut available, mut shmem) = (None, None, 0);
        self.meminfo.lines(|line| {
            total = kibibytes(line, b"MemTotal")?.or(total);
            available = kibibytes(line, b"MemAvailable")?.or(available);
            shmem = kibibytes(line, b"Shmem")?.unwrap_or(shmem);
            Ok(())
        })?;
        match total.filter(|total| *total > 0) {
            Some(total) => {
                let available = available.map(|available| available.min(total));
                Ok(NodeMemory { total, available, shmem })
            }
            None => Err(self.meminfo.lacks("meminfo has no MemTotal: is /proc mounted?")),
        }
    }

    /// `None` before Linux 4.5, which does not split the resident figure.
    ///
    /// # Errors
    /// `Corrupt` if a figure is odd; `Io`.
    pub(crate) fn process(&self) -> Result<Option<ProcessMemory>> {
        let (mut anon, mut shmem) = (None, None);
        // The line of a user in very many groups is long.
        self.status.lines_with(LongLine::Skipped, |line| {
            anon = kibibytes(line, b"RssAnon")?.or(anon);
            shmem = kibibytes(line, b"RssShmem")?.or(shmem);
            Ok(())
        })?;
        Ok(anon.zip(shmem).map(|(anon, shmem)| ProcessMemory { anon, shmem }))
    }
}
