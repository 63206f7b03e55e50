//! A writer's parts, whatever its rows are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bywash_core::memory::{Consumer, SpillCause};
use bywash_core::{AttemptId, Error, ErrorKind, MapId, Result};

use super::progress::Counters;
use super::rows::Rows;
use super::working_set::WorkingSet;
use crate::map_output::OutputSlot;
use crate::output_dir::OutputDir;
use crate::spill_dirs::SpillDirs;

/// Everything behind a writer's lock.
#[derive(Debug)]
pub(crate) struct Engine<R: Rows> {
    pub(super) spec: R::Spec,
    pub(super) consumer: Consumer,
    pub(super) set: WorkingSet<R>,
    pub(super) spill_dirs: Arc<SpillDirs>,
    /// `None` for a writer that finishes into a sink.
    pub(super) out: Option<Arc<OutputDir>>,
    pub(super) map: MapId,
    pub(super) attempt: AttemptId,
    pub(super) shared: Arc<Signals>,
    /// Where the result goes: finishing must not allocate.
    pub(super) slot: OutputSlot,
}

/// What other threads may see and set without the writer's lock.
#[derive(Debug, Default)]
pub(super) struct Signals {
    pub(super) cancelled: AtomicBool,
    pub(super) counters: Counters,
}

impl Signals {
    pub(super) fn check_cancelled(&self) -> Result<()> {
        if self.cancelled.load(Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Cancelled, "the shuffle write was cancelled"));
        }
        Ok(())
    }
}

impl<R: Rows> Engine<R> {
    /// Spills if somebody asked while this writer was busy.
    pub(super) fn answer_reclaim(&mut self) -> Result<()> {
        if self.consumer.is_wanted() {
            if self.consumer.reclaimable() == 0 {
                // A run now would be a small one, and nobody's gain.
                self.consumer.take_wanted();
                return Ok(());
            }
            self.spill(SpillCause::Reclaim)?;
        }
        Ok(())
    }

    pub(super) fn note_reclaimable(&self) {
        self.consumer.set_reclaimable(self.set.rows.reclaimable());
    }
}

/// What an allocation gave, or nothing if the ledger has no room. Whatever else keeps it from granting, such
/// as a host that wants this work to stop, is an error.
pub(super) fn if_room<T>(granted: Result<T>) -> Result<Option<T>> {
    match granted {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::MemoryLimit => Ok(None),
        Err(error) => Err(error),
    }
}
