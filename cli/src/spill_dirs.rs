//! Where the program spills, and what it says of directories in memory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bywash::node::Filesystem;
use bywash::{
    FsStore, MemoryBacked, MemoryLedger, SpillDirs, SpillOptions, Store, UnusedDir,
    default_spill_dirs,
};

use crate::args::SpillMemoryBacked;
use crate::failure::{At, Failure, Result};
use crate::report;

/// The directories of a command, looked at and not yet opened.
#[derive(Debug)]
pub(crate) struct SpillPlan {
    store: Arc<dyn Store>,
    dirs: Vec<PathBuf>,
    memory_backed: SpillMemoryBacked,
    /// Whether files will be charged to the budget.
    pub(crate) is_charged: bool,
}

impl SpillPlan {
    /// The directories that were asked for, made where they are missing, or the default ones.
    pub(crate) fn new(given: &[PathBuf], memory_backed: SpillMemoryBacked) -> Result<Self> {
        let store: Arc<dyn Store> = Arc::new(FsStore::new());
        let mut is_charged = false;
        if given.is_empty() {
            let dirs = defaults(&store)?;
            return Ok(Self { store, dirs, memory_backed, is_charged });
        }
        for dir in given {
            std::fs::create_dir_all(dir).map_err(|error| {
                Failure::new(format!(
                    "--spill-dir {}: cannot be made a directory: {error}; give one that is there or \
                     may be made",
                    dir.display()
                ))
            })?;
            let opened = std::fs::File::open(dir).at(dir)?;
            let filesystem = Filesystem::of(&opened, Path::new("/")).at(dir)?;
            is_charged |= filesystem.is_memory_backed();
        }
        is_charged &= memory_backed == SpillMemoryBacked::Charge;
        Ok(Self { store, dirs: given.to_vec(), memory_backed, is_charged })
    }

    /// Opens them and warns of those not used. Files that are charged get a task's share, promised
    /// to them: when a spill needs it, the others hold all that is not.
    pub(crate) fn open(self, ledger: &MemoryLedger, tasks: usize) -> Result<Arc<SpillDirs>> {
        let memory_backed = match self.memory_backed {
            SpillMemoryBacked::Charge if self.is_charged => {
                let shares = u64::try_from(tasks).unwrap_or(u64::MAX).saturating_add(1);
                let task = ledger.admit(1, ledger.capacity() / shares)?.swap_remove(0);
                MemoryBacked::Charge(task.consumer("spill-files"))
            }
            SpillMemoryBacked::Unaccounted => MemoryBacked::Unaccounted,
            SpillMemoryBacked::Charge | SpillMemoryBacked::Refuse => MemoryBacked::Refuse,
        };
        let options = SpillOptions { memory_backed, ..SpillOptions::default() };
        let opened = SpillDirs::open(self.store, &self.dirs, options)?;
        opened.unused().iter().for_each(warn_unused);
        Ok(opened)
    }
}

/// The directories to use when none are given.
pub(crate) fn defaults(store: &Arc<dyn Store>) -> Result<Vec<PathBuf>> {
    let found = default_spill_dirs(store)?;
    found.unused.iter().for_each(warn_unused);
    Ok(found.dirs)
}

/// Warns when what `--out` names is memory.
pub(crate) fn warn_of_output(out: &dyn fmt::Display, filesystem: &Filesystem) {
    if filesystem.is_memory_backed() {
        report::warn(&format!(
            "warning: --out {out} is in memory ({filesystem}): what is written there takes memory \
             beside the budget until it is removed"
        ));
    }
}

fn warn_unused(unused: &UnusedDir) {
    report::warn(&format!(
        "warning: not used for spills: {}: {}",
        unused.path.display(),
        unused.error
    ));
}
