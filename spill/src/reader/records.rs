//! Reading one partition of records back.

use std::iter::FusedIterator;

use bywash_core::Result;
use bywash_core::block::{RecordDecoder, Records};
use bywash_core::memory::{ChargeMode, TaskMemory};

use super::walk::Walk;
use crate::map_output::OutputSlot;

/// The records of one partition in the order they were written, a block at a time.
///
/// What it gives is one block: at most 4 MiB of records, or one larger record. Everything is
/// checked: blocks against their checksums and their partition, all of them against the index. The
/// first error ends the iteration; drop the records before it with it, for only the end shows that
/// none is missing or from elsewhere. Calls block on the disk.
pub struct RecordReader {
    walk: Walk<RecordDecoder>,
}

impl RecordReader {
    pub(crate) fn new(
        output: OutputSlot,
        partition: u32,
        task: &TaskMemory,
        mode: ChargeMode,
    ) -> Result<Self> {
        let consumer = task.consumer("record-reader");
        let decoder = RecordDecoder::new(consumer.clone(), mode);
        Ok(Self { walk: Walk::new(output, partition, consumer, decoder)? })
    }

    /// Records of the partition.
    pub fn rows(&self) -> u64 {
        self.walk.rows()
    }
}

impl Iterator for RecordReader {
    type Item = Result<Records>;

    fn next(&mut self) -> Option<Self::Item> {
        self.walk.next()
    }
}

impl FusedIterator for RecordReader {}

impl std::fmt::Debug for RecordReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordReader")
            .field("partition", &self.walk.partition)
            .field("rows", &self.walk.rows_so_far())
            .finish_non_exhaustive()
    }
}
