//! Blocks back into records, in one charged allocation a block or chain.
//!
//! Order of belief: the header (already checked), the body's checksum, the prefix against the header,
//! each frame against the prefix, the lengths against the bytes.

#![deny(clippy::indexing_slicing)]

use super::batch::Records;
use super::{BLOCK_RECORDS_MAX, RECORD_PREFIX_BYTES};
use crate::block::decode::{Frame, allocate_to_keep, damaged, scratch, split_frame};
use crate::block::header::{
    FLAG_FIRST, FLAG_LAST, FLAG_MIDDLE, HEADER_BYTES, Header, KIND_RECORDS,
};
use crate::block::shells::record_shell_bytes;
use crate::cast::{to_u32, to_usize};
use crate::codec::Decompressor;
use crate::memory::{Block, ChargeMode, Consumer};
use crate::{Error, ErrorKind, Figure, Result};

/// Decodes the blocks of one segment of records, in order.
///
/// Its working memory is what its blocks need: at most 4 MiB of scratch and Zstandard's state.
#[derive(Debug)]
pub struct RecordDecoder {
    consumer: Consumer,
    mode: ChargeMode,
    decompressor: Decompressor,
    scratch: Option<Block>,
    chain: Option<Chain>,
}

#[derive(Debug)]
struct Chain {
    partition: u32,
    record_bytes: u64,
    received: u64,
    block: Block,
}

/// How a block's buffers lie in its frames and in the allocation they go to.
#[derive(Debug, Clone, Copy)]
struct Plan {
    records: usize,
    width: usize,
    /// Of every record, if the width is 0.
    length: u32,
    bytes: usize,
}

impl RecordDecoder {
    /// A decoder whose memory is charged to `consumer` and whose records are charged as `mode` says.
    pub fn new(consumer: Consumer, mode: ChargeMode) -> Self {
        let decompressor = Decompressor::new(consumer.clone());
        Self { consumer, mode, decompressor, scratch: None, chain: None }
    }

    /// Decodes the block with this header and this body; nothing for a part of a record whose other
    /// parts follow.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are not what was written; `MemoryLimit`, naming the record, or
    /// `BudgetHeldByCaller` if the budget does not hold the records.
    pub fn decode(&mut self, header: &Header, body: &[u8]) -> Result<Option<Records>> {
        if header.kind != KIND_RECORDS {
            return Err(Error::corrupt("a segment of records holds a block of columns"));
        }
        if body.len() != header.body_bytes as usize || crc32c::crc32c(body) != header.body_crc {
            return Err(Error::corrupt("a block's body does not match its checksum")
                .with(Figure::Partition, header.partition));
        }
        match header.flags {
            0 if self.chain.is_none() => self.decode_whole(header, body).map(Some),
            FLAG_FIRST if self.chain.is_none() => self.begin_chain(header, body),
            FLAG_MIDDLE | FLAG_LAST => self.continue_chain(header, body),
            _ => Err(Error::corrupt("a chain of blocks has no end")),
        }
    }

    /// Whether a chain has begun and not ended.
    pub const fn is_inside_chain(&self) -> bool {
        self.chain.is_some()
    }

    fn decode_whole(&mut self, header: &Header, body: &[u8]) -> Result<Records> {
        let (prefix, frames) =
            body.split_first_chunk::<RECORD_PREFIX_BYTES>().ok_or_else(damaged)?;
        let plan = Plan::of(*prefix, header)?;
        let mut block = self.allocate(plan.target_bytes(), None)?;
        let (offsets, data) = split_target(&mut block, plan.records)?;
        self.decode_frames(plan, frames, offsets, data)?;
        Ok(Records::new(block.into_owner(self.mode), plan.records, data_start(plan.records)))
    }

    fn decode_frames(
        &mut self,
        plan: Plan,
        frames: &[u8],
        offsets: &mut [u32],
        data: &mut [u8],
    ) -> Result<()> {
        let lengths_bytes = plan.records * plan.width;
        let mut bytes_are_missing = plan.bytes > 0;
        let mut lengths_are_missing = plan.width > 0;
        if !lengths_are_missing {
            equal_offsets(plan.length, offsets);
        }
        let mut rest = frames;
        while !rest.is_empty() {
            let (frame, stored, after) = split_frame(rest)?;
            rest = after;
            match frame {
                // The records alone go straight to their place.
                Frame { tag, buffers: 1, raw_bytes } if bytes_are_missing => {
                    if raw_bytes != plan.bytes {
                        return Err(damaged());
                    }
                    self.decompressor.decompress(tag, stored, data)?;
                    bytes_are_missing = false;
                }
                Frame { tag, buffers: 1 | 2, raw_bytes } if lengths_are_missing => {
                    let with_bytes = frame.buffers == 2;
                    let before = if with_bytes { plan.bytes } else { 0 };
                    if with_bytes != bytes_are_missing || raw_bytes != before + lengths_bytes {
                        return Err(damaged());
                    }
                    let scratch = scratch(&mut self.scratch, &self.consumer, raw_bytes)?;
                    self.decompressor.decompress(tag, stored, scratch)?;
                    let (bytes, lengths) = scratch.split_at_checked(before).ok_or_else(damaged)?;
                    if with_bytes {
                        data.copy_from_slice(bytes);
                    }
                    lengths_to_offsets(lengths, plan, offsets)?;
                    (bytes_are_missing, lengths_are_missing) = (false, false);
                }
                _ => return Err(damaged()),
            }
        }
        if bytes_are_missing || lengths_are_missing { Err(damaged()) } else { Ok(()) }
    }

    fn begin_chain(&mut self, header: &Header, body: &[u8]) -> Result<Option<Records>> {
        let record_bytes = header.chain_bytes;
        let Ok(length) = u32::try_from(record_bytes) else {
            return Err(Error::corrupt("a chain is longer than any record")
                .with(Figure::Length, record_bytes));
        };
        let target = data_start(1).saturating_add(to_usize(record_bytes));
        let mut block = self.allocate(target, Some(record_bytes))?;
        let (offsets, _) = split_target(&mut block, 1)?;
        equal_offsets(length, offsets);
        let chain = Chain { partition: header.partition, record_bytes, received: 0, block };
        self.chain = Some(self.receive(chain, header, body)?);
        Ok(None)
    }

    fn continue_chain(&mut self, header: &Header, body: &[u8]) -> Result<Option<Records>> {
        let Some(chain) = self.chain.take() else {
            return Err(Error::corrupt("a block continues a record that did not begin"));
        };
        let follows = header.chain_offset == chain.received
            && header.chain_bytes == chain.record_bytes
            && header.partition == chain.partition;
        if !follows {
            return Err(Error::corrupt("a chain of blocks lacks a part"));
        }
        let chain = self.receive(chain, header, body)?;
        if header.flags == FLAG_LAST {
            return Ok(Some(Records::new(chain.block.into_owner(self.mode), 1, data_start(1))));
        }
        self.chain = Some(chain);
        Ok(None)
    }

    /// Puts one fragment of a chained record in its place.
    fn receive(&mut self, mut chain: Chain, header: &Header, frames: &[u8]) -> Result<Chain> {
        let (frame, stored, rest) = split_frame(frames)?;
        if !rest.is_empty() || frame.buffers != 0 || frame.raw_bytes != header.raw_bytes as usize {
            return Err(damaged());
        }
        let start = to_usize(chain.received);
        let (_, data) = split_target(&mut chain.block, 1)?;
        // The header's check bounds the fragment's end by the record's.
        let end = start.checked_add(frame.raw_bytes).ok_or_else(damaged)?;
        let target = data.get_mut(start..end).ok_or_else(damaged)?;
        self.decompressor.decompress(frame.tag, stored, target)?;
        chain.received += frame.raw_bytes as u64;
        Ok(chain)
    }

    fn allocate(&self, bytes: usize, record_bytes: Option<u64>) -> Result<Block> {
        allocate_to_keep(&self.consumer, bytes, record_shell_bytes(), record_bytes)
    }
}

impl Plan {
    fn of(prefix: [u8; RECORD_PREFIX_BYTES], header: &Header) -> Result<Self> {
        let [width, zero0, zero1, zero2, l0, l1, l2, l3] = prefix;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        let records = header.rows as usize;
        if records > BLOCK_RECORDS_MAX {
            return Err(Error::corrupt("a block has more records than any block may")
                .with(Figure::Found, records));
        }
        if [zero0, zero1, zero2] != [0; 3] {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a block of records uses a field that this version does not know",
            ));
        }
        let raw_bytes = u64::from(header.raw_bytes);
        let bytes = match width {
            0 => Some(raw_bytes).filter(|_| records as u64 * u64::from(length) == raw_bytes),
            1 | 2 | 4 if length == 0 && records > 0 => {
                raw_bytes.checked_sub(records as u64 * u64::from(width))
            }
            _ => None,
        };
        let bytes = to_usize(bytes.ok_or_else(damaged)?);
        Ok(Self { records, width: width.into(), length, bytes })
    }

    const fn target_bytes(self) -> usize {
        data_start(self.records) + self.bytes
    }
}

/// Where the records begin behind their offsets.
const fn data_start(records: usize) -> usize {
    ((records + 1) * size_of::<u32>()).next_multiple_of(HEADER_BYTES)
}

fn split_target(block: &mut Block, records: usize) -> Result<(&mut [u32], &mut [u8])> {
    let (offsets, data) = block.split_at_mut_checked(data_start(records)).ok_or_else(damaged)?;
    let offsets = offsets.get_mut(..(records + 1) * size_of::<u32>()).ok_or_else(damaged)?;
    Ok((bytemuck::cast_slice_mut(offsets), data))
}

/// Offsets of records of one length; a plan has checked that their sum is no more than 4 GiB.
fn equal_offsets(length: u32, offsets: &mut [u32]) {
    let mut end = 0u32;
    for slot in offsets {
        *slot = end;
        end = end.wrapping_add(length);
    }
}

/// Running sums of lengths, which add up to the bytes.
fn lengths_to_offsets(lengths: &[u8], plan: Plan, offsets: &mut [u32]) -> Result<()> {
    let slots = offsets.iter_mut().skip(1);
    let end = match plan.width {
        1 => sum_up(lengths.iter().map(|&length| u64::from(length)), plan.bytes, slots),
        2 => {
            let lengths = lengths.as_chunks::<2>().0.iter();
            sum_up(lengths.map(|&length| u16::from_le_bytes(length).into()), plan.bytes, slots)
        }
        _ => {
            let lengths = lengths.as_chunks::<4>().0.iter();
            sum_up(lengths.map(|&length| u32::from_le_bytes(length).into()), plan.bytes, slots)
        }
    };
    if end == plan.bytes as u64 { Ok(()) } else { Err(damaged()) }
}

/// Below 2^20 lengths below 2^32: no overflow. What is above the bytes is found at the end.
fn sum_up<'a>(
    lengths: impl Iterator<Item = u64>,
    bytes: usize,
    slots: impl Iterator<Item = &'a mut u32>,
) -> u64 {
    let mut end = 0;
    for (slot, length) in slots.zip(lengths) {
        end += length;
        *slot = to_u32(to_usize(end.min(bytes as u64)));
    }
    end
}
