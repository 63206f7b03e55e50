//! Blocks back into record batches, in one charged allocation a batch.
//!
//! Order of belief: the header (already checked), the body's checksum, the prefix against the
//! header, each frame against the prefix, and at last Arrow's own full validation.

#![deny(clippy::indexing_slicing)]

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions, make_array};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;

use super::header::{
    FLAG_FIRST, FLAG_LAST, FLAG_MIDDLE, FRAME_HEADER_BYTES, Header, RAW_BYTES_MAX,
};
use super::shells::shell_bytes;
use crate::cast::{to_u32, to_usize};
use crate::codec::Decompressor;
use crate::column::{Layout, Physical, buffers};
use crate::memory::{Block, BlockOwner, ChargeMode, Consumer};
use crate::{Error, ErrorKind, Figure, Result};

/// What a block gave.
#[derive(Debug)]
pub enum Decoded {
    /// A batch of rows.
    Batch(RecordBatch),
    /// A part of a row whose other parts follow.
    Partial,
}

/// Decodes the blocks of one segment, in order.
///
/// Its working memory is what its blocks need: at most 4 MiB of scratch and Zstandard's state.
#[derive(Debug)]
pub struct BlockDecoder {
    layout: Arc<Layout>,
    consumer: Consumer,
    mode: ChargeMode,
    /// What the caller allocates around each batch.
    shells: u64,
    decompressor: Decompressor,
    scratch: Option<Block>,
    /// The buffers of the batch being decoded.
    plan: Vec<Part>,
    chain: Option<Chain>,
}

/// One buffer: what it is, where it comes from in the image and where it goes.
#[derive(Debug, Clone)]
struct Part {
    role: Role,
    raw: Range<usize>,
    target: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Validity,
    Values,
    /// Lengths that become offsets; and the bytes of data they must add up to.
    Lengths {
        wide: bool,
        data_bytes: usize,
    },
    Data,
}

#[derive(Debug)]
struct Chain {
    partition: u32,
    image_bytes: u64,
    received: u64,
    block: Block,
}

impl BlockDecoder {
    /// A decoder of blocks of `layout` whose memory is charged to `consumer` and whose batches are
    /// charged as `mode` says.
    pub fn new(layout: Arc<Layout>, consumer: Consumer, mode: ChargeMode) -> Self {
        let decompressor = Decompressor::new(consumer.clone());
        let (scratch, plan, chain) = (None, Vec::new(), None);
        Self { layout, consumer, mode, shells: 0, decompressor, scratch, plan, chain }
    }

    /// Charges `bytes` more with each batch: what its caller will allocate around it, and free before
    /// the last of its buffers. A batch without a buffer is not charged.
    #[must_use]
    pub fn with_shells(mut self, bytes: u64) -> Self {
        self.shells = bytes;
        self
    }

    /// Decodes the block with this header and this body.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are not what was written; `MemoryLimit`, naming the row, or
    /// `BudgetHeldByCaller` if the budget does not hold the batch.
    pub fn decode(&mut self, header: &Header, body: &[u8]) -> Result<Decoded> {
        if header.fingerprint != self.layout.fingerprint() {
            return Err(Error::corrupt("a block has another schema"));
        }
        if body.len() != header.body_bytes as usize || crc32c::crc32c(body) != header.body_crc {
            return Err(Error::corrupt("a block's body does not match its checksum")
                .with(Figure::Partition, header.partition));
        }
        match header.flags {
            0 if self.chain.is_none() => self.decode_whole(header, body),
            FLAG_FIRST if self.chain.is_none() => self.begin_chain(header, body),
            FLAG_MIDDLE | FLAG_LAST => self.continue_chain(header, body),
            _ => Err(Error::corrupt("a chain of blocks has no end")),
        }
    }

    /// Whether a chain has begun and not ended.
    pub const fn is_inside_chain(&self) -> bool {
        self.chain.is_some()
    }

    fn decode_whole(&mut self, header: &Header, body: &[u8]) -> Result<Decoded> {
        let rows = header.rows as usize;
        let (prefix, frames) = split_prefix(&self.layout, false, body)?;
        let target_bytes = self.plan(prefix, rows, false, u64::from(header.raw_bytes))?;
        let mut block = self.allocate(target_bytes, None)?;
        self.decode_frames(frames, &mut block)?;
        self.assemble(rows, block).map(Decoded::Batch)
    }

    fn begin_chain(&mut self, header: &Header, body: &[u8]) -> Result<Decoded> {
        let (prefix, frames) = split_prefix(&self.layout, true, body)?;
        let target_bytes = self.plan(prefix, 1, true, header.chain_bytes)?;
        let mut block = self.allocate(target_bytes, Some(header.chain_bytes))?;
        for part in &self.plan {
            // The prefix has said the one row's lengths; those in the image are not needed.
            if let Role::Lengths { wide, data_bytes } = part.role {
                let end = (data_bytes as u64).to_le_bytes();
                let width = if wide { 8 } else { 4 };
                let target = block.get_mut(part.target.clone()).and_then(|t| t.get_mut(width..));
                let end = end.get(..width).unwrap_or_default();
                target.ok_or_else(damaged)?.copy_from_slice(end);
            }
        }
        let chain = Chain {
            partition: header.partition,
            image_bytes: header.chain_bytes,
            received: 0,
            block,
        };
        self.chain = Some(self.receive(chain, header, frames)?);
        Ok(Decoded::Partial)
    }

    fn continue_chain(&mut self, header: &Header, body: &[u8]) -> Result<Decoded> {
        let Some(chain) = self.chain.take() else {
            return Err(Error::corrupt("a block continues a row that did not begin"));
        };
        let follows = header.chain_offset == chain.received
            && header.chain_bytes == chain.image_bytes
            && header.partition == chain.partition;
        if !follows {
            return Err(Error::corrupt("a chain of blocks lacks a part"));
        }
        let chain = self.receive(chain, header, body)?;
        if header.flags == FLAG_LAST {
            return self.assemble(1, chain.block).map(Decoded::Batch);
        }
        self.chain = Some(chain);
        Ok(Decoded::Partial)
    }

    /// Puts one fragment of a chained row where it belongs.
    fn receive(&mut self, mut chain: Chain, header: &Header, frames: &[u8]) -> Result<Chain> {
        let (frame, stored, rest) = split_frame(frames)?;
        if !rest.is_empty() || frame.buffers != 0 || frame.raw_bytes != header.raw_bytes as usize {
            return Err(damaged());
        }
        let start = to_usize(chain.received);
        let scratch = scratch(&mut self.scratch, &self.consumer, frame.raw_bytes)?;
        self.decompressor.decompress(frame.tag, stored, scratch)?;
        let fragment = start..start.checked_add(frame.raw_bytes).ok_or_else(damaged)?;
        for part in &self.plan {
            let from = part.raw.start.max(fragment.start);
            let to = part.raw.end.min(fragment.end);
            if from >= to || matches!(part.role, Role::Lengths { .. }) {
                continue;
            }
            let source = scratch.get(from - fragment.start..to - fragment.start);
            let target = part.target.start + (from - part.raw.start);
            let target = chain.block.get_mut(target..target + (to - from));
            target.ok_or_else(damaged)?.copy_from_slice(source.ok_or_else(damaged)?);
        }
        chain.received += frame.raw_bytes as u64;
        Ok(chain)
    }

    /// Works out all buffers from the prefix. Returns the bytes of the allocation they go to.
    fn plan(&mut self, prefix: &[u8], rows: usize, chained: bool, raw_bytes: u64) -> Result<usize> {
        self.plan.clear();
        let nodes = self.layout.nodes();
        let (bits, lengths) =
            prefix.split_at_checked(nodes.len().div_ceil(8)).ok_or_else(damaged)?;
        let mut lengths = lengths.chunks_exact(if chained { 8 } else { 4 });
        let (mut raw, mut target) = (0usize, 0usize);
        let mut add = |plan: &mut Vec<Part>, role, raw_len: usize, target_len: usize| {
            let raw_end = raw.checked_add(raw_len).ok_or_else(damaged)?;
            let target_end = target.checked_add(target_len).ok_or_else(damaged)?;
            plan.push(Part { role, raw: raw..raw_end, target: target..target_end });
            raw = raw_end;
            target = target_end.checked_next_multiple_of(64).ok_or_else(damaged)?;
            Ok::<(), Error>(())
        };
        for (index, node) in nodes.iter().enumerate() {
            let has_validity = bits.get(index / 8).is_some_and(|byte| byte >> (index % 8) & 1 == 1);
            if has_validity {
                if !node.nullable || node.physical == Physical::Null {
                    return Err(damaged());
                }
                let len = rows.div_ceil(8);
                add(&mut self.plan, Role::Validity, len, len)?;
            }
            match node.physical {
                Physical::Null => {}
                Physical::Bool => {
                    let len = rows.div_ceil(8);
                    add(&mut self.plan, Role::Values, len, len)?;
                }
                Physical::Fixed { width } => {
                    let len = rows.checked_mul(width as usize).ok_or_else(damaged)?;
                    add(&mut self.plan, Role::Values, len, len)?;
                }
                Physical::Variable { wide } => {
                    let length = lengths.next().ok_or_else(damaged)?;
                    let mut bytes = [0; 8];
                    bytes.get_mut(..length.len()).ok_or_else(damaged)?.copy_from_slice(length);
                    let data_bytes = u64::from_le_bytes(bytes);
                    if data_bytes > raw_bytes || (!wide && i32::try_from(data_bytes).is_err()) {
                        return Err(damaged());
                    }
                    let data_bytes = to_usize(data_bytes);
                    let width = node.physical.length_bytes();
                    let len = rows.checked_mul(width).ok_or_else(damaged)?;
                    let role = Role::Lengths { wide, data_bytes };
                    add(&mut self.plan, role, len, len.saturating_add(width))?;
                    add(&mut self.plan, Role::Data, data_bytes, data_bytes)?;
                }
            }
        }
        if raw as u64 != raw_bytes {
            return Err(damaged());
        }
        Ok(target)
    }

    fn decode_frames(&mut self, mut frames: &[u8], block: &mut [u8]) -> Result<()> {
        let mut parts = self.plan.as_slice();
        while !frames.is_empty() {
            let (frame, stored, rest) = split_frame(frames)?;
            frames = rest;
            let (mine, others) = parts.split_at_checked(frame.buffers).ok_or_else(damaged)?;
            parts = others;
            let (Some(first), Some(last)) = (mine.first(), mine.last()) else {
                return Err(damaged());
            };
            if last.raw.end - first.raw.start != frame.raw_bytes {
                return Err(damaged());
            }
            if mine.len() == 1 && !matches!(first.role, Role::Lengths { .. }) {
                let target = block.get_mut(first.target.clone()).ok_or_else(damaged)?;
                self.decompressor.decompress(frame.tag, stored, target)?;
                continue;
            }
            let scratch = scratch(&mut self.scratch, &self.consumer, frame.raw_bytes)?;
            self.decompressor.decompress(frame.tag, stored, scratch)?;
            for part in mine {
                let start = first.raw.start;
                let source = scratch.get(part.raw.start - start..part.raw.end - start);
                let source = source.ok_or_else(damaged)?;
                let target = block.get_mut(part.target.clone()).ok_or_else(damaged)?;
                match part.role {
                    Role::Lengths { wide, data_bytes } => {
                        lengths_to_offsets(source, wide, data_bytes, target)?;
                    }
                    _ => target.copy_from_slice(source),
                }
            }
        }
        if parts.is_empty() { Ok(()) } else { Err(damaged()) }
    }

    fn allocate(&self, bytes: usize, row_bytes: Option<u64>) -> Result<Block> {
        let shells = shell_bytes(&self.layout, self.plan.len()).saturating_add(self.shells);
        allocate_to_keep(&self.consumer, bytes, shells, row_bytes)
    }

    /// Turns the filled allocation into a validated batch.
    fn assemble(&self, rows: usize, block: Block) -> Result<RecordBatch> {
        let owner = block.into_owner(self.mode);
        let mut parts = self.plan.iter().peekable();
        let schema = self.layout.schema();
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (node, field) in self.layout.nodes().iter().zip(schema.fields()) {
            let mut data = ArrayData::builder(field.data_type().clone()).len(rows);
            // A column of nulls has no parts at all: the next validity is the next column's.
            if node.physical != Physical::Null
                && let Some(part) = parts.next_if(|part| part.role == Role::Validity)
            {
                data = data.null_bit_buffer(Some(buffer(&owner, part)?));
            }
            let values = buffers(node.physical, false);
            for part in parts.by_ref().take(values) {
                data = data.add_buffer(buffer(&owner, part)?);
            }
            // Builds with full validation: UTF-8, offsets, lengths.
            columns.push(make_array(data.build().map_err(|error| invalid(&error))?));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
            .map_err(|error| invalid(&error))
    }
}

/// Memory for what a caller will keep, or an error that says what to do.
pub(super) fn allocate_to_keep(
    consumer: &Consumer,
    bytes: usize,
    shells: u64,
    row_bytes: Option<u64>,
) -> Result<Block> {
    Block::try_new_to_keep(consumer, bytes, shells).map_err(|error| {
        let error = consumer.held_by_caller(error);
        if error.kind() != ErrorKind::MemoryLimit {
            return error;
        }
        let requested = Block::bytes_to_keep(bytes, shells);
        let figure = |name| error.figure(name).unwrap_or(0);
        let (available, budget) = (figure(Figure::Available), figure(Figure::Budget));
        match row_bytes {
            Some(row_bytes) => Error::new(
                ErrorKind::MemoryLimit,
                "one row is larger than the reader's budget; raise the budget",
            )
            .with(Figure::RowBytes, row_bytes)
            .with(Figure::Requested, requested)
            .with(Figure::Available, available)
            .with(Figure::Budget, budget),
            None => Error::new(
                ErrorKind::MemoryLimit,
                "the reader's budget does not hold the next batch; raise the budget",
            )
            .with(Figure::Requested, requested)
            .with(Figure::Available, available)
            .with(Figure::Budget, budget),
        }
    })
}

pub(super) struct Frame {
    pub(super) tag: u8,
    pub(super) buffers: usize,
    pub(super) raw_bytes: usize,
}

fn split_prefix<'a>(
    layout: &Layout,
    chained: bool,
    body: &'a [u8],
) -> Result<(&'a [u8], &'a [u8])> {
    body.split_at_checked(layout.prefix_bytes(chained)).ok_or_else(damaged)
}

/// A frame, its stored bytes and what follows.
pub(super) fn split_frame(frames: &[u8]) -> Result<(Frame, &[u8], &[u8])> {
    let (header, rest) = frames.split_first_chunk::<FRAME_HEADER_BYTES>().ok_or_else(damaged)?;
    let [tag, zero, b0, b1, r0, r1, r2, r3, s0, s1, s2, s3] = *header;
    let raw_bytes = u32::from_le_bytes([r0, r1, r2, r3]) as usize;
    if zero != 0 || raw_bytes > RAW_BYTES_MAX {
        return Err(damaged());
    }
    let stored_bytes = u32::from_le_bytes([s0, s1, s2, s3]) as usize;
    let (stored, rest) = rest.split_at_checked(stored_bytes).ok_or_else(damaged)?;
    let buffers = usize::from(u16::from_le_bytes([b0, b1]));
    Ok((Frame { tag, buffers, raw_bytes }, stored, rest))
}

/// Running sums of lengths, beginning with the zero that is there.
fn lengths_to_offsets(
    lengths: &[u8],
    wide: bool,
    data_bytes: usize,
    offsets: &mut [u8],
) -> Result<()> {
    let mut end = 0u64;
    if wide {
        let slots = offsets.as_chunks_mut::<8>().0.iter_mut().skip(1);
        for (slot, length) in slots.zip(lengths.as_chunks::<8>().0) {
            end = end.checked_add(u64::from_le_bytes(*length)).ok_or_else(damaged)?;
            *slot = end.to_le_bytes();
        }
    } else {
        let slots = offsets.as_chunks_mut::<4>().0.iter_mut().skip(1);
        for (slot, length) in slots.zip(lengths.as_chunks::<4>().0) {
            // Each is below 4 GiB and there are below 4 Gi of them: no overflow.
            end += u64::from(u32::from_le_bytes(*length));
            *slot = to_u32(to_usize(end.min(data_bytes as u64))).to_le_bytes();
        }
    }
    if end == data_bytes as u64 { Ok(()) } else { Err(damaged()) }
}

pub(super) fn scratch<'a>(
    scratch: &'a mut Option<Block>,
    consumer: &Consumer,
    len: usize,
) -> Result<&'a mut [u8]> {
    if scratch.as_ref().is_none_or(|scratch| scratch.len() < len) {
        // The old one goes first: it is of no more use.
        *scratch = None;
        *scratch = Some(Block::try_new(consumer, len)?);
    }
    scratch.as_mut().and_then(|scratch| scratch.get_mut(..len)).ok_or_else(damaged)
}

fn buffer(owner: &Arc<BlockOwner>, part: &Part) -> Result<Buffer> {
    owner.buffer(part.target.start, part.target.len()).ok_or_else(damaged)
}

#[cold]
pub(super) fn damaged() -> Error {
    Error::corrupt("a block's body contradicts itself")
}

#[cold]
fn invalid(error: &arrow_schema::ArrowError) -> Error {
    Error::corrupt("a block's columns are not valid").with_detail(error.to_string())
}
