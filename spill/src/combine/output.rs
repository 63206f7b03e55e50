//! Giving out groups: from memory, or part by part from disk.

use bywash_core::combine::{Cursor, Input, Merge, Mode};
use bywash_core::memory::SpillCause;
use bywash_core::{Error, ErrorKind, Figure, Result};

use super::batch::{BatchBuffer, larger_area};
use super::engine::{Engine, Phase, Target};
use super::frames::RecordReader;
use super::progress::Signals;
use super::working_set::{HASH_LEVELS, WorkingSet};

impl<M: Merge> Engine<M> {
    /// Fills a batch with the next groups; an empty one when there are no more.
    pub(super) fn fill_batch(&mut self, batch: &mut BatchBuffer) -> Result<()> {
        batch.clear();
        self.signals.check_cancelled()?;
        self.answer_reclaim()?;
        while batch.is_empty() && !matches!(self.phase, Phase::Done) {
            if let Phase::Drained { reader, .. } = &self.phase {
                self.make_room_for_record(reader.record_max)?;
            }
            match self.give_out(batch) {
                Ok(false) => {}
                Ok(true) => {
                    self.end_source();
                    self.next_source()?;
                }
                Err(error) => self.make_room_for_group(error)?,
            }
        }
        Signals::add(&self.signals.groups, batch.batch().len() as u64);
        self.note_reclaimable();
        Ok(())
    }

    /// Gives out groups of what is at hand; true when there are no more of them.
    fn give_out(&mut self, batch: &mut BatchBuffer) -> Result<bool> {
        let consumer = &self.consumer;
        let WorkingSet { table, levels, reader: frames, read, .. } = &mut self.set;
        let read = read.as_mut().ok_or(LOST)?;
        match &mut self.phase {
            Phase::Table(cursor) => {
                let mut next = *cursor;
                while let Some((key, accumulator)) = table.next(&mut next) {
                    if !batch.push(consumer, key, accumulator)? {
                        table.release_before(*cursor);
                        return Ok(false);
                    }
                    *cursor = next;
                }
                Ok(true)
            }
            Phase::Run { level, run, reader } => {
                let file = &levels[*level].runs[*run].file;
                while let Some(record) = reader.peek(frames, file, read)? {
                    let (key, accumulator) = (record.key(read), record.accumulator(read));
                    if !batch.push(consumer, key, accumulator)? {
                        return Ok(false);
                    }
                    reader.advance(record);
                }
                Ok(true)
            }
            Phase::Drained { file, reader } => {
                while let Some(record) = reader.peek(frames, file, read)? {
                    let (key, accumulator) = (record.key(read), record.accumulator(read));
                    if !batch.push(consumer, key, accumulator)? {
                        return Ok(false);
                    }
                    reader.advance(record);
                }
                Ok(true)
            }
            Phase::Sorted(_) => self.give_out_sorted(batch),
            Phase::Parts => Ok(true),
            Phase::Done => Ok(false),
            Phase::Filling => Err(NOT_FINISHED),
        }
    }

    /// Spills the table if it holds the memory that one of its groups needs to be given out.
    fn make_room_for_group(&mut self, error: Error) -> Result<()> {
        let Phase::Table(cursor) = self.phase else {
            return Err(error);
        };
        if error.kind() != ErrorKind::MemoryLimit {
            return Err(error);
        }
        let bytes = error.figure(Figure::RowBytes).unwrap_or(0);
        self.consumer.take_wanted();
        self.consumer.ask_others(bytes);
        self.drain(cursor, SpillCause::Pressure, Some((self.consumer.party(), bytes)))?;
        Ok(())
    }

    /// What was given out to its end is of no more use.
    fn end_source(&mut self) {
        let hash = self.set.table.hash();
        self.set.table.reset(hash, Mode::Combine);
        self.set.sorted.clear();
        self.set.wide = None;
        self.set.reader.forget();
        self.phase = Phase::Parts;
        self.note_reclaimable();
    }

    /// Reads the next part: of the deepest level that has any left.
    fn next_source(&mut self) -> Result<()> {
        while matches!(self.phase, Phase::Parts) {
            let pending = (0..HASH_LEVELS).rev().find(|level| self.set.levels[*level].is_pending());
            let Some(level) = pending else {
                self.phase = Phase::Done;
                return Ok(());
            };
            let part = self.set.levels[level].next_part;
            if part == self.set.levels[level].parts {
                self.set.levels[level].clear();
                continue;
            }
            self.set.levels[level].next_part += 1;
            if self.set.levels[level].rows[part] > 0 {
                self.begin_part(level, part)?;
            }
        }
        Ok(())
    }

    fn begin_part(&mut self, level: usize, part: usize) -> Result<()> {
        self.make_room_to_read(level, part)?;
        let runs = self.set.levels[level].runs.len();
        let mut with_part = (0..runs).filter(|run| {
            let segment = self.set.levels[level].segment(*run, part);
            segment.position < segment.end
        });
        if let (Some(run), None) = (with_part.next(), with_part.next())
            && self.set.levels[level].runs[run].is_combined
        {
            // Its groups are whole as they are.
            let reader = self.reader_of(level, run, part);
            self.set.reader.forget();
            self.phase = Phase::Run { level, run, reader };
            return Ok(());
        }
        self.combine_part(level, part)
    }

    /// Combines a part of all runs in the table; what does not fit is spilled a level deeper, or
    /// sorted.
    fn combine_part(&mut self, level: usize, part: usize) -> Result<()> {
        let target = self.target_below(level, part);
        let hash = self.hash_below(level);
        self.set.table.reset(hash, Mode::Combine);
        self.set.sorted.clear();
        // It stands aside, so that its records can be put into the table, and comes back below.
        let mut read = self.set.read.take().ok_or(LOST)?;
        let mut found = 0;
        for run in 0..self.set.levels[level].runs.len() {
            let mut reader = self.reader_of(level, run, part);
            self.set.reader.forget();
            loop {
                if found % STEP == 0 {
                    self.signals.check_cancelled()?;
                    self.note_growth();
                    self.answer_while_combining(target)?;
                }
                let WorkingSet { levels, reader: frames, .. } = &mut self.set;
                let file = &levels[level].runs[run].file;
                let Some(record) = reader.peek(frames, file, &mut read)? else {
                    break;
                };
                let input = Input::Accumulator(record.accumulator(&read));
                self.put(record.key(&read), input, target)?;
                reader.advance(record);
                found += 1;
            }
        }
        self.set.read = Some(read);
        self.set.reader.forget();
        self.set.levels[level].check_rows(part, found)?;
        let spilled = match target {
            Target::Level(next) => self.set.levels[next].is_pending(),
            Target::Sorted => self.set.sorted.is_pending(),
        };
        if !spilled && self.set.table.mode() == Mode::Combine {
            self.set.table.end_filling();
            self.phase = Phase::Table(Cursor::default());
            return Ok(());
        }
        self.spill_to(target, SpillCause::Pressure, None)?;
        match target {
            Target::Level(_) => Ok(()),
            Target::Sorted => {
                Signals::add(&self.signals.sorted_parts, 1);
                self.begin_key_merge()
            }
        }
    }

    /// Spills the table to where it would go anyway if somebody asked for memory meanwhile.
    fn answer_while_combining(&mut self, target: Target) -> Result<()> {
        if !self.consumer.is_wanted() {
            return Ok(());
        }
        let asked = self.consumer.take_wanted();
        if self.set.table.grown_bytes() > 0 {
            self.spill_to(target, SpillCause::Reclaim, asked)?;
        }
        Ok(())
    }

    /// Makes the reading buffer hold the longest record of a part's runs.
    fn make_room_to_read(&mut self, level: usize, part: usize) -> Result<()> {
        let from = &self.set.levels[level];
        let longest = (0..from.runs.len())
            .filter(|run| from.segment(*run, part).position < from.segment(*run, part).end)
            .map(|run| from.runs[run].record_max)
            .max();
        self.make_room_for_record(longest.unwrap_or(0))
    }

    /// Makes the reading buffer hold records of so many bytes.
    fn make_room_for_record(&mut self, record_max: usize) -> Result<()> {
        let needed = RecordReader::buffer_bytes(self.set.sizing.frame_bytes, record_max);
        if self.set.read.as_ref().is_none_or(|read| read.len() < needed) {
            self.set.read = Some(larger_area(&self.consumer, needed)?);
        }
        Ok(())
    }

    fn reader_of(&self, level: usize, run: usize, part: usize) -> RecordReader {
        let from = &self.set.levels[level];
        RecordReader::new(run, from.segment(run, part), from.runs[run].record_max)
    }
}

/// Records between two looks at what other threads ask for.
const STEP: u64 = 256;

const LOST: Error = Error::internal("a combiner lost its reading buffer");
const NOT_FINISHED: Error = Error::internal("a combiner was read before it was finished");
