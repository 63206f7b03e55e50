//! Blocks back into chunks, for a merge: in memory that is there, without an allocation.
//!
//! Order of belief: the header (already checked), the body's checksum, the prefix against the header,
//! each buffer against the prefix. Strings are not validated as text: whoever wrote the block in this
//! very process was given valid text.

#![deny(clippy::indexing_slicing)]

use std::ops::Range;

use super::decode::{damaged, split_frame};
use super::header::Header;
use crate::cast::{to_u32, to_usize};
use crate::chunk::SortedChunk;
use crate::codec::{Codec, Decompressor, TAG_NONE};
use crate::column::{Layout, Physical};
use crate::memory::{Array, Consumer};
use crate::{Error, Figure, Result};

/// Decodes blocks of up to a fixed size into chunks. Allocates only when made.
#[derive(Debug)]
pub struct ChunkDecoder {
    codec: Codec,
    decompressor: Decompressor,
    raw: Array<u8>,
    /// For each node, which of the variable ones it is.
    variable: Box<[u32]>,
}

impl ChunkDecoder {
    /// State for blocks of `layout` of up to `raw_bytes` before compression.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub fn try_new(
        consumer: &Consumer,
        layout: &Layout,
        codec: Codec,
        raw_bytes: usize,
    ) -> Result<Self> {
        let mut next = 0;
        let variable = layout.nodes().iter().map(|node| {
            let this = next;
            next += u32::from(matches!(node.physical, Physical::Variable { .. }));
            this
        });
        let variable = variable.collect();
        let decompressor = Decompressor::try_new_for(consumer, codec)?;
        Ok(Self { codec, decompressor, raw: Array::try_new(consumer, raw_bytes)?, variable })
    }

    /// The bytes [`ChunkDecoder::try_new`] reserves.
    pub fn bytes_for(codec: Codec, raw_bytes: usize) -> u64 {
        Decompressor::bytes_for(codec) + Array::<u8>::bytes_for(raw_bytes)
    }

    /// Decodes the block with this header and this body, which is no part of a chain, in place of what
    /// `chunk` holds.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are not what was written.
    pub fn decode(
        &mut self,
        layout: &Layout,
        header: &Header,
        body: &[u8],
        chunk: &mut SortedChunk,
    ) -> Result<()> {
        check_body(layout, header, body)?;
        if header.is_chained() {
            return Err(damaged());
        }
        let rows = header.rows as usize;
        let nodes = layout.nodes();
        let (prefix, frames) = BlockPrefix::split(layout, body)?;
        let has_nulls = |node: usize| prefix.has_nulls(node);
        let data_len = |node: usize| prefix.data_len(self.variable.get(node).copied());
        // Before any sum of them: none of these is above what the block holds.
        let variable_nodes = nodes.iter().enumerate();
        for (index, node) in variable_nodes {
            let is_variable = matches!(node.physical, Physical::Variable { .. });
            if (is_variable && data_len(index) > header.raw_bytes as usize)
                || (has_nulls(index) && (!node.nullable || node.physical == Physical::Null))
            {
                return Err(damaged());
            }
        }
        if !chunk.arrange_anew(layout, rows, has_nulls, data_len) {
            return Err(Error::corrupt("a block has more rows than its writer puts in one")
                .with(Figure::Found, rows));
        }
        let raw =
            decompress(&mut self.decompressor, &mut self.raw, frames, header.raw_bytes as usize)?;
        let mut raw = Raw(raw);
        for (index, node) in nodes.iter().enumerate() {
            if has_nulls(index) {
                let bits = raw.take(rows.div_ceil(8))?;
                let target = chunk.validity_mut(index).ok_or_else(damaged)?;
                unpack_bits(bits, target);
            }
            match node.physical {
                Physical::Null => {}
                Physical::Bool => {
                    unpack_bits(raw.take(rows.div_ceil(8))?, chunk.fixed_mut(index, 1));
                }
                Physical::Fixed { width } => {
                    let width = width as usize;
                    let values = raw.take(rows.checked_mul(width).ok_or_else(damaged)?)?;
                    chunk.fixed_mut(index, width).copy_from_slice(values);
                }
                Physical::Variable { wide } => {
                    let width = node.physical.length_bytes();
                    let lens = raw.take(rows.checked_mul(width).ok_or_else(damaged)?)?;
                    let data = raw.take(data_len(index))?;
                    lengths_to_offsets(lens, wide, data.len(), chunk.offsets_mut(index))?;
                    let target = chunk.data_mut(index).get_mut(..data.len());
                    target.ok_or_else(damaged)?.copy_from_slice(data);
                }
            }
        }
        if raw.0.is_empty() { Ok(()) } else { Err(damaged()) }
    }

    /// Where in `chunk` the block with this header is to be read to be decoded in place: its body and what
    /// follows, `len` bytes. `None` if it is to be read elsewhere: it is compressed, or does not fit.
    pub fn space_in_place<'a>(
        &self,
        layout: &Layout,
        header: &Header,
        chunk: &'a mut SortedChunk,
        len: usize,
    ) -> Option<&'a mut [u8]> {
        if self.codec != Codec::None {
            return None;
        }
        let front = SortedChunk::front_bytes(layout, header.rows as usize);
        chunk.area_mut().get_mut(front..)?.get_mut(..len)
    }

    /// As [`ChunkDecoder::decode`], for a body that was read into
    /// [`space_in_place`](ChunkDecoder::space_in_place): only what is not as a chunk has it is written anew.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are not what was written.
    pub fn decode_in_place(
        &self,
        layout: &Layout,
        header: &Header,
        chunk: &mut SortedChunk,
    ) -> Result<()> {
        let rows = header.rows as usize;
        let front = SortedChunk::front_bytes(layout, rows);
        // Until all is found to be well.
        chunk.set_rows(0);
        let (head, body) = chunk.area_mut().split_at_mut_checked(front).ok_or_else(damaged)?;
        let body = body.get(..header.body_bytes as usize).ok_or_else(damaged)?;
        check_body(layout, header, body)?;
        let nodes = layout.nodes();
        let (prefix, frames) = BlockPrefix::split(layout, body)?;
        let mut raw = Raw(single_frame(frames, header.raw_bytes as usize)?);
        let (table, room) =
            head.split_at_mut_checked(table_bytes(nodes.len())).ok_or_else(damaged)?;
        let mut room = Room { at: table.len(), left: room };
        let table: &mut [[u64; 3]] = bytemuck::cast_slice_mut(table);
        for (index, (node, words)) in nodes.iter().zip(table).enumerate() {
            *words = [0; 3];
            let [values, validity, data] = words;
            let start = |raw: &Raw<'_>| (front + body.len() - raw.0.len()) as u64;
            if prefix.has_nulls(index) {
                if !node.nullable || node.physical == Physical::Null {
                    return Err(damaged());
                }
                let target = room.take(rows, validity)?;
                unpack_bits(raw.take(rows.div_ceil(8))?, target);
            }
            match node.physical {
                Physical::Null => {}
                Physical::Bool => {
                    unpack_bits(raw.take(rows.div_ceil(8))?, room.take(rows, values)?);
                }
                Physical::Fixed { width } => {
                    *values = start(&raw);
                    raw.take(rows.checked_mul(width as usize).ok_or_else(damaged)?)?;
                }
                Physical::Variable { wide } => {
                    let offsets = bytemuck::cast_slice_mut(room.take((rows + 1) * 4, values)?);
                    let width = node.physical.length_bytes();
                    let lens = raw.take(rows.checked_mul(width).ok_or_else(damaged)?)?;
                    *data = start(&raw);
                    let bytes = raw.take(prefix.data_len(self.variable.get(index).copied()))?.len();
                    lengths_to_offsets(lens, wide, bytes, offsets)?;
                }
            }
        }
        if !raw.0.is_empty() {
            return Err(damaged());
        }
        chunk.set_rows(rows);
        Ok(())
    }

    /// Decompresses the frames of a block of a chain; for its first block, `body` is what follows the
    /// prefix.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are not what was written.
    pub fn fragment<'a>(&'a mut self, header: &Header, frames: &'a [u8]) -> Result<&'a [u8]> {
        decompress(&mut self.decompressor, &mut self.raw, frames, header.raw_bytes as usize)
    }
}

/// Checks that a body is the one of its header, and of this schema.
///
/// # Errors
/// `Corrupt`.
pub fn check_body(layout: &Layout, header: &Header, body: &[u8]) -> Result<()> {
    if header.fingerprint != layout.fingerprint() {
        return Err(Error::corrupt("a block has another schema"));
    }
    if body.len() != header.body_bytes as usize || crc32c::crc32c(body) != header.body_crc {
        return Err(Error::corrupt("a block's body does not match its checksum"));
    }
    Ok(())
}

/// All frames one after another: in place where there is one and it is stored as it is.
fn decompress<'a>(
    decompressor: &mut Decompressor,
    scratch: &'a mut [u8],
    mut frames: &'a [u8],
    raw_bytes: usize,
) -> Result<&'a [u8]> {
    let mut filled: Range<usize> = 0..0;
    while !frames.is_empty() {
        let (frame, stored, rest) = split_frame(frames)?;
        frames = rest;
        if filled.end == 0 && rest.is_empty() && frame.tag == TAG_NONE {
            let sound = stored.len() == raw_bytes && frame.raw_bytes == raw_bytes;
            return if sound { Ok(stored) } else { Err(damaged()) };
        }
        filled = filled.end..filled.end.checked_add(frame.raw_bytes).ok_or_else(damaged)?;
        let target = scratch.get_mut(filled.clone()).ok_or_else(damaged)?;
        decompressor.decompress(frame.tag, stored, target)?;
    }
    if filled.end != raw_bytes {
        return Err(damaged());
    }
    scratch.get(..raw_bytes).ok_or_else(damaged)
}

/// What is before the frames of a block: which columns have nulls, and the bytes of the variable ones.
#[derive(Clone, Copy)]
struct BlockPrefix<'a> {
    bits: &'a [u8],
    lengths: &'a [u8],
}

impl<'a> BlockPrefix<'a> {
    fn split(layout: &Layout, body: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let prefix_bytes = layout.prefix_bytes(false);
        let (prefix, frames) = body.split_at_checked(prefix_bytes).ok_or_else(damaged)?;
        let bits_bytes = layout.nodes().len().div_ceil(8);
        let (bits, lengths) = prefix.split_at_checked(bits_bytes).ok_or_else(damaged)?;
        Ok((Self { bits, lengths }, frames))
    }

    fn has_nulls(self, node: usize) -> bool {
        self.bits.get(node / 8).is_some_and(|byte| byte >> (node % 8) & 1 == 1)
    }

    /// Of a column that is this one of the variable ones.
    fn data_len(self, variable: Option<u32>) -> usize {
        let at = variable.map_or(0, |at| at as usize * 4);
        let len = self.lengths.get(at..at + 4).and_then(|len| len.try_into().ok());
        len.map_or(0, u32::from_le_bytes) as usize
    }
}

/// The buffers of a block that was stored as it is, in the one frame that its writer makes then.
fn single_frame(frames: &[u8], raw_bytes: usize) -> Result<&[u8]> {
    if frames.is_empty() && raw_bytes == 0 {
        return Ok(frames);
    }
    let (frame, stored, rest) = split_frame(frames)?;
    let is_sound = rest.is_empty()
        && frame.tag == TAG_NONE
        && frame.raw_bytes == raw_bytes
        && stored.len() == raw_bytes;
    if is_sound { Ok(stored) } else { Err(damaged()) }
}

/// Bytes of a chunk's table.
const fn table_bytes(nodes: usize) -> usize {
    nodes * 24
}

/// What is free of a chunk's area, and where it begins.
struct Room<'a> {
    at: usize,
    left: &'a mut [u8],
}

impl<'a> Room<'a> {
    /// The next `len` bytes on a boundary of 16; tells `start` where they begin in the area.
    fn take(&mut self, len: usize, start: &mut u64) -> Result<&'a mut [u8]> {
        let skipped = self.at.next_multiple_of(16) - self.at;
        let left = std::mem::take(&mut self.left);
        let (_, left) = left.split_at_mut_checked(skipped).ok_or_else(damaged)?;
        let (taken, left) = left.split_at_mut_checked(len).ok_or_else(damaged)?;
        *start = (self.at + skipped) as u64;
        self.at += skipped + len;
        self.left = left;
        Ok(taken)
    }
}

/// What is left of a block's buffers.
struct Raw<'a>(&'a [u8]);

impl<'a> Raw<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (now, later) = self.0.split_at_checked(len).ok_or_else(damaged)?;
        self.0 = later;
        Ok(now)
    }
}

fn unpack_bits(bits: &[u8], target: &mut [u8]) {
    for (bytes, bits) in target.chunks_mut(8).zip(bits) {
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = bits >> at & 1;
        }
    }
}

fn lengths_to_offsets(
    lengths: &[u8],
    wide: bool,
    data_bytes: usize,
    offsets: &mut [u32],
) -> Result<()> {
    let mut end = 0u64;
    let (first, ends) = offsets.split_first_mut().ok_or_else(damaged)?;
    *first = 0;
    let bound = data_bytes as u64;
    if wide {
        for (slot, len) in ends.iter_mut().zip(lengths.as_chunks::<8>().0) {
            end = end.saturating_add(u64::from_le_bytes(*len));
            *slot = to_u32(to_usize(end.min(bound)));
        }
    } else {
        for (slot, len) in ends.iter_mut().zip(lengths.as_chunks::<4>().0) {
            end += u64::from(u32::from_le_bytes(*len));
            *slot = to_u32(to_usize(end.min(bound)));
        }
    }
    if end == bound { Ok(()) } else { Err(damaged()) }
}
