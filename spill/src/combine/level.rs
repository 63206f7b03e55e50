//! The runs of one level: what its spills wrote, by parts of the hash, or by key.

use std::sync::Arc;

use bywash_core::memory::{Array, Consumer, Vector};
use bywash_core::policy::runs_to_merge;
use bywash_core::{Error, Figure, Result};

use super::frames::{FrameReader, Segment};
use crate::run::RUNS_MAX;
use crate::spill_dirs::{SpillDirs, SpillFile};
use crate::writer::{WriteBuffer, write_file};

/// One spilled file.
#[derive(Debug)]
pub(super) struct CombineRun {
    pub(super) file: SpillFile,
    pub(super) bytes: u64,
    /// Bytes of its longest record.
    pub(super) record_max: usize,
    /// Whether no key is in it twice.
    pub(super) is_combined: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) parts: usize,
    pub(super) runs: Vector<CombineRun>,
    /// Where the parts of each run end, and one row more for a run being written.
    ends: Array<u64>,
    /// Records of each part in all runs.
    pub(super) rows: Array<u64>,
    /// The part to be read next.
    pub(super) next_part: usize,
}

impl Level {
    pub(super) fn try_new(consumer: &Consumer, parts: usize) -> Result<Self> {
        Ok(Self {
            parts,
            runs: Vector::try_with_capacity(consumer, RUNS_MAX + 1)?,
            ends: Array::try_new(consumer, (RUNS_MAX + 1) * parts)?,
            rows: Array::try_new(consumer, parts)?,
            next_part: 0,
        })
    }

    pub(super) fn bytes_for(parts: usize) -> u64 {
        Vector::<CombineRun>::bytes_for(RUNS_MAX + 1)
            + Array::<u64>::bytes_for((RUNS_MAX + 1) * parts)
            + Array::<u64>::bytes_for(parts)
    }

    /// Whether parts are left to be read.
    pub(super) fn is_pending(&self) -> bool {
        !self.runs.is_empty()
    }

    /// Forgets everything: its files go.
    pub(super) fn clear(&mut self) {
        self.runs.clear();
        self.rows.fill(0);
        self.next_part = 0;
    }

    /// A part of a run.
    pub(super) fn segment(&self, run: usize, part: usize) -> Segment {
        let ends = &self.ends[run * self.parts..(run + 1) * self.parts];
        let position = if part == 0 { 0 } else { ends[part - 1] };
        Segment { position, end: ends[part] }
    }

    /// The ends of the run that is written next, and the records of each part.
    pub(super) fn next_ends(&mut self) -> (&mut [u64], &mut [u64]) {
        let row = self.runs.len() * self.parts;
        (&mut self.ends[row..row + self.parts], &mut self.rows)
    }

    /// Keeps a run whose ends were written to [`Level::next_ends`].
    pub(super) fn add(&mut self, run: CombineRun) -> Result<()> {
        self.runs.push_within_capacity(run).map_err(|_| LIST_FULL)
    }

    pub(super) fn is_full(&self) -> bool {
        self.runs.len() >= RUNS_MAX
    }

    /// Merges some neighbouring runs into one, part by part, copying what was written. Needs no
    /// memory. Returns the bytes written.
    pub(super) fn merge_some(
        &mut self,
        dirs: &Arc<SpillDirs>,
        frames: &mut FrameReader,
        write: &mut WriteBuffer,
    ) -> Result<u64> {
        let range = runs_to_merge(self.runs.iter().map(|run| run.bytes));
        let (parts, last) = (self.parts, self.runs.len());
        let (file, bytes) = write_file(dirs, |file| {
            let mut sink = write.begin(file);
            for part in 0..parts {
                for run in range.clone() {
                    frames.copy(&self.runs[run].file, self.segment(run, part), &mut sink)?;
                }
                self.ends[last * parts + part] = sink.position();
            }
            sink.flush()?;
            Ok(sink.position())
        })?;
        frames.forget();
        let record_max = self.runs[range.clone()].iter().map(|run| run.record_max).max();
        let record_max = record_max.unwrap_or(0);
        let merged = CombineRun { file, bytes, record_max, is_combined: false };
        let place = range.start;
        self.ends.copy_within(last * parts..(last + 1) * parts, place * parts);
        self.ends.copy_within(range.end * parts..last * parts, (place + 1) * parts);
        self.runs.remove_range(range);
        self.runs.insert_within_capacity(place, merged).map_err(|_| LIST_FULL)?;
        Ok(bytes)
    }

    /// Removes the first runs: they were merged by key.
    pub(super) fn remove_first(&mut self, count: usize) {
        let (parts, last) = (self.parts, self.runs.len());
        self.ends.copy_within(count * parts..(last + 1) * parts, 0);
        self.runs.remove_range(0..count);
    }

    /// Fails if a part did not give the records that were written to it.
    pub(super) fn check_rows(&self, part: usize, found: u64) -> Result<()> {
        if found == self.rows[part] {
            return Ok(());
        }
        Err(Error::corrupt("a spilled run has lost records")
            .with(Figure::Partition, part)
            .with(Figure::Expected, self.rows[part])
            .with(Figure::Found, found))
    }
}

const LIST_FULL: Error = Error::internal("the list of runs is full after a merge");
