//! Sorted chunks to blocks, and spilling them as a run.

use std::sync::Arc;
use std::time::Instant;

use bywash_core::block::{BlockEncoder, ChunkRow, RowSlice};
use bywash_core::cast::to_u32;
use bywash_core::chunk::SortedChunk;
use bywash_core::column::Layout;
use bywash_core::memory::{Party, Spill, SpillCause, Vector};
use bywash_core::port::ByteSink;
use bywash_core::{Error, ErrorKind, Result};

use super::engine::Engine;
use super::progress::{Counters, Phase};
use super::working_set::{PartitionArrays, WorkingSet};
use super::write_buffer::FileSink;
use crate::output_dir::OutputFile;
use crate::run::{Run, write_table};
use crate::spill_dirs::{DirMask, SpillDirs, SpillFile};

/// Rows of a block at most, whatever they take.
const BLOCK_ROWS_MAX: usize = 1 << 24;

impl Engine {
    /// Writes all sorted chunks out as a run and gives their memory back, but for the spare.
    /// Returns the bytes given back. Needs no memory.
    pub(super) fn spill(&mut self, cause: SpillCause) -> Result<u64> {
        // Whoever else asked is answered by this too.
        let wanted = self.consumer.take_wanted();
        let asked = if cause == SpillCause::Reclaim { wanted } else { None };
        self.spill_for(cause, asked)
    }

    /// Spills because `bytes` are not to be had from anybody else.
    pub(super) fn spill_for_itself(&mut self, bytes: u64) -> Result<u64> {
        self.consumer.take_wanted();
        self.spill_for(SpillCause::Pressure, Some((self.consumer.party(), bytes)))
    }

    fn spill_for(&mut self, cause: SpillCause, asked: Option<(Party, u64)>) -> Result<u64> {
        self.shared.check_cancelled()?;
        if self.set.chunks.is_empty() {
            return Ok(0);
        }
        let spilling = self.consumer.begin_spill();
        let (held, start) = (self.consumer.granted(), Instant::now());
        let written = self.write_chunks();
        let freed = if written.is_ok() { self.release_chunks() } else { held };
        drop(spilling);
        self.consumer.record_spill(&Spill {
            cause,
            asked,
            held,
            freed,
            written: *written.as_ref().unwrap_or(&0),
            took: start.elapsed(),
            failed: written.is_err(),
        });
        written?;
        self.shared.counters.count_spill(cause);
        Ok(freed)
    }

    /// Writes all sorted chunks as a run; returns its bytes.
    fn write_chunks(&mut self) -> Result<u64> {
        let shared = Arc::clone(&self.shared);
        shared.counters.timed(Phase::Spill, || {
            self.make_room_for_run()?;
            let layout = self.spec.layout();
            let WorkingSet { chunks, slices, encoder, write, partitions, .. } = &mut self.set;
            let run = write_run(&self.spill_dirs, |file| {
                let mut sink = write.begin(file);
                let mut blocks = Blocks { layout, encoder, slices };
                for chunk in chunks.iter_mut() {
                    chunk.rewind();
                }
                for_each_partition(partitions, &mut sink, |partition, sink| {
                    shared.check_cancelled()?;
                    blocks.flush_partition(partition, chunks, sink)
                })
            })?;
            let written = run.file_bytes();
            Counters::add(&shared.counters.spilled_bytes, written);
            self.add_run(run)?;
            Ok(written)
        })
    }

    pub(super) fn add_run(&mut self, run: Run) -> Result<()> {
        self.set.runs.push_within_capacity(run).map_err(|_| RUNS_FULL)
    }

    /// Gives back the memory of chunks that were written, keeping one area as the spare.
    pub(super) fn release_chunks(&mut self) -> u64 {
        let before = self.consumer.granted();
        while let Some(chunk) = self.set.chunks.pop() {
            if self.set.spare.is_none() && chunk.bytes() >= self.set.spare_bytes {
                self.set.spare = Some(chunk.into_area());
            }
        }
        self.note_reclaimable();
        before - self.consumer.granted()
    }
}

/// Writes a run in one directory, or from the start in another one when that fails.
pub(super) fn write_run(
    dirs: &Arc<SpillDirs>,
    write: impl FnMut(&mut SpillFile) -> Result<(u64, u64)>,
) -> Result<Run> {
    let (file, (data_bytes, file_bytes)) = write_file(dirs, write)?;
    Ok(Run::new(file, data_bytes, file_bytes))
}

/// Writes a file in one directory, or from the start in another one when that fails. Needs no
/// memory.
pub(crate) fn write_file<T>(
    dirs: &Arc<SpillDirs>,
    mut write: impl FnMut(&mut SpillFile) -> Result<T>,
) -> Result<(SpillFile, T)> {
    let mut tried = DirMask::default();
    let mut first = None;
    loop {
        let mut file = match dirs.create(tried) {
            Ok(file) => file,
            Err(error) => return Err(first.unwrap_or(error)),
        };
        match write(&mut file) {
            Ok(written) => return Ok((file, written)),
            Err(error) if is_about_a_directory(&error) => {
                tried = tried.with(file.dir());
                first.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Writes every partition's segment and the table; returns the bytes of both and in all.
pub(super) fn for_each_partition(
    partitions: &mut PartitionArrays,
    sink: &mut FileSink<'_>,
    mut segment: impl FnMut(u32, &mut FileSink<'_>) -> Result<()>,
) -> Result<(u64, u64)> {
    let offsets = &mut partitions.offsets;
    offsets[0] = 0;
    for partition in 0..to_u32(offsets.len() - 1) {
        segment(partition, sink)?;
        offsets[partition as usize + 1] = sink.position();
    }
    let data_bytes = sink.position();
    write_table(&offsets[1..], sink)?;
    sink.flush()?;
    Ok((data_bytes, sink.position()))
}

/// What turns rows of chunks into blocks.
pub(super) struct Blocks<'a> {
    pub(super) layout: &'a Layout,
    pub(super) encoder: &'a mut BlockEncoder,
    pub(super) slices: &'a mut Vector<RowSlice>,
}

impl Blocks<'_> {
    /// Appends the rows of one partition, chunk by chunk, as blocks as large as they may be.
    pub(super) fn flush_partition(
        &mut self,
        partition: u32,
        chunks: &mut [SortedChunk],
        sink: &mut FileSink<'_>,
    ) -> Result<()> {
        let raw_bytes_max = self.encoder.raw_bytes_max();
        let (mut rows, mut data_bytes) = (0usize, 0usize);
        self.slices.clear();
        for index in 0..chunks.len() {
            let Some((mut start, end)) = chunks[index].take_segment(partition) else {
                continue;
            };
            while start < end {
                let chunk = &chunks[index];
                let limit = end.min(start.saturating_add(to_u32(BLOCK_ROWS_MAX - rows)));
                let sizes = self.encoder.sizes();
                let (count, data) =
                    sizes.rows_within(chunk, (start, limit), (rows, data_bytes), raw_bytes_max);
                let slice = RowSlice { chunk: to_u32(index), start, end: start + count };
                if count > 0 && self.slices.push_within_capacity(slice).is_ok() {
                    start += count;
                    rows += count as usize;
                    data_bytes += data;
                } else if rows > 0 {
                    self.encoder.encode(self.layout, partition, chunks, self.slices, sink)?;
                    self.slices.clear();
                    (rows, data_bytes) = (0, 0);
                } else {
                    // One row alone is above a block.
                    let row = ChunkRow { chunk, layout: self.layout, row: start };
                    self.encoder.encode_chain(self.layout, partition, &row, sink)?;
                    start += 1;
                }
            }
        }
        if rows > 0 {
            self.encoder.encode(self.layout, partition, chunks, self.slices, sink)?;
        }
        Ok(())
    }
}

impl ByteSink for SpillFile {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        Self::write_all_at(self, bytes, offset)
    }
}

impl ByteSink for OutputFile {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        Self::write_all_at(self, bytes, offset)
    }
}

/// Whether another directory may do better. The memory budget is about a directory too: a spill asks
/// for none, but for what a directory in memory is charged.
fn is_about_a_directory(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Io
            | ErrorKind::NoSpace
            | ErrorKind::Quota
            | ErrorKind::MemoryLimit
            | ErrorKind::Unavailable
    )
}

const RUNS_FULL: Error = Error::internal("the list of runs is full after a merge");
