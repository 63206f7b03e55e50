//! A partition's blocks, checked against the index, through a decoder of any kind.

use bywash_core::block::{BlockDecoder, Decoded, Header, RecordDecoder, Records};
use bywash_core::memory::Consumer;
use bywash_core::{Error, Figure, Result};

use super::segment::SegmentReader;
use crate::map_output::OutputSlot;

/// What makes batches of blocks.
pub(super) trait Decode {
    type Batch;

    /// A block's batch; nothing if it is a part of a row whose other parts follow.
    fn decode(&mut self, header: &Header, body: &[u8]) -> Result<Option<Self::Batch>>;

    fn is_inside_chain(&self) -> bool;
}

/// The batches of one partition.
pub(super) struct Walk<D> {
    pub(super) output: OutputSlot,
    pub(super) partition: u32,
    pub(super) decoder: D,
    segment: SegmentReader,
    rows: u64,
    ended: bool,
}

impl<D: Decode> Walk<D> {
    pub(super) fn new(
        output: OutputSlot,
        partition: u32,
        consumer: Consumer,
        decoder: D,
    ) -> Result<Self> {
        let (start, end) = output.parts().range(partition).ok_or(NO_PARTITION)?;
        let segment = SegmentReader::new(consumer, start, end);
        Ok(Self { output, partition, segment, decoder, rows: 0, ended: false })
    }

    /// Rows in all batches together.
    pub(super) fn rows(&self) -> u64 {
        self.output.parts().rows(self.partition)
    }

    /// Rows in the blocks read so far.
    pub(super) const fn rows_so_far(&self) -> u64 {
        self.rows
    }

    pub(super) fn next(&mut self) -> Option<Result<D::Batch>> {
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

    fn next_batch(&mut self) -> Result<Option<D::Batch>> {
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
            if let Some(batch) = self.decoder.decode(&header, body)? {
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

impl Decode for BlockDecoder {
    type Batch = arrow_array::RecordBatch;

    fn decode(&mut self, header: &Header, body: &[u8]) -> Result<Option<Self::Batch>> {
        Ok(match self.decode(header, body)? {
            Decoded::Batch(batch) => Some(batch),
            Decoded::Partial => None,
        })
    }

    fn is_inside_chain(&self) -> bool {
        self.is_inside_chain()
    }
}

impl Decode for RecordDecoder {
    type Batch = Records;

    fn decode(&mut self, header: &Header, body: &[u8]) -> Result<Option<Records>> {
        self.decode(header, body)
    }

    fn is_inside_chain(&self) -> bool {
        self.is_inside_chain()
    }
}

const NO_PARTITION: Error = Error::internal("a partition without a place in the index");
