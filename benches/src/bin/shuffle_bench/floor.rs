//! The floor: the same rows through codec, checksum and write calls, with no partitioning.
//!
//! A shuffle can hardly cost less than this, so the ratio to it says what partitioning costs. Blocks
//! are cut from the batches as they come; a block is one frame, or one frame per buffer, which saves
//! the copy into one piece. The best of a few block sizes is the floor.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use bywash_core::block::{FRAME_HEADER_BYTES, HEADER_BYTES as BLOCK_HEADER_BYTES};
use bywash_core::codec::{Codec, Compressor};
use bywash_core::memory::MemoryLedger;
use serde::Serialize;

use crate::clock::{Clock, Elapsed};
use crate::columns::Columns;
use crate::failure::{Result, fail};

/// How the floor cuts and packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Variant {
    /// Raw bytes per block, in KiB.
    pub(crate) block_kib: usize,
    /// What is compressed at once.
    pub(crate) frames: Frames,
}

/// What is compressed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Frames {
    WholeBlock,
    PerBuffer,
}

impl Variant {
    /// Every variant that is tried.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [64, 128, 256, 512].into_iter().flat_map(|block_kib| {
            [Frames::WholeBlock, Frames::PerBuffer]
                .into_iter()
                .map(move |frames| Self { block_kib, frames })
        })
    }
}

/// What is the same for every run.
pub(crate) struct FloorPlan<'a> {
    pub(crate) batches: &'a [Columns],
    pub(crate) codec: Codec,
    /// Bytes gathered for one write call, as the engine gathers them.
    pub(crate) write_bytes: usize,
    pub(crate) dir: &'a Path,
}

/// One run of the floor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FloorRun {
    pub(crate) time: Elapsed,
    pub(crate) bytes: u64,
}

/// Runs one variant into a new file of `dir`, which is removed after the clock.
pub(crate) fn run(plan: &FloorPlan<'_>, variant: Variant) -> Result<FloorRun> {
    let path = plan.dir.join("floor.data");
    let clock = Clock::start();
    let file = File::create_new(&path).map_err(fail)?;
    let mut writer = BlockWriter::new(file, variant, plan)?;
    for batch in plan.batches {
        writer.write(batch)?;
    }
    let bytes = writer.finish()?;
    let time = clock.elapsed();
    std::fs::remove_file(&path).map_err(fail)?;
    Ok(FloorRun { time, bytes })
}

struct BlockWriter {
    variant: Variant,
    codec: Codec,
    write_bytes: usize,
    compressor: Compressor,
    file: File,
    raw: Vec<u8>,
    lengths: Vec<u8>,
    /// Packed blocks that wait to be written, and how much of it is filled.
    pending: Vec<u8>,
    filled: usize,
    written: u64,
}

impl BlockWriter {
    fn new(file: File, variant: Variant, plan: &FloorPlan<'_>) -> Result<Self> {
        let tasks = MemoryLedger::unlimited().admit(1, 0).map_err(fail)?;
        let consumer = tasks.first().ok_or("no task was admitted")?.consumer("floor");
        // Blocks are cut to whole rows of average size; leave room for uneven rows.
        let raw_max = variant.block_kib * 2048;
        Ok(Self {
            variant,
            codec: plan.codec,
            write_bytes: plan.write_bytes,
            compressor: Compressor::try_new(&consumer, plan.codec, raw_max).map_err(fail)?,
            file,
            raw: Vec::with_capacity(raw_max),
            lengths: Vec::new(),
            pending: Vec::new(),
            filled: 0,
            written: 0,
        })
    }

    fn write(&mut self, batch: &Columns) -> Result<()> {
        let blocks = batch.raw_bytes().div_ceil(self.variant.block_kib * 1024).max(1);
        for block in 0..blocks {
            let from = batch.rows() * block / blocks;
            let to = batch.rows() * (block + 1) / blocks;
            match self.variant.frames {
                Frames::WholeBlock => self.write_whole(batch, from, to)?,
                Frames::PerBuffer => self.write_per_buffer(batch, from, to)?,
            }
        }
        Ok(())
    }

    fn write_whole(&mut self, batch: &Columns, from: usize, to: usize) -> Result<()> {
        self.raw.clear();
        let raw = &mut self.raw;
        batch.buffers(from, to, &mut self.lengths, |buffer| {
            raw.extend_from_slice(buffer);
        });
        let start = self.begin_block(Compressor::compressed_bytes_max(self.codec, self.raw.len()));
        let target = &mut self.pending[start + FRAME_HEADER_BYTES..];
        let (_tag, length) = self.compressor.compress(&self.raw, target);
        self.end_block(start, FRAME_HEADER_BYTES + length)
    }

    fn write_per_buffer(&mut self, batch: &Columns, from: usize, to: usize) -> Result<()> {
        let raw_bytes = batch.raw_bytes_of(from, to);
        // Generous for every codec and at most three buffers per column.
        let start = self.begin_block(2 * raw_bytes + batch.len() * 3 * 1024);
        let (compressor, pending) = (&mut self.compressor, &mut self.pending);
        let mut length = 0;
        batch.buffers(from, to, &mut self.lengths, |buffer| {
            length += FRAME_HEADER_BYTES;
            length += compressor.compress(buffer, &mut pending[start + length..]).1;
        });
        self.end_block(start, length)
    }

    /// Makes room for a block body of up to `room` bytes and a frame's header; returns its start.
    fn begin_block(&mut self, room: usize) -> usize {
        let needed = self.filled + BLOCK_HEADER_BYTES + FRAME_HEADER_BYTES + room;
        if needed > self.pending.len() {
            self.pending.resize(needed, 0);
        }
        self.filled + BLOCK_HEADER_BYTES
    }

    fn end_block(&mut self, start: usize, length: usize) -> Result<()> {
        let checksum = crc32c::crc32c(&self.pending[start..start + length]);
        self.pending[start - 4..start].copy_from_slice(&checksum.to_le_bytes());
        self.filled = start + length;
        if self.filled < self.write_bytes { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        self.file.write_all(&self.pending[..self.filled]).map_err(fail)?;
        self.written += u64::try_from(self.filled).map_err(fail)?;
        self.filled = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<u64> {
        self.flush()?;
        Ok(self.written)
    }
}
