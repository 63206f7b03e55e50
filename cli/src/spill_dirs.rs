//! Where the program spills, and what it says of directories in memory.

use std::path::PathBuf;
use std::sync::Arc;

use bywash::{
    FsStore, MemoryBacked, MemoryLedger, OutputDir, SpillDirs, SpillOptions, Store,
    default_spill_dirs,
};

use crate::args::{ShuffleArgs, SpillMemoryBacked};
use crate::failure::{At, Result};
use crate::report;

/// Opens the directories that were asked for, or the default ones, and warns of those not used.
pub(crate) fn open(args: &ShuffleArgs, ledger: &MemoryLedger) -> Result<Arc<SpillDirs>> {
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let dirs = if args.spill_dir.is_empty() { defaults(&store)? } else { args.spill_dir.clone() };
    for dir in &args.spill_dir {
        std::fs::create_dir_all(dir).at(dir)?;
    }
    let memory_backed = match args.spill_memory_backed {
        SpillMemoryBacked::Refuse => MemoryBacked::Refuse,
        SpillMemoryBacked::Unaccounted => MemoryBacked::Unaccounted,
        SpillMemoryBacked::Charge => {
            let task = ledger.admit(1, 0)?.swap_remove(0);
            MemoryBacked::Charge(task.consumer("spill-files"))
        }
    };
    let options = SpillOptions { memory_backed, ..SpillOptions::default() };
    let opened = SpillDirs::open(store, &dirs, options)?;
    for unused in opened.unused() {
        warn_unused(unused);
    }
    Ok(opened)
}

/// The directories to use when none are given.
pub(crate) fn defaults(store: &Arc<dyn Store>) -> Result<Vec<PathBuf>> {
    let found = default_spill_dirs(store)?;
    found.unused.iter().for_each(warn_unused);
    Ok(found.dirs)
}

/// Warns when map outputs are written to memory.
pub(crate) fn warn_of_output(out: &OutputDir) -> Result<()> {
    let filesystem = out.filesystem()?;
    if filesystem.is_memory_backed() {
        report::warn(&format!(
            "warning: --out {} is in memory ({filesystem}): what is written there takes memory \
             beside the budget until it is removed",
            out.path()
        ));
    }
    Ok(())
}

fn warn_unused(unused: &bywash::UnusedDir) {
    report::warn(&format!(
        "warning: not used for spills: {}: {}",
        unused.path.display(),
        unused.error
    ));
}
