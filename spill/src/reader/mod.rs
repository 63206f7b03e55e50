//! Reading one partition of a map output back.

mod records;
mod segment;
mod walk;

use std::iter::FusedIterator;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bywash_core::Result;
use bywash_core::block::BlockDecoder;
use bywash_core::memory::{ChargeMode, TaskMemory};

use crate::map_output::OutputSlot;
use walk::Walk;

pub use records::RecordReader;

/// The rows of one partition in the order they were written, batch by batch.
///
/// A batch is one block: at most 4 MiB before Arrow's padding, or one larger row. Everything is
/// checked: blocks against their checksums and their partition, all of them against the index. The
/// first error ends the iteration; drop the batches before it with it, for only the end shows that
/// none is missing or from elsewhere. Calls block on the disk.
pub struct PartitionReader {
    walk: Walk<BlockDecoder>,
}

impl PartitionReader {
    pub(crate) fn new(
        output: OutputSlot,
        partition: u32,
        task: &TaskMemory,
        mode: ChargeMode,
    ) -> Result<Self> {
        let consumer = task.consumer("partition-reader");
        let decoder =
            BlockDecoder::new(Arc::clone(output.parts().layout()), consumer.clone(), mode);
        Ok(Self { walk: Walk::new(output, partition, consumer, decoder)? })
    }

    /// Charges `bytes` more with each batch: what the caller will allocate around it, such as structs of
    /// another interface, and free before the last of its buffers. A batch without a buffer (of columns
    /// of nulls alone) is not charged.
    #[must_use]
    pub fn with_shells(mut self, bytes: u64) -> Self {
        self.walk.decoder = self.walk.decoder.with_shells(bytes);
        self
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        self.walk.output.parts().layout().schema()
    }

    /// Rows in all batches together.
    pub fn rows(&self) -> u64 {
        self.walk.rows()
    }
}

impl Iterator for PartitionReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.walk.next()
    }
}

impl FusedIterator for PartitionReader {}

impl std::fmt::Debug for PartitionReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionReader")
            .field("partition", &self.walk.partition)
            .field("rows", &self.walk.rows_so_far())
            .finish_non_exhaustive()
    }
}
