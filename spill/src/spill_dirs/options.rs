//! How spill directories are used.

use bywash_core::memory::Consumer;
use bywash_core::{Error, ErrorKind, Figure, Result};
use bywash_node::{Filesystem, FilesystemKind};

use crate::sweep::SweepMode;

/// How spill directories are used.
#[derive(Debug, Clone, Default)]
pub struct SpillOptions {
    /// Whether files keep their name until they are closed, for operators to see. Default: no.
    pub named: bool,
    /// The most bytes in one directory. Default: no limit.
    pub quota_per_dir: Option<u64>,
    /// The most bytes in all directories together. Default: no limit.
    pub quota_total: Option<u64>,
    /// What opening removes of what dead processes left. Default: what is proven dead.
    pub sweep: SweepMode,
    /// What becomes of directories whose files are memory. Default: they are refused.
    pub memory_backed: MemoryBacked,
}

/// What becomes of a spill directory whose files are memory (tmpfs, ramfs, an overlay or a RAM disk
/// on such): what is spilled there frees nothing, and in a container it counts against the limit.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum MemoryBacked {
    /// It is not used.
    #[default]
    Refuse,
    /// It is used when no directory on a disk is better, and every page of its files is granted to
    /// this consumer before it is written and given back after the file is gone. Where the ledger
    /// has nothing free the write is refused with `MemoryLimit`; nobody is asked to spill for it.
    ///
    /// Give it a task of its own, with a promised minimum: a spill comes when the others hold all
    /// that is promised to nobody. The task lives as long as the directories.
    Charge(Consumer),
    /// It is used like a disk and its bytes are counted nowhere. **The budget holds no longer**: in
    /// a container the kernel kills the process when these files and the budget reach the limit.
    /// For callers who set that memory aside themselves.
    Unaccounted,
}

impl MemoryBacked {
    /// Who pays for files in a directory on `filesystem`, if anybody.
    ///
    /// # Errors
    /// `InvalidArgument` where it must not be used. Allocates.
    pub(super) fn admit(&self, filesystem: &Filesystem) -> Result<Option<Consumer>> {
        if !filesystem.is_memory_backed() {
            return Ok(None);
        }
        // Whoever reports it names the directory as it was given.
        let refused = |why| Err(Error::invalid(why).with_detail(filesystem.to_string()));
        match self {
            _ if filesystem.kind() == FilesystemKind::Hugetlbfs => refused(ONLY_MAPPED),
            Self::Refuse => refused(REFUSED),
            Self::Charge(consumer) => Ok(Some(consumer.clone())),
            Self::Unaccounted => Ok(None),
        }
    }
}

/// What a directory in memory answers when the ledger, or the host that lends to it, has nothing:
/// always the same kind, so that the run starts again in another directory. Allocates nothing.
#[cold]
pub(super) fn no_memory(refused: &Error) -> Error {
    let figures = [Figure::Requested, Figure::Available, Figure::Budget];
    let error = Error::new(ErrorKind::MemoryLimit, NO_MEMORY);
    figures.into_iter().fold(error, |error, figure| match refused.figure(figure) {
        Some(value) => error.with(figure, value),
        None => error,
    })
}

const REFUSED: &str = "a spill directory is in memory and refused, as spilling there frees none; \
    give one on a disk, or let it be charged to the budget";
const ONLY_MAPPED: &str = "a spill directory is on a filesystem whose files cannot be written; \
    give one on a disk";
const NO_MEMORY: &str = "the memory budget has no room for more files in a spill directory that is \
    in memory; add a directory on a disk, or raise the budget";
