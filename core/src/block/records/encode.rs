//! Records into blocks, one after another.

use super::{
    BLOCK_RECORDS_MAX, RECORD_PREFIX_BYTES, RECORDS_FINGERPRINT, record_prefix_offset as at,
};
use crate::Result;
use crate::block::encode::{FRAME_BYTES_EXTRA, compress_frames, put_frame_header, seal};
use crate::block::header::{
    BLOCK_ALIGN, FLAG_FIRST, FLAG_LAST, FLAG_MIDDLE, FRAME_HEADER_BYTES, HEADER_BYTES, Header,
    KIND_RECORDS,
};
use crate::cast::to_u32;
use crate::codec::{Codec, Compressor};
use crate::memory::{Array, Consumer};
use crate::port::BlockSink;

/// What a record counts beside its bytes: its length at its widest.
const LENGTH_BYTES: usize = size_of::<u32>();
/// Bytes of a block, before compression, that say how the next ones compress.
const TELLING_BYTES: usize = 16 << 10;

/// Gathers records into blocks of up to a fixed size. Allocates only when made.
#[derive(Debug)]
pub struct RecordEncoder {
    compressor: Compressor,
    /// One block's records, then their lengths, before compression.
    raw: Array<u8>,
    lengths: Array<u32>,
    records: usize,
    bytes: usize,
    shortest: u32,
    longest: u32,
}

impl RecordEncoder {
    /// State for blocks of up to `raw_bytes` before compression.
    ///
    /// # Errors
    /// `MemoryLimit`; `InvalidArgument` for a codec level out of range.
    pub fn try_new(consumer: &Consumer, codec: Codec, raw_bytes: usize) -> Result<Self> {
        Ok(Self {
            compressor: Compressor::try_new_accelerated(consumer, codec, raw_bytes)?,
            raw: Array::try_new(consumer, raw_bytes)?,
            lengths: Array::try_new(consumer, lengths_max(raw_bytes))?,
            records: 0,
            bytes: 0,
            shortest: u32::MAX,
            longest: 0,
        })
    }

    /// The bytes [`RecordEncoder::try_new`] reserves.
    ///
    /// # Errors
    /// `InvalidArgument` for a codec level out of range.
    pub fn bytes_for(codec: Codec, raw_bytes: usize) -> Result<u64> {
        Ok(Compressor::bytes_for_accelerated(codec, raw_bytes)?
            + Array::<u8>::bytes_for(raw_bytes)
            + Array::<u32>::bytes_for(lengths_max(raw_bytes)))
    }

    /// The most bytes one block takes in a sink.
    pub fn block_bytes_max(codec: Codec, raw_bytes: usize) -> usize {
        let frames = Compressor::compressed_bytes_max(codec, raw_bytes) + 2 * FRAME_BYTES_EXTRA;
        HEADER_BYTES + RECORD_PREFIX_BYTES + frames + BLOCK_ALIGN
    }

    /// Forgets the records of a block that was not finished: what follows is another file.
    pub fn clear(&mut self) {
        (self.records, self.bytes) = (0, 0);
        (self.shortest, self.longest) = (u32::MAX, 0);
    }

    /// Adds a record of `partition`, that of the records before it in this block. Writes the block
    /// before it out when that is full, and a record larger than a block at once. Never allocates.
    ///
    /// # Errors
    /// What the sink fails with.
    #[inline]
    pub fn push(&mut self, partition: u32, record: &[u8], sink: &mut dyn BlockSink) -> Result<()> {
        let start = self.bytes;
        let end = start + record.len();
        if end + (self.records + 1) * LENGTH_BYTES > self.raw.len() {
            return self.push_to_next(partition, record, sink);
        }
        self.raw[start..end].copy_from_slice(record);
        let length = to_u32(record.len());
        self.lengths[self.records] = length;
        self.records += 1;
        self.bytes = end;
        self.shortest = self.shortest.min(length);
        self.longest = self.longest.max(length);
        Ok(())
    }

    #[cold]
    fn push_to_next(
        &mut self,
        partition: u32,
        record: &[u8],
        sink: &mut dyn BlockSink,
    ) -> Result<()> {
        self.finish_block(partition, sink)?;
        if record.len() + LENGTH_BYTES > self.raw.len() {
            return self.encode_alone(partition, record, sink);
        }
        self.push(partition, record, sink)
    }

    /// Writes out the block that was begun, if one was.
    ///
    /// # Errors
    /// What the sink fails with.
    pub fn finish_block(&mut self, partition: u32, sink: &mut dyn BlockSink) -> Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        let codec = self.compressor.codec();
        let space = sink.space(Self::block_bytes_max(codec, self.raw.len()))?;
        let width = if self.shortest == self.longest { 0 } else { width_of(self.longest) };
        let raw_bytes = self.bytes + self.records * width;
        put_lengths(&self.lengths[..self.records], width, &mut self.raw[self.bytes..raw_bytes]);
        let length = if width == 0 { self.longest } else { 0 };
        let (prefix, frames) = space[HEADER_BYTES..].split_at_mut(RECORD_PREFIX_BYTES);
        put_prefix(prefix, width, length);
        let ends = [to_u32(self.bytes), to_u32(raw_bytes)];
        let buffers = usize::from(self.bytes > 0) + usize::from(width > 0);
        let frames_bytes =
            compress_frames(&mut self.compressor, &self.raw, &ends[..buffers], frames);
        if raw_bytes >= TELLING_BYTES {
            // Records that hardly get smaller have long parts in which nothing repeats, and those of the next block are like
            // them. Columns are not: their buffers take turns.
            self.compressor.accelerate(frames_bytes > raw_bytes / 2);
        }
        let header = Header {
            kind: KIND_RECORDS,
            flags: 0,
            partition,
            rows: to_u32(self.records),
            body_bytes: to_u32(RECORD_PREFIX_BYTES + frames_bytes),
            raw_bytes: to_u32(raw_bytes),
            fingerprint: RECORDS_FINGERPRINT,
            chain_offset: 0,
            chain_bytes: 0,
            body_crc: 0,
        };
        let len = seal(header, space);
        sink.advance(len);
        self.clear();
        Ok(())
    }

    /// Encodes one record as a block, or as a chain if it is larger than one. No block is begun.
    /// Never allocates: it is compressed from where it lies.
    ///
    /// # Errors
    /// What the sink fails with.
    pub fn encode_alone(
        &mut self,
        partition: u32,
        record: &[u8],
        sink: &mut dyn BlockSink,
    ) -> Result<()> {
        debug_assert_eq!(self.records, 0, "the block before it was finished");
        let raw_max = self.raw.len();
        let alone = record.len() <= raw_max;
        let mut offset = 0;
        loop {
            let codec = self.compressor.codec();
            let space = sink.space(Self::block_bytes_max(codec, raw_max))?;
            let fragment = &record[offset..record.len().min(offset + raw_max)];
            let (first, last) = (offset == 0, offset + fragment.len() == record.len());
            let mut body = HEADER_BYTES;
            if alone {
                put_prefix(&mut space[body..body + RECORD_PREFIX_BYTES], 0, to_u32(record.len()));
                body += RECORD_PREFIX_BYTES;
            }
            if !fragment.is_empty() {
                let (frame_header, frame) = space[body..].split_at_mut(FRAME_HEADER_BYTES);
                let (tag, stored_bytes) = self.compressor.compress(fragment, frame);
                let buffers = usize::from(alone);
                put_frame_header(frame_header, tag, buffers, fragment.len(), stored_bytes);
                body += FRAME_HEADER_BYTES + stored_bytes;
            }
            let header = Header {
                kind: KIND_RECORDS,
                flags: match (first, last) {
                    (true, true) => 0,
                    (true, false) => FLAG_FIRST,
                    (false, false) => FLAG_MIDDLE,
                    (false, true) => FLAG_LAST,
                },
                partition,
                rows: u32::from(first),
                body_bytes: to_u32(body - HEADER_BYTES),
                raw_bytes: to_u32(fragment.len()),
                fingerprint: RECORDS_FINGERPRINT,
                chain_offset: offset as u64,
                chain_bytes: if alone { 0 } else { record.len() as u64 },
                body_crc: 0,
            };
            offset += fragment.len();
            let len = seal(header, space);
            sink.advance(len);
            if last {
                return Ok(());
            }
        }
    }
}

/// Lengths a block of so many bytes can have.
fn lengths_max(raw_bytes: usize) -> usize {
    debug_assert!(raw_bytes / LENGTH_BYTES <= BLOCK_RECORDS_MAX, "a block is at most 4 MiB");
    raw_bytes / LENGTH_BYTES
}

const fn width_of(length: u32) -> usize {
    match length {
        0..0x100 => 1,
        0x100..0x1_0000 => 2,
        _ => 4,
    }
}

fn put_prefix(prefix: &mut [u8], width: usize, length: u32) {
    prefix.fill(0);
    prefix[at::WIDTH] = to_u32(width).to_le_bytes()[0];
    prefix[at::LENGTH..].copy_from_slice(&length.to_le_bytes());
}

/// The lowest `width` bytes of each length.
fn put_lengths(lengths: &[u32], width: usize, target: &mut [u8]) {
    match width {
        1 => {
            for (slot, length) in target.iter_mut().zip(lengths) {
                *slot = length.to_le_bytes()[0];
            }
        }
        2 => {
            for (slot, length) in target.as_chunks_mut::<2>().0.iter_mut().zip(lengths) {
                let [low, high, ..] = length.to_le_bytes();
                *slot = [low, high];
            }
        }
        4 => {
            for (slot, length) in target.as_chunks_mut::<4>().0.iter_mut().zip(lengths) {
                *slot = length.to_le_bytes();
            }
        }
        _ => {}
    }
}
