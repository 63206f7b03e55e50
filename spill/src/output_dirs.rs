//! Output directories that are opened once for many writers.
//!
//! Opening one sweeps it, which reads all of its names, and makes a session in it. A process that
//! writes many maps into one directory would do that for each, and each time for more names.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bywash_core::Result;

use crate::output_dir::{OutputDir, OutputOptions};
use crate::store::Store;

/// The output directories that were opened last, still open.
///
/// At most [`OutputDirs::KEPT`], by the paths they were asked for with; what is not among them, or is no
/// longer at its path, is opened anew. Each keeps three descriptors and a session directory until it is
/// pushed out by others or this is dropped, and until its writers and outputs are. So what other
/// processes leave behind when they die meanwhile is swept by whoever opens the directory next.
#[derive(Debug)]
pub struct OutputDirs {
    store: Arc<dyn Store>,
    options: OutputOptions,
    /// The last one used comes last.
    slots: Mutex<Vec<(PathBuf, Arc<Slot>)>>,
}

/// Locked while it is opened: who wants the same directory waits for that, and nobody else.
type Slot = Mutex<Option<Arc<OutputDir>>>;

impl OutputDirs {
    /// Directories kept open.
    pub const KEPT: usize = 8;

    /// Opens directories of `store` with `options`.
    pub const fn new(store: Arc<dyn Store>, options: OutputOptions) -> Self {
        Self { store, options, slots: Mutex::new(Vec::new()) }
    }

    /// The output directory at `path`, opened if it is not open. Blocks on the disk: briefly for one
    /// that is open. Allocates.
    ///
    /// # Errors
    /// As [`OutputDir::open`].
    pub fn get(&self, path: &Path) -> Result<Arc<OutputDir>> {
        let slot = self.slot(path);
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dir) = &*slot
            && dir.is_in_place(path)?
        {
            return Ok(Arc::clone(dir));
        }
        // Its session ends before another begins.
        *slot = None;
        let dir = OutputDir::open(Arc::clone(&self.store), path, self.options)?;
        *slot = Some(Arc::clone(&dir));
        Ok(dir)
    }

    fn slot(&self, path: &Path) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let found = slots.iter().position(|(known, _)| known == path);
        let used = found.map_or_else(
            || (path.to_path_buf(), Arc::new(Slot::default())),
            |index| slots.remove(index),
        );
        let slot = Arc::clone(&used.1);
        slots.push(used);
        let pushed_out = (slots.len() > Self::KEPT).then(|| slots.remove(0));
        drop(slots);
        // Ending a session takes the disk, and so no lock.
        drop(pushed_out);
        slot
    }
}
