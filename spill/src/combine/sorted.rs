//! What no hash takes apart: runs in the order of their keys, merged neighbour by neighbour.
//!
//! Runs are read through buffers in the table's floor, which holds no entries meanwhile; as many at
//! once as fit there. More runs are merged into one first, the oldest first.

#[cfg(test)]
mod tests;

use bywash_core::cast::to_u32;
use bywash_core::combine::{AccumulatorSize, Merge, Mode};
use bywash_core::memory::{Area, Consumer};
use bywash_core::merge::LoserTree;
use bywash_core::{Error, Figure, Result};

use super::batch::{BatchBuffer, larger_area};
use super::engine::{Engine, Phase};
use super::frames::{FrameReader, RecordAt, RecordReader};
use super::level::{CombineRun, Level};
use super::progress::Signals;
use super::working_set::WorkingSet;
use crate::run::RUNS_MAX;
use crate::writer::write_file;

/// Runs that are merged at once at most.
pub(super) const FAN_IN: usize = 16;
/// Readers of these runs are told apart from those of a level's: one window serves both.
const FIRST_ID: usize = RUNS_MAX + 1;
/// Bytes of a key or an accumulator at most, as in the table.
const PART_BYTES_MAX: usize = i32::MAX as usize;

/// A merge of the first runs of a level.
#[derive(Debug)]
pub(super) struct KeyMerge {
    sources: [Option<Source>; FAN_IN],
    buffer_bytes: usize,
    /// The lengths of the group's key and accumulator, if it is whole and was not taken.
    pending: Option<(usize, usize)>,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    reader: RecordReader,
    head: RecordAt,
}

/// What a merge works on.
struct Ground<'a, M> {
    sorted: &'a Level,
    frames: &'a mut FrameReader,
    buffers: &'a mut [u8],
    tree: &'a mut LoserTree,
    pending: &'a mut Area,
    merge: &'a mut M,
    consumer: &'a Consumer,
}

impl<M: Merge> Engine<M> {
    /// Writes the table as a run in the order of its keys. Returns the bytes written.
    pub(super) fn write_by_key(&mut self) -> Result<u64> {
        let WorkingSet { table, sorted, frames, write, .. } = &mut self.set;
        let is_combined = table.mode() == Mode::Combine;
        table.order_by_key();
        let (ends, rows) = sorted.next_ends();
        let mut record_max = 0;
        let (file, bytes) = write_file(&self.spill_dirs, |file| {
            let mut sink = write.begin(file);
            frames.begin();
            for entry in table.ordered() {
                let bytes = frames.record(entry.key, entry.accumulator, &mut sink)?;
                record_max = bytes.max(record_max);
            }
            frames.end_segment(&mut sink)?;
            sink.flush()?;
            Ok(sink.position())
        })?;
        ends[0] = bytes;
        rows[0] += table.len() as u64;
        sorted.add(CombineRun { file, bytes, record_max, is_combined })?;
        Ok(bytes)
    }

    /// Merges runs by key if their list is full. The table is empty.
    pub(super) fn make_room_for_sorted(&mut self) -> Result<()> {
        if self.set.sorted.is_full() {
            let fan_in = self.fan_in()?;
            self.merge_first(fan_in)?;
        }
        Ok(())
    }

    /// All of a part is in sorted runs: merges them until the rest can be merged at once.
    pub(super) fn begin_key_merge(&mut self) -> Result<()> {
        let mut fan_in = self.fan_in()?;
        while self.set.sorted.runs.len() > fan_in {
            let runs = self.set.sorted.runs.len();
            self.merge_first(fan_in.min(runs - fan_in + 1))?;
            // Merged accumulators may be longer.
            fan_in = self.fan_in()?;
        }
        let mut ground = ground(&mut self.set, &mut self.merge, &self.consumer);
        let merge = KeyMerge::try_new(&mut ground, fan_in)?;
        self.phase = Phase::Sorted(merge);
        Ok(())
    }

    /// Gives out merged groups; true when there are no more.
    pub(super) fn give_out_sorted(&mut self, batch: &mut BatchBuffer) -> Result<bool> {
        let Phase::Sorted(merge) = &mut self.phase else {
            return Ok(true);
        };
        let mut ground = ground(&mut self.set, &mut self.merge, &self.consumer);
        while merge.make_group(&mut ground)? {
            let (key, accumulator) = merge.group(ground.pending);
            if !batch.push(ground.consumer, key, accumulator)? {
                return Ok(false);
            }
            merge.pending = None;
        }
        Ok(true)
    }

    /// Merges the first `count` runs into one, which comes last.
    fn merge_first(&mut self, count: usize) -> Result<()> {
        let merged = self.merge_into_one(count);
        // Maybe in the middle of a run of a level: the window holds nothing of that any more.
        self.set.reader.forget();
        merged
    }

    fn merge_into_one(&mut self, count: usize) -> Result<()> {
        let (mut record_max, mut rows) = (0, 0);
        let set = &mut self.set;
        let (file, bytes) = write_file(&self.spill_dirs, |file| {
            (record_max, rows) = (0, 0);
            let WorkingSet { table, sorted, frames, write, reader, tree, pending, wide, .. } = set;
            let buffers = match wide {
                Some(wide) => &mut wide[..],
                None => table.floor_mut(),
            };
            let (merge, consumer) = (&mut self.merge, &self.consumer);
            let mut ground =
                Ground { sorted, frames: reader, buffers, tree, pending, merge, consumer };
            let mut groups = KeyMerge::try_new(&mut ground, count)?;
            let mut sink = write.begin(file);
            frames.begin();
            while groups.make_group(&mut ground)? {
                self.signals.check_cancelled()?;
                let (key, accumulator) = groups.group(ground.pending);
                record_max = frames.record(key, accumulator, &mut sink)?.max(record_max);
                groups.pending = None;
                rows += 1;
            }
            frames.end_segment(&mut sink)?;
            sink.flush()?;
            Ok(sink.position())
        })?;
        let sorted = &mut self.set.sorted;
        sorted.next_ends().0[0] = bytes;
        sorted.remove_first(count);
        sorted.add(CombineRun { file, bytes, record_max, is_combined: true })?;
        Signals::add(&self.signals.spilled_bytes, bytes);
        Signals::add(&self.signals.run_merges, 1);
        Ok(())
    }

    /// How many runs can be merged at once: two at least, or the only one, if need be with more
    /// memory.
    fn fan_in(&mut self) -> Result<usize> {
        let record_max = self.set.sorted.runs.iter().map(|run| run.record_max).max();
        let buffer =
            RecordReader::buffer_bytes(self.set.sizing.frame_bytes, record_max.unwrap_or(0));
        let room = match &self.set.wide {
            Some(wide) => wide.len(),
            None => self.set.table.floor_mut().len(),
        };
        let least = self.set.sorted.runs.len().min(2);
        if room / buffer < least {
            self.set.wide = None;
            self.set.wide = Some(larger_area(&self.consumer, buffer.saturating_mul(least))?);
            return Ok(least);
        }
        Ok((room / buffer).clamp(1, FAN_IN))
    }
}

/// The parts of an engine that a merge works on.
fn ground<'a, M>(
    set: &'a mut WorkingSet,
    merge: &'a mut M,
    consumer: &'a Consumer,
) -> Ground<'a, M> {
    let buffers = match &mut set.wide {
        Some(wide) => &mut wide[..],
        None => set.table.floor_mut(),
    };
    let (sorted, frames, tree) = (&set.sorted, &mut set.reader, &mut set.tree);
    Ground { sorted, frames, buffers, tree, pending: &mut set.pending, merge, consumer }
}

impl KeyMerge {
    /// A merge of the first `count` runs, or all if they are fewer.
    fn try_new<M>(ground: &mut Ground<'_, M>, count: usize) -> Result<Self> {
        let count = count.min(ground.sorted.runs.len()).min(FAN_IN);
        let buffer_bytes = ground.buffers.len() / count.max(1);
        let mut merge = Self { sources: [None; FAN_IN], buffer_bytes, pending: None };
        ground.frames.forget();
        for run in 0..count {
            let segment = ground.sorted.segment(run, 0);
            let record_max = ground.sorted.runs[run].record_max;
            let reader = RecordReader::new(FIRST_ID + run, segment, record_max);
            merge.read(run, reader, ground)?;
        }
        let buffers = &*ground.buffers;
        let prefixes = (0..count).map(|run| merge.prefix(to_u32(run), buffers));
        ground.tree.begin(prefixes, |one, other| merge.is_before(one, other, buffers))?;
        Ok(merge)
    }

    /// Puts the next group together in `pending`, unless one is there; false when there is none.
    fn make_group<M: Merge>(&mut self, ground: &mut Ground<'_, M>) -> Result<bool> {
        if self.pending.is_some() {
            return Ok(true);
        }
        let Some(first) = ground.tree.winner() else {
            return Ok(false);
        };
        let (key, accumulator) = self.parts(first.lane, ground.buffers)?;
        let (key_len, mut len) = (key.len(), accumulator.len());
        make_room(ground.pending, ground.consumer, 0, key_len + len)?;
        ground.pending[..key_len].copy_from_slice(key);
        ground.pending[key_len..key_len + len].copy_from_slice(accumulator);
        self.advance(first.lane, ground)?;
        while let Some(next) = ground.tree.winner() {
            let (key, other) = self.parts(next.lane, ground.buffers)?;
            if key != &ground.pending[..key_len] {
                break;
            }
            ground.merge.size().check(other.len())?;
            let room = match ground.merge.size() {
                AccumulatorSize::Fixed(bytes) => bytes as usize,
                AccumulatorSize::Variable => {
                    let held = &ground.pending[key_len..key_len + len];
                    ground.merge.joined_bytes_max(held, other)
                }
            };
            if room > PART_BYTES_MAX {
                return Err(TOO_LONG.with(Figure::Length, room));
            }
            make_room(ground.pending, ground.consumer, key_len + len, key_len + room)?;
            let target = &mut ground.pending[key_len..key_len + room];
            len = ground.merge.merge_accumulators(target, len, other)?;
            if len > room {
                return Err(TOO_LONG.with(Figure::Length, len));
            }
            self.advance(next.lane, ground)?;
        }
        self.pending = Some((key_len, len));
        Ok(true)
    }

    /// The group that was put together.
    fn group<'a>(&self, pending: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let (key_len, len) = self.pending.unwrap_or_default();
        pending[..key_len + len].split_at(key_len)
    }

    /// The first bytes of a source's key, as a number in the order of the keys.
    fn prefix(&self, lane: u32, buffers: &[u8]) -> Option<u64> {
        let (key, _) = self.parts(lane, buffers).ok()?;
        let mut first = [0; size_of::<u64>()];
        let len = key.len().min(first.len());
        first[..len].copy_from_slice(&key[..len]);
        Some(u64::from_be_bytes(first))
    }

    /// Which of two sources with equal prefixes has the lower key; the older, if they are equal.
    fn is_before(&self, one: u32, other: u32, buffers: &[u8]) -> bool {
        let key = |lane| self.parts(lane, buffers).map_or(&[][..], |(key, _)| key);
        (key(one), one) < (key(other), other)
    }

    fn parts<'a>(&self, lane: u32, buffers: &'a [u8]) -> Result<(&'a [u8], &'a [u8])> {
        let at = lane as usize;
        let source = self.sources[at].ok_or(LOST)?;
        let buffer = &buffers[at * self.buffer_bytes..];
        Ok((source.head.key(buffer), source.head.accumulator(buffer)))
    }

    /// Goes on to the next record of the winner's source.
    fn advance<M>(&mut self, lane: u32, ground: &mut Ground<'_, M>) -> Result<()> {
        let at = lane as usize;
        let Source { mut reader, head } = self.sources[at].ok_or(LOST)?;
        reader.advance(head);
        self.read(at, reader, ground)?;
        let prefix = self.prefix(lane, ground.buffers);
        let Ground { tree, buffers, .. } = ground;
        tree.replace(prefix, |one, other| self.is_before(one, other, buffers));
        Ok(())
    }

    fn read<M>(
        &mut self,
        at: usize,
        mut reader: RecordReader,
        ground: &mut Ground<'_, M>,
    ) -> Result<()> {
        let start = at * self.buffer_bytes;
        let buffer = &mut ground.buffers[start..start + self.buffer_bytes];
        let head = reader.peek(ground.frames, &ground.sorted.runs[at].file, buffer)?;
        self.sources[at] = head.map(|head| Source { reader, head });
        Ok(())
    }
}

/// Makes `pending` hold `needed` bytes, keeping the first `used`.
fn make_room(pending: &mut Area, consumer: &Consumer, used: usize, needed: usize) -> Result<()> {
    if needed > pending.len() {
        // Half of it to spare, so that a long list is not copied for every part of it.
        let mut larger = match Area::try_new_if_free(consumer, needed + needed / 2) {
            Ok(larger) => larger,
            Err(_) => larger_area(consumer, needed)?,
        };
        larger[..used].copy_from_slice(&pending[..used]);
        *pending = larger;
    }
    Ok(())
}

const LOST: Error = Error::internal("a merge by key lost a run");
const TOO_LONG: Error = Error::invalid("an accumulator is below 2 GiB");
