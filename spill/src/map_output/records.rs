//! The map output of records.

use std::fmt;
use std::sync::Arc;

use bywash_core::block::RECORDS_FINGERPRINT;
use bywash_core::memory::{ChargeMode, TaskMemory};
use bywash_core::{AttemptId, Error, MapId, Result};

use super::{Content, OutputSlot, open_slot};
use crate::output_dir::OutputDir;
use crate::reader::RecordReader;

/// One map task's output of records. Holds its index in memory, charged to the task that made or opened
/// it.
pub struct RecordOutput {
    slot: OutputSlot,
}

impl RecordOutput {
    /// Opens the committed output of `map`. Its index is charged to `task`: 20 bytes a partition.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Corrupt` if its files are not what was written or not all
    /// there; `InvalidArgument` if it holds columns; `MemoryLimit`.
    pub fn open(out: &Arc<OutputDir>, map: MapId, task: &TaskMemory) -> Result<Self> {
        let slot = open_slot(out, map, task, |fingerprint, _consumer| {
            if fingerprint == RECORDS_FINGERPRINT {
                Ok(Content::Records)
            } else {
                Err(HOLDS_COLUMNS)
            }
        })?;
        Ok(Self::of_slot(slot))
    }

    pub(crate) const fn of_slot(slot: OutputSlot) -> Self {
        Self { slot }
    }

    /// Reads a partition's records in the order they were written. Buffers are charged to `task`,
    /// records as `mode` says.
    ///
    /// # Errors
    /// `InvalidArgument` for a partition that does not exist, and for [`ChargeMode::Host`] when the
    /// ledger's memory is not lent by a host.
    pub fn read(
        &self,
        partition: u32,
        task: &TaskMemory,
        mode: ChargeMode,
    ) -> Result<RecordReader> {
        self.slot.check_readable(partition, task, mode)?;
        RecordReader::new(self.slot.clone(), partition, task, mode)
    }
}

output_figures!(RecordOutput);

impl fmt::Debug for RecordOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordOutput")
            .field("header", &self.slot.parts().header)
            .finish_non_exhaustive()
    }
}

const HOLDS_COLUMNS: Error =
    Error::invalid("this map output holds columns, not records; open it with MapOutput");
