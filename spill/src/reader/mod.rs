//! Reading one partition of a map output back.

mod segment;

use std::iter::FusedIterator;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bywash_core::block::{BlockDecoder, Decoded};
use bywash_core::memory::{ChargeMode, TaskMemory};
use bywash_core::{Error, Figure, Result};

use crate::map_output::OutputSlot;
use segment::SegmentReader;

/// The rows of one partition in the order they were written, batch by batch.
///
/// A batch is one block: at most 4 MiB before Arrow's padding, or one larger row. Everything is
/// checked: blocks against their checksums and their partition, all of them against the index. The
/// first error ends the iteration; drop the batches before it with it, for only the end shows that
/// none is missing or from elsewhere. Calls block on the disk.
pub struct PartitionReader {
    output: OutputSlot,
    partition: u32,
    segment: SegmentReader,
    decoder: BlockDecoder,
    rows: u64,
    ended: bool,
}

impl PartitionReader {
    pub(crate) fn new(
        output: OutputSlot,
        partition: u32,
        task: &TaskMemory,
        mode: ChargeMode,
    ) -> Result<Self> {
        let consumer = task.consumer("partition-reader");
        let (start, end) = output.parts().range(partition).ok_or(NO_PARTITION)?;
        let segment = SegmentReader::new(consumer.clone(), start, end);
        let decoder = BlockDecoder::new(Arc::clone(&output.parts().layout), consumer, mode);
        Ok(Self { output, partition, segment, decoder, rows: 0, ended: false })
    }

    /// Charges `bytes` more with each batch: what the caller will allocate around it, such as structs of
    /// another interface, and free before the last of its buffers. A batch without a buffer (of columns
    /// of nulls alone) is not charged.
    #[must_use]
    pub fn with_shells(mut self, bytes: u64) -> Self {
        self.decoder = self.decoder.with_shells(bytes);
        self
    }

    /// The schema of the batches.
    pub fn schema(&self) -> &SchemaRef {
        self.output.parts().layout.schema()
    }

    /// Rows in all batches together.
    pub fn rows(&self) -> u64 {
        self.output.parts().arrays.rows.get(self.partition as usize).copied().unwrap_or(0)
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        let expected = self.rows();
        while let Some((header, body)) = self.segment.next_block(&self.output.parts().data)? {
            if header.partition != self.partition {
                return Err(Error::corrupt("a segment holds a block of another partition")
                    .with(Figure::Expected, self.partition)
                    .with(Figure::Found, header.partition));
            }
            self.rows += u64::from(header.rows);
            if self.rows > expected {
                break;
            }
            if let Decoded::Batch(batch) = self.decoder.decode(&header, body)? {
                return Ok(Some(batch));
            }
        }
        let index = self.partition as usize;
        if self.decoder.is_inside_chain() || self.rows != expected {
            return Err(self.wrong_rows());
        }
        if self.output.parts().arrays.crcs.get(index) != Some(&self.segment.crc()) {
            return Err(Error::corrupt("a segment does not match the checksum in its index")
                .with(Figure::Partition, self.partition));
        }
        Ok(None)
    }

    fn wrong_rows(&self) -> Error {
        Error::corrupt("a segment does not have the rows its index names")
            .with(Figure::Partition, self.partition)
            .with(Figure::Expected, self.rows())
            .with(Figure::Found, self.rows)
    }
}

impl Iterator for PartitionReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_batch().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next.map(|outcome| {
            outcome.map_err(|error| {
                let header = &self.output.parts().header;
                error.with(Figure::Map, header.map.0).at(self.output.parts().data.file.place())
            })
        })
    }
}

impl FusedIterator for PartitionReader {}

impl std::fmt::Debug for PartitionReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PartitionReader")
            .field("partition", &self.partition)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

const NO_PARTITION: Error = Error::internal("a partition without a place in the index");
