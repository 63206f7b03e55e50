//! Rows of sorted chunks into blocks, encoded in place in the sink's buffer.

use super::RowSizes;
use super::header::{
    BLOCK_ALIGN, FRAME_HEADER_BYTES, HEADER_BYTES, Header, KIND_COLUMNS, frame_offset as at,
};
use super::slices::Slices;
use crate::Result;
use crate::cast::to_u32;
use crate::chunk::SortedChunk;
use crate::codec::{Codec, Compressor, TAG_NONE};
use crate::column::{Layout, Physical};
use crate::memory::{Array, Consumer};
use crate::port::BlockSink;

/// Rows `start..end` of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowSlice {
    /// The chunk's place in the list.
    pub chunk: u32,
    /// The first row.
    pub start: u32,
    /// The row after the last.
    pub end: u32,
}

/// Encodes blocks of up to a fixed size. Allocates only when made.
#[derive(Debug)]
pub struct BlockEncoder {
    pub(super) compressor: Compressor,
    /// One block's buffers, one after another, before compression.
    pub(super) raw: Array<u8>,
    /// Where each buffer in `raw` ends.
    ends: Array<u32>,
    buffers_max: usize,
    sizes: RowSizes,
}

/// Buffers are joined into one frame until it has this many bytes: below, a frame of its own costs
/// more in headers and lost matches than it gains.
const FRAME_BYTES_MIN: usize = 32 << 10;

/// What a frame adds at most: its header and what a codec adds to any length.
pub(super) const FRAME_BYTES_EXTRA: usize = FRAME_HEADER_BYTES + 128;

impl BlockEncoder {
    /// State for blocks of up to `raw_bytes` before compression.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub fn try_new(
        consumer: &Consumer,
        layout: &Layout,
        codec: Codec,
        raw_bytes: usize,
    ) -> Result<Self> {
        Ok(Self {
            compressor: Compressor::try_new(consumer, codec, raw_bytes)?,
            raw: Array::try_new(consumer, raw_bytes)?,
            ends: Array::try_new(consumer, layout.buffers_max())?,
            buffers_max: layout.buffers_max(),
            sizes: RowSizes::new(layout),
        })
    }

    /// The bytes [`BlockEncoder::try_new`] reserves.
    ///
    /// # Errors
    /// `InvalidArgument` for a codec level out of range.
    pub fn bytes_for(layout: &Layout, codec: Codec, raw_bytes: usize) -> Result<u64> {
        Ok(Compressor::bytes_for(codec, raw_bytes)?
            + Array::<u8>::bytes_for(raw_bytes)
            + Array::<u32>::bytes_for(layout.buffers_max()))
    }

    /// The most bytes one block takes in a sink.
    pub fn block_bytes_max(layout: &Layout, codec: Codec, raw_bytes: usize) -> usize {
        let frames = layout.buffers_max().min(raw_bytes / FRAME_BYTES_MIN + 1);
        let frames_bytes =
            Compressor::compressed_bytes_max(codec, raw_bytes) + frames * FRAME_BYTES_EXTRA;
        HEADER_BYTES + layout.prefix_bytes(true) + frames_bytes + BLOCK_ALIGN
    }

    /// The sizes of rows in these blocks.
    pub const fn sizes(&self) -> &RowSizes {
        &self.sizes
    }

    /// The most bytes of a block before compression.
    pub fn raw_bytes_max(&self) -> usize {
        self.raw.len()
    }

    /// Encodes one block of `slices`, whose rows fit [`BlockEncoder::raw_bytes_max`]. Returns its
    /// length. Never allocates.
    ///
    /// # Errors
    /// What the sink fails with.
    pub fn encode(
        &mut self,
        layout: &Layout,
        partition: u32,
        chunks: &[SortedChunk],
        slices: &[RowSlice],
        sink: &mut dyn BlockSink,
    ) -> Result<usize> {
        let codec = self.compressor.codec();
        let space = sink.space(Self::block_bytes_max(layout, codec, self.raw.len()))?;
        let prefix_bytes = layout.prefix_bytes(false);
        let (prefix, frames) = space[HEADER_BYTES..].split_at_mut(prefix_bytes);
        prefix.fill(0);
        let source = Slices::new(chunks, slices);
        let (raw_bytes, frames_bytes) = if codec == Codec::None {
            // Nothing will compress it: straight to its place, as one frame.
            let (frame_header, raw) = frames.split_at_mut(FRAME_HEADER_BYTES);
            let (raw_bytes, buffers) = fill(layout, source, prefix, raw, &mut self.ends);
            if buffers == 0 {
                (0, 0)
            } else {
                put_frame_header(frame_header, TAG_NONE, buffers, raw_bytes, raw_bytes);
                (raw_bytes, FRAME_HEADER_BYTES + raw_bytes)
            }
        } else {
            let (raw_bytes, buffers) = fill(layout, source, prefix, &mut self.raw, &mut self.ends);
            let ends = &self.ends[..buffers];
            (raw_bytes, compress_frames(&mut self.compressor, &self.raw, ends, frames))
        };
        debug_assert!(self.ends.len() >= self.buffers_max, "every buffer has its place");
        let header = Header {
            kind: KIND_COLUMNS,
            flags: 0,
            partition,
            rows: to_u32(source.rows()),
            body_bytes: to_u32(prefix_bytes + frames_bytes),
            raw_bytes: to_u32(raw_bytes),
            fingerprint: layout.fingerprint(),
            chain_offset: 0,
            chain_bytes: 0,
            body_crc: 0,
        };
        let len = seal(header, space);
        sink.advance(len);
        Ok(len)
    }
}

/// Completes a block whose body is in its place: checksums, header, padding. Returns its length.
pub(super) fn seal(mut header: Header, space: &mut [u8]) -> usize {
    let body_end = HEADER_BYTES + header.body_bytes as usize;
    let end = body_end.next_multiple_of(BLOCK_ALIGN);
    space[body_end..end].fill(0);
    header.body_crc = crc32c::crc32c(&space[HEADER_BYTES..body_end]);
    space[..HEADER_BYTES].copy_from_slice(&header.encode());
    end
}

pub(super) fn put_frame_header(
    target: &mut [u8],
    tag: u8,
    buffers: usize,
    raw_bytes: usize,
    stored_bytes: usize,
) {
    debug_assert!(u16::try_from(buffers).is_ok(), "the layout bounds a block's buffers");
    let [low, high, ..] = to_u32(buffers).to_le_bytes();
    target[at::TAG] = tag;
    target[at::ZERO] = 0;
    target[at::BUFFERS..at::RAW_BYTES].copy_from_slice(&[low, high]);
    target[at::RAW_BYTES..at::STORED_BYTES].copy_from_slice(&to_u32(raw_bytes).to_le_bytes());
    target[at::STORED_BYTES..FRAME_HEADER_BYTES]
        .copy_from_slice(&to_u32(stored_bytes).to_le_bytes());
}

/// Compresses `raw`, cut at buffer ends, into frames. Returns their length.
pub(super) fn compress_frames(
    compressor: &mut Compressor,
    raw: &[u8],
    ends: &[u32],
    target: &mut [u8],
) -> usize {
    let (mut written, mut start, mut buffers) = (0, 0, 0);
    for (index, &end) in ends.iter().enumerate() {
        let end = end as usize;
        buffers += 1;
        if end - start < FRAME_BYTES_MIN && index + 1 < ends.len() {
            continue;
        }
        let (header, body) = target[written..].split_at_mut(FRAME_HEADER_BYTES);
        let (tag, stored_bytes) = compressor.compress(&raw[start..end], body);
        put_frame_header(header, tag, buffers, end - start, stored_bytes);
        written += FRAME_HEADER_BYTES + stored_bytes;
        (start, buffers) = (end, 0);
    }
    written
}

/// Writes all buffers into `raw` and their ends into `ends`, and the prefix. Returns the bytes and
/// the number of buffers.
fn fill(
    layout: &Layout,
    source: Slices<'_>,
    prefix: &mut [u8],
    raw: &mut [u8],
    ends: &mut [u32],
) -> (usize, usize) {
    let (bits, lengths) = prefix.split_at_mut(layout.nodes().len().div_ceil(8));
    let mut lengths = lengths.chunks_exact_mut(4);
    let mut end = 0;
    let mut buffers = 0;
    let mut close = |end: usize| {
        ends[buffers] = to_u32(end);
        buffers += 1;
    };
    for (index, node) in layout.nodes().iter().enumerate() {
        if node.physical == Physical::Null {
            continue;
        }
        if source.has_null(index, node) {
            bits[index / 8] |= 1 << (index % 8);
            end += source.pack_validity(index, &mut raw[end..]);
            close(end);
        }
        match node.physical {
            Physical::Null => {}
            Physical::Bool => {
                end += source.pack_booleans(index, &mut raw[end..]);
                close(end);
            }
            Physical::Fixed { width } => {
                end += source.copy_fixed(index, width as usize, &mut raw[end..]);
                close(end);
            }
            Physical::Variable { wide } => {
                let (lengths_end, data_end) = fill_variable(index, wide, source, raw, end);
                close(lengths_end);
                close(data_end);
                if let Some(length) = lengths.next() {
                    length.copy_from_slice(&to_u32(data_end - lengths_end).to_le_bytes());
                }
                end = data_end;
            }
        }
    }
    (end, buffers)
}

/// Writes lengths, then data; returns where each ends.
fn fill_variable(
    node: usize,
    wide: bool,
    source: Slices<'_>,
    raw: &mut [u8],
    start: usize,
) -> (usize, usize) {
    let lengths_end = start + source.rows() * if wide { 8 } else { 4 };
    let (head, tail) = raw.split_at_mut(lengths_end);
    let lengths = &mut head[start..];
    if wide {
        let mut slots = lengths.as_chunks_mut::<8>().0.iter_mut();
        source.for_each_len(node, |len| {
            if let Some(slot) = slots.next() {
                *slot = u64::from(len).to_le_bytes();
            }
        });
    } else {
        let mut slots = lengths.as_chunks_mut::<4>().0.iter_mut();
        source.for_each_len(node, |len| {
            if let Some(slot) = slots.next() {
                *slot = len.to_le_bytes();
            }
        });
    }
    (lengths_end, lengths_end + source.copy_data(node, tail))
}
