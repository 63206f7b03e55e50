//! Runs into one run when there are too many, and everything into the output at the end.

use std::ops::Range;
use std::sync::Arc;

use bywash_core::policy::runs_to_merge;
use bywash_core::port::ByteSink;
use bywash_core::{Error, Figure, Result};

use super::engine::{Engine, Signals};
use super::flush::{for_each_partition, write_run};
use super::progress::Counters;
use super::rows::{Rows, RowsSpec};
use super::working_set::WorkingSet;
use super::write_buffer::FileSink;
use crate::run::{PAGE_BYTES, RUNS_MAX, Run};

impl<R: Rows> Engine<R> {
    /// Merges some neighbouring runs if the list is full. Needs no memory.
    pub(super) fn make_room_for_run(&mut self) -> Result<()> {
        if self.set.runs.len() < RUNS_MAX {
            return Ok(());
        }
        let range = runs_to_merge(self.set.runs.iter().map(Run::file_bytes));
        self.merge_runs(range)
    }

    fn merge_runs(&mut self, range: Range<usize>) -> Result<()> {
        let fingerprint = self.spec.fingerprint();
        let WorkingSet { runs, windows, write, partitions, .. } = &mut self.set;
        let signals = Arc::clone(&self.shared);
        let runs_merged = &mut runs[range.clone()];
        let merged = write_run(&self.spill_dirs, |file| {
            let mut sink = write.begin_run(file);
            runs_merged.iter_mut().for_each(Run::rewind);
            for_each_partition(partitions, &mut sink, |partition, sink| {
                signals.check_cancelled()?;
                copy_segments(runs_merged, partition, fingerprint, windows, sink).map(|_rows| ())
            })
        })?;
        Counters::add(&signals.counters.spilled_bytes, merged.file_bytes());
        Counters::add(&signals.counters.run_merges, 1);
        let place = range.start;
        runs.remove_range(range);
        runs.insert_within_capacity(place, merged).map_err(|_| LIST_FULL)
    }

    /// Writes all rows, those in runs before those in memory, partition by partition, and calls
    /// `segment_written` after each. Needs no memory. Returns the bytes written.
    pub(super) fn write_segments(
        &mut self,
        target: &mut dyn ByteSink,
        mut segment_written: impl FnMut(u32, &mut FileSink<'_>) -> Result<()>,
    ) -> Result<u64> {
        let fingerprint = self.spec.fingerprint();
        let spec = &self.spec;
        let signals: &Signals = &self.shared;
        let WorkingSet { rows: sorted, runs, windows, write, partitions } = &mut self.set;
        let mut sink = write.begin(target);
        runs.iter_mut().for_each(Run::rewind);
        sorted.rewind();
        partitions.offsets[0] = 0;
        for partition in 0..spec.partitions() {
            signals.check_cancelled()?;
            let index = partition as usize;
            let mut rows = copy_segments(runs, partition, fingerprint, windows, &mut sink)?;
            rows += sorted.flush_partition(spec, partition, &mut sink)?;
            if rows != partitions.rows[index] {
                return Err(Error::corrupt("a spilled run has lost rows")
                    .with(Figure::Partition, partition)
                    .with(Figure::Expected, partitions.rows[index])
                    .with(Figure::Found, rows));
            }
            partitions.offsets[index + 1] = sink.position();
            partitions.crcs[index] = sink.take_segment_crc();
            segment_written(partition, &mut sink)?;
        }
        sink.flush()?;
        Ok(sink.position())
    }
}

/// Appends a partition's segments of all runs, oldest first; returns their rows.
fn copy_segments(
    runs: &mut [Run],
    partition: u32,
    fingerprint: u64,
    windows: &mut [u8],
    sink: &mut FileSink<'_>,
) -> Result<u64> {
    let mut rows = 0;
    for (run, window) in runs.iter_mut().zip(windows.chunks_exact_mut(PAGE_BYTES)) {
        rows += run.copy_segment(partition, fingerprint, window, sink)?;
    }
    Ok(rows)
}

const LIST_FULL: Error = Error::internal("the list of runs has no room for a merged run");
