//! A combiner's parts, filling them, and spilling.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bywash_core::combine::{Cursor, Input, KeyHash, Merge, Mode, Put};
use bywash_core::memory::{Consumer, Party, Spill, SpillCause};
use bywash_core::{Error, ErrorKind, Figure, Result};

use super::ONE_RECORD;
use super::frames::{FrameWriter, RecordReader, Segment};
use super::level::{CombineRun, Level};
use super::progress::Signals;
use super::records::KeyValues;
use super::sorted::KeyMerge;
use super::working_set::{HASH_LEVELS, WorkingSet};
use crate::spill_dirs::{SpillDirs, SpillFile};
use crate::writer::{FileSink, write_file};

/// Everything behind a combiner's lock.
#[derive(Debug)]
pub(super) struct Engine<M> {
    pub(super) merge: M,
    pub(super) consumer: Consumer,
    pub(super) set: WorkingSet,
    pub(super) spill_dirs: Arc<SpillDirs>,
    pub(super) signals: Arc<Signals>,
    /// The hash of the first level.
    pub(super) hash: KeyHash,
    pub(super) phase: Phase,
}

/// What a combiner is doing.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in an engine, which lies on the heap")]
pub(super) enum Phase {
    /// It takes records.
    Filling,
    /// The table holds whole groups, given out from the cursor on.
    Table(Cursor),
    /// A part whose groups are whole is given out from its run.
    Run { level: usize, run: usize, reader: RecordReader },
    /// As `Table`, after a spill.
    Drained { file: SpillFile, reader: RecordReader },
    /// Runs in the order of their keys are merged.
    Sorted(KeyMerge),
    /// The next part is to be read.
    Parts,
    /// All groups were given out.
    Done,
}

/// Where a table is spilled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// By parts of the hash, to this level.
    Level(usize),
    /// By key.
    Sorted,
}

/// Whether values are the caller's or accumulators of other combiners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    Raw,
    Accumulators,
}

impl<M: Merge> Engine<M> {
    /// Takes records.
    pub(super) fn write(&mut self, records: &KeyValues<'_>, values: Values) -> Result<()> {
        let mut bytes = 0;
        for row in 0..records.len() {
            if row % STEP == 0 {
                self.signals.check_cancelled()?;
                self.note_growth();
                self.answer_reclaim()?;
            }
            let (key, value) = (records.key(row), records.value(row));
            bytes += key.len() + value.len();
            let input = match values {
                Values::Raw => Input::Value(value),
                Values::Accumulators => Input::Accumulator(value),
            };
            self.put(key, input, Target::Level(0)).map_err(|error| name_row(error, row))?;
        }
        Signals::add(&self.signals.records, records.len() as u64);
        Signals::add(&self.signals.bytes, bytes as u64);
        self.note_reclaimable();
        Ok(())
    }

    /// Puts one record into the table, spilling it to `target` when there is no room.
    pub(super) fn put(&mut self, key: &[u8], input: Input<'_>, target: Target) -> Result<()> {
        match self.set.table.put(key, input, &mut self.merge)? {
            Put::Done => return Ok(()),
            Put::Full => {
                let bytes = self.set.sizing.table.area_bytes as u64;
                if self.set.table.is_empty() {
                    return Err(self.too_large(key, input));
                }
                if self.fold()? && self.set.table.put(key, input, &mut self.merge)? == Put::Done {
                    return Ok(());
                }
                self.consumer.ask_others(bytes);
                self.spill_for_itself(target, bytes)?;
            }
            Put::Crowded => {
                self.spill_for_itself(target, 0)?;
                let hash = self.set.table.hash();
                self.set.table.reset(hash, Mode::Append);
            }
        }
        match self.set.table.put(key, input, &mut self.merge)? {
            Put::Done => Ok(()),
            Put::Full | Put::Crowded => Err(self.too_large(key, input)),
        }
    }

    /// Merges what is kept side by side; whether at least half of it is gone.
    fn fold(&mut self) -> Result<bool> {
        let table = &mut self.set.table;
        let before = table.len();
        table.fold(&mut self.merge)?;
        Ok(table.len() <= before / 2)
    }

    fn too_large(&self, key: &[u8], input: Input<'_>) -> Error {
        let (Input::Value(value) | Input::Accumulator(value)) = input;
        self.consumer.name_holders(ONE_RECORD.with(Figure::RowBytes, key.len() + value.len()))
    }

    /// No more records come: the next thing is to give out groups. Needs no memory.
    pub(super) fn finish(&mut self) -> Result<()> {
        self.signals.check_cancelled()?;
        let in_memory = !self.set.levels[0].is_pending() && self.set.table.mode() == Mode::Combine;
        if in_memory {
            self.set.table.end_filling();
            self.phase = Phase::Table(Cursor::default());
        } else {
            // Memory did not hold all groups: the rest joins those it is combined with.
            self.spill_to(Target::Level(0), SpillCause::Pressure, None)?;
            self.phase = Phase::Parts;
        }
        self.note_reclaimable();
        Ok(())
    }

    /// Spills if somebody asked while this combiner was busy.
    pub(super) fn answer_reclaim(&mut self) -> Result<()> {
        if self.consumer.is_wanted() {
            self.note_reclaimable();
            if self.consumer.reclaimable() == 0 {
                self.consumer.take_wanted();
                return Ok(());
            }
            self.spill(SpillCause::Reclaim)?;
        }
        Ok(())
    }

    /// Writes out what is in memory, wherever it stands; returns the bytes given back. Needs no
    /// memory.
    pub(super) fn spill(&mut self, cause: SpillCause) -> Result<u64> {
        // Whoever else asked is answered by this too.
        let wanted = self.consumer.take_wanted();
        let asked = if cause == SpillCause::Reclaim { wanted } else { None };
        match self.phase {
            Phase::Filling => self.spill_to(Target::Level(0), cause, asked),
            Phase::Table(cursor) => self.drain(cursor, cause, asked),
            _ => Ok(0),
        }
    }

    fn spill_for_itself(&mut self, target: Target, bytes: u64) -> Result<u64> {
        self.consumer.take_wanted();
        self.spill_to(target, SpillCause::Pressure, Some((self.consumer.party(), bytes)))
    }

    /// Writes the table as a run of `target` and empties it, but for its floor.
    pub(super) fn spill_to(
        &mut self,
        target: Target,
        cause: SpillCause,
        asked: Option<(Party, u64)>,
    ) -> Result<u64> {
        if self.set.table.is_empty() {
            return Ok(0);
        }
        let freed = self.record_spill(cause, asked, |engine| {
            let written = match target {
                Target::Level(level) => engine.write_by_hash(level)?,
                Target::Sorted => engine.write_by_key()?,
            };
            let (hash, mode) = (engine.set.table.hash(), engine.set.table.mode());
            engine.set.table.reset(hash, mode);
            Ok(written)
        })?;
        // Outside of the spill: records above what is there from birth need memory to be merged.
        self.make_room_for_sorted()?;
        Ok(freed)
    }

    /// Writes the groups that were not given out yet to a file of their own.
    pub(super) fn drain(
        &mut self,
        mut cursor: Cursor,
        cause: SpillCause,
        asked: Option<(Party, u64)>,
    ) -> Result<u64> {
        self.record_spill(cause, asked, |engine| {
            let WorkingSet { table, frames, write, reader, .. } = &mut engine.set;
            let start = cursor;
            let (file, (bytes, record_max)) = write_file(&engine.spill_dirs, |file| {
                let mut sink = write.begin(file);
                frames.begin();
                let mut record_max = 0;
                cursor = start;
                while let Some((key, accumulator)) = table.next(&mut cursor) {
                    record_max = record_max.max(frames.record(key, accumulator, &mut sink)?);
                }
                frames.end_segment(&mut sink)?;
                sink.flush()?;
                Ok((sink.position(), record_max))
            })?;
            let (hash, mode) = (table.hash(), table.mode());
            table.reset(hash, mode);
            reader.forget();
            let segment = Segment { position: 0, end: bytes };
            let reader = RecordReader::new(0, segment, record_max);
            engine.phase = Phase::Drained { file, reader };
            Ok(bytes)
        })
    }

    /// Does the work of a spill and tells the ledger about it.
    fn record_spill(
        &mut self,
        cause: SpillCause,
        asked: Option<(Party, u64)>,
        work: impl FnOnce(&mut Self) -> Result<u64>,
    ) -> Result<u64> {
        self.signals.check_cancelled()?;
        let spilling = self.consumer.begin_spill();
        let (held, start) = (self.consumer.granted(), Instant::now());
        let written = work(self);
        drop(spilling);
        let freed = if written.is_ok() { held - self.consumer.granted().min(held) } else { held };
        self.consumer.record_spill(&Spill {
            cause,
            asked,
            held,
            freed,
            written: *written.as_ref().unwrap_or(&0),
            took: start.elapsed(),
            failed: written.is_err(),
        });
        Signals::add(&self.signals.spilled_bytes, written?);
        self.signals.count_spill(cause);
        self.note_reclaimable();
        Ok(freed)
    }

    /// Writes the table as a run of a level, part by part. Returns the bytes written.
    fn write_by_hash(&mut self, level: usize) -> Result<u64> {
        let WorkingSet { table, levels, frames, write, reader, sizing, .. } = &mut self.set;
        let level_runs = &mut levels[level];
        let mut merged = 0;
        if level_runs.is_full() {
            merged = level_runs.merge_some(&self.spill_dirs, reader, write)?;
            Signals::add(&self.signals.run_merges, 1);
        }
        let is_combined = table.mode() == Mode::Combine;
        table.order_by_hash();
        let (ends, rows) = level_runs.next_ends();
        let mut record_max = 0;
        let (file, bytes) = write_file(&self.spill_dirs, |file| {
            let mut sink = write.begin(file);
            frames.begin();
            let mut at = 0;
            for entry in table.ordered() {
                let part = entry.part(sizing.part_bits);
                while at < part {
                    end_part(frames, &mut sink, &mut ends[at])?;
                    at += 1;
                }
                let bytes = frames.record(entry.key, entry.accumulator, &mut sink)?;
                record_max = bytes.max(record_max);
            }
            for end in &mut ends[at..] {
                end_part(frames, &mut sink, end)?;
            }
            sink.flush()?;
            Ok(sink.position())
        })?;
        // Counted once the file is whole: writing it may have begun more than once.
        table.ordered().for_each(|entry| rows[entry.part(sizing.part_bits)] += 1);
        level_runs.add(CombineRun { file, bytes, record_max, is_combined })?;
        self.signals.depth.fetch_max(level as u64 + 1, Ordering::Relaxed);
        Ok(merged + bytes)
    }

    /// Says what a spill would give back: whoever asks for memory asks those who have some.
    pub(super) fn note_reclaimable(&self) {
        let bytes = match self.phase {
            // While a part is combined its table is spilled at the next step.
            Phase::Filling | Phase::Table(_) | Phase::Parts => self.set.table.grown_bytes(),
            _ => 0,
        };
        self.consumer.set_reclaimable(bytes);
    }

    /// As [`Engine::note_reclaimable`], for every step: does nothing while nothing was granted.
    pub(super) fn note_growth(&mut self) {
        let granted = self.consumer.granted();
        if granted != self.set.granted_noted {
            self.set.granted_noted = granted;
            self.note_reclaimable();
        }
    }

    /// The hash of the entries that come from a part of `level`.
    pub(super) fn hash_below(&self, level: usize) -> KeyHash {
        (0..=level).fold(self.hash, |hash, _| hash.next_level())
    }

    /// Where a table goes that is filled from a part of `level`.
    pub(super) fn target_below(&self, level: usize, part: usize) -> Target {
        let from: &Level = &self.set.levels[level];
        let all: u64 = from.rows.iter().sum();
        let is_split = level == 0 || from.rows[part] <= all - all / 8;
        if level + 1 < HASH_LEVELS && is_split { Target::Level(level + 1) } else { Target::Sorted }
    }
}

fn end_part(frames: &mut FrameWriter, sink: &mut FileSink<'_>, end: &mut u64) -> Result<()> {
    frames.end_segment(sink)?;
    *end = sink.position();
    Ok(())
}

/// An error about a record's size names its row, too.
fn name_row(error: Error, row: usize) -> Error {
    if error.kind() == ErrorKind::MemoryLimit && error.figure(Figure::RowBytes).is_some() {
        return error.with(Figure::Row, row);
    }
    error
}

/// Records between two looks at what other threads ask for.
const STEP: usize = 256;
