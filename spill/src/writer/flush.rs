//! Sorted rows to a run: a spill.

use std::sync::Arc;
use std::time::Instant;

use bywash_core::cast::to_u32;
use bywash_core::memory::{Party, Spill, SpillCause};
use bywash_core::port::ByteSink;
use bywash_core::{Error, ErrorKind, Result};

use super::engine::Engine;
use super::progress::{Counters, Phase};
use super::rows::Rows;
use super::working_set::{PartitionArrays, WorkingSet};
use super::write_buffer::FileSink;
use crate::output_dir::OutputFile;
use crate::run::{Run, write_table};
use crate::spill_dirs::{DirMask, SpillDirs, SpillFile};

impl<R: Rows> Engine<R> {
    /// Writes all sorted rows out as a run and gives their memory back, but for what is always kept.
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
        if cause == SpillCause::Reclaim {
            let freed = self.give_back(R::release_unused);
            if asked.is_some_and(|(_, bytes)| freed >= bytes) {
                return Ok(freed);
            }
        }
        R::before_spill(self)?;
        if self.set.rows.is_empty() {
            return Ok(self.release_sorted());
        }
        let spilling = self.consumer.begin_spill();
        let (held, start) = (self.consumer.granted(), Instant::now());
        let written = self.write_sorted();
        let freed = match (&written, cause) {
            (Err(_), _) => held,
            // It is this writer that needs the memory.
            (Ok(_), SpillCause::Pressure) => {
                self.give_back(R::recycle) + self.consumer.reclaimable()
            }
            (Ok(_), _) => self.release_sorted(),
        };
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

    /// Writes all sorted rows as a run; returns its bytes.
    fn write_sorted(&mut self) -> Result<u64> {
        let shared = Arc::clone(&self.shared);
        self.write_run(|rows, spec, partition, sink| {
            shared.check_cancelled()?;
            rows.flush_partition(spec, partition, sink).map(|_rows| ())
        })
    }

    /// Writes a run of what `segment` appends for each partition; returns its bytes. Needs no memory.
    fn write_run(
        &mut self,
        mut segment: impl FnMut(&mut R, &R::Spec, u32, &mut FileSink<'_>) -> Result<()>,
    ) -> Result<u64> {
        let shared = Arc::clone(&self.shared);
        shared.counters.timed(Phase::Spill, || {
            self.make_room_for_run()?;
            let spec = &self.spec;
            let WorkingSet { rows, write, partitions, .. } = &mut self.set;
            let run = write_run(&self.spill_dirs, |file| {
                let mut sink = write.begin_run(file);
                rows.rewind();
                for_each_partition(partitions, &mut sink, |partition, sink| {
                    segment(rows, spec, partition, sink)
                })
            })?;
            let written = run.file_bytes();
            Counters::add(&shared.counters.spilled_bytes, written);
            self.set.runs.push_within_capacity(run).map_err(|_| RUNS_FULL)?;
            Ok(written)
        })
    }

    /// Writes one row that is too large for memory, straight from the caller's, as a run of its own;
    /// what was before it has been spilled. `encode` appends its blocks; it takes `bytes`.
    pub(super) fn spill_one(
        &mut self,
        partition: u32,
        bytes: u64,
        mut encode: impl FnMut(&mut R, &R::Spec, &mut FileSink<'_>) -> Result<()>,
    ) -> Result<()> {
        let spilling = self.consumer.begin_spill();
        let (held, start) = (self.consumer.granted(), Instant::now());
        let written =
            self.write_run(
                |rows, spec, current, sink| {
                    if current == partition { encode(rows, spec, sink) } else { Ok(()) }
                },
            );
        drop(spilling);
        self.consumer.record_spill(&Spill {
            cause: SpillCause::OversizedRow,
            asked: None,
            held,
            freed: 0,
            written: *written.as_ref().unwrap_or(&0),
            took: start.elapsed(),
            failed: written.is_err(),
        });
        written?;
        let counters = &self.shared.counters;
        counters.count_spill(SpillCause::OversizedRow);
        self.set.partitions.rows[partition as usize] += 1;
        Counters::add(&counters.rows, 1);
        Counters::add(&counters.bytes, bytes);
        self.answer_reclaim()
    }

    /// Gives back the memory of rows that were written.
    pub(super) fn release_sorted(&mut self) -> u64 {
        self.give_back(R::release)
    }

    /// Lets go of memory with `release`; returns the bytes given back.
    pub(super) fn give_back(&mut self, release: fn(&mut R)) -> u64 {
        let before = self.consumer.granted();
        release(&mut self.set.rows);
        self.note_reclaimable();
        before - self.consumer.granted()
    }
}

/// Writes a run in one directory, or from the start in another one when that fails.
pub(crate) fn write_run(
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
