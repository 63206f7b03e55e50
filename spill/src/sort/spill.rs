//! Sorted chunks out of memory: merged into a run.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bywash_core::chunk::SortedChunk;
use bywash_core::memory::{Party, Spill, SpillCause};
use bywash_core::{Error, Result};

use super::engine::{Engine, Stage};
use super::memory::SortMemory;
use super::merge::{Source, merge};
use crate::merge::SortedRun;
use crate::writer::{Phase, write_run};

impl Engine {
    /// Writes all chunks, or what is left of them while they are read, out as a run, and gives their
    /// memory back, but for the spare. Returns the bytes given back. Needs no memory.
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
        self.signals.check_cancelled()?;
        // Chunks to come are sure to want what this sort spills for itself.
        let keeps = cause == SpillCause::Pressure && self.stage == Stage::Filling;
        let pooled = if keeps { 0 } else { self.drop_pool() };
        if self.memory.chunks.is_empty() {
            self.note_reclaimable();
            return Ok(pooled);
        }
        let spilling = self.consumer.begin_spill();
        let (held, start) = (self.consumer.granted(), Instant::now());
        let written = self.write_chunks();
        let freed = if written.is_ok() { pooled + self.release_chunks(keeps) } else { held };
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
        self.signals.counters.count_spill(cause);
        if self.stage == Stage::Chunks {
            self.stage = Stage::Runs;
            let runs = self.memory.runs.len();
            self.signals.passes.fetch_max(1, Ordering::Relaxed);
            self.signals.fan_in.store(runs as u64, Ordering::Relaxed);
            self.run_merge(0..runs)?.open()?;
        }
        Ok(freed)
    }

    /// Writes the rows of all chunks that were not given out; returns the bytes.
    fn write_chunks(&mut self) -> Result<u64> {
        let signals = Arc::clone(&self.signals);
        signals.counters.timed(Phase::Spill, || {
            let chunks = self.memory.chunks.len();
            if self.stage == Stage::Chunks {
                return self.write_run_of(0..chunks);
            }
            let (mut start, mut written) = (0, 0);
            while start < chunks {
                let end = self.end_of_run(start);
                written += self.write_run_of(start..end)?;
                start = end;
            }
            Ok(written)
        })
    }

    /// Once rows had to be written all that come will be: a run of them is written while caches hold it.
    pub(super) fn spill_while_cached(&mut self) -> Result<()> {
        let (chunks, runs) = (&self.memory.chunks, &self.memory.runs);
        let Some(last) = chunks.last().filter(|_| !runs.is_empty()) else {
            return Ok(());
        };
        let bytes: u64 = chunks.iter().map(SortedChunk::bytes).sum();
        if bytes + last.bytes() <= self.run_bytes_max() {
            return Ok(());
        }
        self.consumer.take_wanted();
        self.spill_for(SpillCause::Pressure, None).map(drop)
    }

    /// How much makes a run: as much as caches hold, since rows are gathered from all of its chunks at random;
    /// all there is once there are many runs.
    fn run_bytes_max(&self) -> u64 {
        if self.memory.runs.len() < self.memory.runs_max / 4 { RUN_BYTES } else { u64::MAX }
    }

    /// The chunks from `start` on that make a run.
    fn end_of_run(&self, start: usize) -> usize {
        let (chunks, bytes_max) = (&self.memory.chunks, self.run_bytes_max());
        let (mut end, mut bytes) = (start, 0);
        while let Some(chunk) = chunks.get(end) {
            bytes += chunk.bytes();
            if end > start && bytes > bytes_max {
                break;
            }
            end += 1;
        }
        end
    }

    /// Writes the rows of some chunks that were not given out as a run; returns its bytes.
    fn write_run_of(&mut self, range: Range<usize>) -> Result<u64> {
        let signals = Arc::clone(&self.signals);
        let limits = self.memory.block_limits();
        let is_being_read = self.stage == Stage::Chunks;
        let Self { memory, spec, span, spill_dirs, .. } = self;
        let SortMemory { chunks, picker, write, encoder, sizes, .. } = memory;
        let chunks = chunks.get(range).ok_or(LOST_ROWS)?;
        let mut rows = chunks.iter().map(|chunk| u64::from(chunk.rows())).sum::<u64>();
        if is_being_read {
            rows = rows.saturating_sub(signals.rows_out.load(Ordering::Relaxed));
            picker.unpick();
            picker.mark();
        }
        let run = write_run(spill_dirs, |file| {
            let mut merge = merge(spec, *span, sizes, picker, Source::Chunks(chunks));
            if is_being_read {
                merge.picker.go_back_to_mark();
                merge.begin()?;
            } else {
                merge.open()?;
            }
            let mut sink = write.begin_run(file);
            let written = merge.write_all(limits, encoder, &signals, &mut sink)?;
            if written != rows {
                return Err(LOST_ROWS);
            }
            sink.flush()?;
            Ok((sink.position(), sink.position()))
        })?;
        let written = run.file_bytes();
        self.add_run(SortedRun::new(run, rows, 0))?;
        Ok(written)
    }

    /// Gives back the memory of chunks that were written, keeping one area as the spare, and for chunks to
    /// come, if it is told so, what makes a run. Returns the bytes without the spare.
    fn release_chunks(&mut self, keeps: bool) -> u64 {
        let kept_max = if keeps { self.run_bytes_max() } else { 0 };
        let mut bytes = 0;
        while let Some(chunk) = self.memory.chunks.pop() {
            if let Some(fill) = &mut self.memory.fill
                && fill.spare.is_none()
                && chunk.bytes() >= fill.spare_bytes
            {
                fill.spare = Some(SortedChunk::into_area(chunk));
                continue;
            }
            bytes += chunk.bytes();
            if let Some(fill) = self.memory.fill.as_mut().filter(|_| bytes <= kept_max) {
                drop(fill.pool.push_within_capacity(chunk.into_area()));
            }
        }
        self.note_reclaimable();
        bytes
    }
}

/// Bytes of chunks that make a run at most, unless one is more.
const RUN_BYTES: u64 = 16 << 20;
const LOST_ROWS: Error = Error::internal("a spill has lost rows");
