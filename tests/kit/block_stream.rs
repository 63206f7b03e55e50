//! The batches in a stream of blocks, as they come: what a sink of a push-based service would do.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bywash::{ChargeMode, Error, MemoryLedger, PartitionSink, Result};
use bywash_core::block::{
    BlockDecoder, Decoded, FILLER_BYTES_MIN, HEADER_BYTES, Header, check_filler, filler_bytes,
};
use bywash_core::column::Layout;

/// Decodes the blocks it is sent and hands their batches to `take`. Its memory is outside any budget.
pub struct BlockStream<F> {
    decoder: BlockDecoder,
    take: F,
    bytes: Vec<u8>,
}

impl<F> std::fmt::Debug for BlockStream<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BlockStream({} bytes of a block)", self.bytes.len())
    }
}

impl<F: FnMut(RecordBatch)> BlockStream<F> {
    /// For blocks of one schema.
    ///
    /// # Errors
    /// `Unsupported` for a schema that the engine does not take.
    pub fn new(schema: SchemaRef, take: F) -> Result<Self> {
        let layout = Arc::new(Layout::try_new(schema)?);
        let consumer = MemoryLedger::unlimited().admit(1, 0)?.remove(0).consumer("stream");
        let decoder = BlockDecoder::new(layout, consumer, ChargeMode::Detached);
        Ok(Self { decoder, take, bytes: Vec::new() })
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// `Corrupt` inside a block or a chain.
    pub fn finish(self) -> Result<()> {
        if self.bytes.is_empty() && !self.decoder.is_inside_chain() {
            return Ok(());
        }
        Err(Error::corrupt("the stream ends inside a block"))
    }

    /// Decodes the block at `at`; where the next begins, or nothing if it has not all come.
    fn decode_at(&mut self, at: usize) -> Result<Option<usize>> {
        let bytes = &self.bytes[at..];
        let Some(start) = bytes.first_chunk::<FILLER_BYTES_MIN>() else {
            return Ok(None);
        };
        if let Some(len) = filler_bytes(*start)? {
            let Some(zeros) = bytes.get(FILLER_BYTES_MIN..len) else {
                return Ok(None);
            };
            check_filler(zeros)?;
            return Ok(Some(at + len));
        }
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = Header::decode(header)?;
        let len = usize::try_from(header.block_bytes()).map_err(|_| Error::corrupt("a block"))?;
        let Some(block) = bytes.get(..len) else {
            return Ok(None);
        };
        let body = &block[HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize];
        if let Decoded::Batch(batch) = self.decoder.decode(&header, body)? {
            (self.take)(batch);
        }
        Ok(Some(at + len))
    }
}

impl<F: FnMut(RecordBatch)> PartitionSink for BlockStream<F> {
    fn write(&mut self, _partition: u32, bytes: &[u8]) -> Result<()> {
        self.bytes.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(next) = self.decode_at(at)? {
            at = next;
        }
        self.bytes.drain(..at);
        Ok(())
    }
}
