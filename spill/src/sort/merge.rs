//! Merging step by step: what comes next, of chunks or of runs.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use bywash_core::block::{BlockEncoder, ChunkRow, ChunkSizes, RowSlice};
use bywash_core::chunk::SortedChunk;
use bywash_core::column::Layout;
use bywash_core::key::{PrefixPart, PrefixSpan, SortKey};
use bywash_core::policy::{least_neighbours, runs_to_merge};
use bywash_core::{Error, Result};

use super::engine::Engine;
use super::progress::SortSignals;
use super::spec::SortSpec;
use crate::merge::{
    BlockReader, Lane, Limits, Loaded, Origin, Picker, Rows, Slots, SortedRun, Stop, compare_wide,
    wide_prefix,
};
use crate::writer::{Counters, FileSink, Phase, write_run};

/// A merge of chunks or of runs, borrowed from the engine's parts.
pub(super) struct Merge<'a> {
    key: &'a SortKey,
    part: PrefixPart,
    layout: &'a Layout,
    sizes: &'a ChunkSizes,
    pub(super) picker: &'a mut Picker,
    pub(super) source: Source<'a>,
}

/// Where a merge's rows are.
pub(super) enum Source<'a> {
    Chunks(&'a [SortedChunk]),
    Runs { runs: &'a mut [SortedRun], reader: &'a mut BlockReader, slots: &'a mut Slots },
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Rows that are picked.
    Rows,
    /// The row at the head of this lane's run, a chain.
    Chain(u32),
    /// The row of this lane's chunk, larger than the limits allow.
    Row(u32),
    /// Nothing.
    End,
}

impl Engine {
    /// The merge of all chunks.
    pub(super) fn chunk_merge(&mut self) -> Merge<'_> {
        let memory = &mut self.memory;
        let source = Source::Chunks(&memory.chunks);
        merge(&self.spec, self.span, &memory.sizes, &mut memory.picker, source)
    }

    /// The merge of some runs.
    pub(super) fn run_merge(&mut self, range: Range<usize>) -> Result<Merge<'_>> {
        let memory = &mut self.memory;
        let runs = memory.runs.get_mut(range).ok_or(NO_RUN)?;
        let source = Source::Runs { runs, reader: &mut memory.reader, slots: &mut memory.slots };
        Ok(merge(&self.spec, self.span, &memory.sizes, &mut memory.picker, source))
    }

    pub(super) fn add_run(&mut self, run: SortedRun) -> Result<()> {
        Counters::add(&self.signals.counters.spilled_bytes, run.bytes());
        Counters::add(&self.signals.runs, 1);
        self.memory.runs.push_within_capacity(run).map_err(|_| RUNS_FULL)
    }

    /// Merges some runs if the list is full.
    pub(super) fn make_room_for_runs(&mut self) -> Result<()> {
        while self.memory.runs.len() >= self.memory.runs_max.max(2) {
            if !self.memory.chunks.is_empty() {
                // What they hold is for the merge now: the more it has, the less often it is done.
                self.spill_for_itself(self.memory.slots.slot_bytes())?;
                continue;
            }
            let slots = self.memory.slots.len();
            let fan_in = self.fan_in(self.memory.runs.len());
            // Not those that are large already, if so many can be merged at once: each byte would be written anew
            // every time.
            let bytes = self.memory.runs.iter().map(SortedRun::bytes);
            let newest = runs_to_merge(bytes);
            let merged = if newest.len() <= fan_in {
                self.merge_some(newest)
            } else {
                self.merge_least(fan_in)
            };
            self.memory.slots.shrink(slots);
            merged?;
        }
        Ok(())
    }

    /// Merges runs until all that are left can be merged at once, for one who reads them.
    pub(super) fn merge_to_fan_in(&mut self) -> Result<()> {
        loop {
            let runs = self.memory.runs.len();
            let fan_in = self.fan_in(runs);
            if runs <= fan_in {
                return Ok(());
            }
            self.merge_least(fan_in.min(runs - fan_in + 1))?;
        }
    }

    /// How many of `runs` runs can be merged at once, after taking what memory is free.
    fn fan_in(&mut self, runs: usize) -> usize {
        self.drop_pool();
        self.note_reclaimable();
        let memory = &mut self.memory;
        let wanted = runs + (runs / 8).max(2);
        let slot_bytes = memory.slots.slot_bytes();
        // Batches of the merged rows need room too: one of any rows, and two that the caller keeps.
        let kept = memory.reading_bytes + 2 * memory.sizing.batch_bytes as u64 + slot_bytes;
        let most = self.consumer.task_share().saturating_sub(kept);
        drop(memory.picker.try_reserve_if_free(runs));
        let consumer = &self.consumer;
        memory.slots.grow(consumer, wanted, || consumer.granted() + slot_bytes <= most);
        let slots = memory.slots.len();
        let by_slots = if slots >= wanted { runs } else { slots - (slots / 9).max(1) };
        by_slots.min(memory.picker.lanes_max()).max(2)
    }

    /// Merges the `count` neighbours that have the fewest bytes into one run.
    fn merge_least(&mut self, count: usize) -> Result<()> {
        let bytes = self.memory.runs.iter().map(SortedRun::bytes);
        self.merge_some(least_neighbours(bytes, count.max(2)))
    }

    /// Merges neighbours into one run.
    fn merge_some(&mut self, range: Range<usize>) -> Result<()> {
        let signals = std::sync::Arc::clone(&self.signals);
        let merged = signals.counters.timed(Phase::Spill, || self.merge_range(range.clone()))?;
        Counters::add(&signals.counters.spilled_bytes, merged.bytes());
        Counters::add(&signals.counters.run_merges, 1);
        signals.passes.fetch_max(u64::from(merged.depth()), Relaxed);
        let place = range.start;
        self.memory.runs.remove_range(range);
        self.memory.runs.insert_within_capacity(place, merged).map_err(|_| RUNS_FULL)
    }

    fn merge_range(&mut self, range: Range<usize>) -> Result<SortedRun> {
        let limits = self.memory.block_limits();
        let memory = &mut self.memory;
        let merged = memory.runs.get_mut(range).ok_or(NO_RUN)?;
        let rows = merged.iter().map(SortedRun::rows).sum();
        let depth = merged.iter().map(SortedRun::depth).max().unwrap_or(0) + 1;
        let (write, encoder) = (&mut memory.write, &mut memory.encoder);
        let run = write_run(&self.spill_dirs, |file| {
            let source = Source::Runs {
                runs: &mut *merged,
                reader: &mut memory.reader,
                slots: &mut memory.slots,
            };
            let (sizes, picker) = (&memory.sizes, &mut memory.picker);
            let mut merge = merge(&self.spec, self.span, sizes, picker, source);
            merge.open()?;
            let mut sink = write.begin_run(file);
            let written = merge.write_all(limits, encoder, &self.signals, &mut sink)?;
            if written != rows {
                return Err(LOST_ROWS);
            }
            sink.flush()?;
            Ok((sink.position(), sink.position()))
        })?;
        Ok(SortedRun::new(run, rows, depth))
    }
}

pub(super) fn merge<'a>(
    spec: &'a SortSpec,
    span: PrefixSpan,
    sizes: &'a ChunkSizes,
    picker: &'a mut Picker,
    source: Source<'a>,
) -> Merge<'a> {
    Merge { key: spec.key(), part: span.part(), layout: spec.layout(), sizes, picker, source }
}

impl Merge<'_> {
    /// Begins at the first row of every chunk or run.
    pub(super) fn open(&mut self) -> Result<()> {
        self.picker.clear();
        match &mut self.source {
            Source::Chunks(chunks) => {
                for (index, chunk) in (0..).zip(chunks.iter()) {
                    let mut lane = Lane::EMPTY;
                    lane.set_chunk(index, chunk.rows());
                    self.picker.add(lane)?;
                }
            }
            Source::Runs { runs, slots, .. } => {
                slots.reset();
                runs.iter_mut().for_each(SortedRun::rewind);
                for _ in 0..runs.len() {
                    self.picker.add(Lane::EMPTY)?;
                }
                for lane in 0..bywash_core::cast::to_u32(runs.len()) {
                    self.refill(lane)?;
                }
            }
        }
        self.begin()
    }

    /// Begins with the lanes as they stand.
    pub(super) fn begin(&mut self) -> Result<()> {
        self.compare(|picker, rows, compare_wide| picker.begin(rows, compare_wide))?
    }

    /// What comes next, within these limits; what was picked before has been gathered.
    pub(super) fn step(&mut self, limits: Limits) -> Result<Step> {
        loop {
            let stop =
                self.compare(|picker, rows, compare_wide| picker.pick(rows, limits, compare_wide))?;
            let has_rows = self.picker.rows() > 0;
            match stop {
                Stop::Dry(lane) => {
                    if !self.refill(lane)? {
                        return Ok(Step::Rows);
                    }
                    self.resume()?;
                }
                _ if has_rows => return Ok(Step::Rows),
                Stop::Full => return Err(NO_PICK),
                Stop::Wide(lane) => {
                    let is_chain = self.picker.lane_mut(lane).is_some_and(|lane| lane.is_wide());
                    return Ok(if is_chain { Step::Chain(lane) } else { Step::Row(lane) });
                }
                Stop::End => return Ok(Step::End),
            }
        }
    }

    /// Forgets what was picked.
    pub(super) fn take_picks(&mut self) {
        self.picker.take_picks();
        if let Source::Runs { slots, .. } = &mut self.source {
            slots.release();
        }
    }

    /// Goes past the one row that [`Merge::step`] named.
    pub(super) fn skip_row(&mut self, lane: u32) -> Result<()> {
        // One that is in a block of its run is behind the run's position already.
        let is_chain = self.picker.lane_mut(lane).is_some_and(|lane| lane.is_wide());
        if let Source::Runs { runs, .. } = &mut self.source
            && let Some(run) = runs.get_mut(lane as usize).filter(|_| is_chain)
        {
            run.skip_wide();
        }
        if let Some(lane) = self.picker.lane_mut(lane) {
            lane.skip();
        }
        self.refill(lane)?;
        self.resume()
    }

    /// The chunks or slots that picks refer to, and the picks.
    pub(super) fn picked(&self) -> (&[SortedChunk], &[RowSlice]) {
        (chunks(&self.source), self.picker.picks())
    }

    /// Writes all rows from here on as blocks; returns how many.
    pub(super) fn write_all(
        &mut self,
        limits: Limits,
        encoder: &mut BlockEncoder,
        signals: &SortSignals,
        sink: &mut FileSink<'_>,
    ) -> Result<u64> {
        let mut written = 0;
        loop {
            signals.check_cancelled()?;
            match self.step(limits)? {
                Step::End => return Ok(written),
                Step::Rows => {
                    let (chunks, picks) = self.picked();
                    encoder.encode(self.layout, 0, chunks, picks, sink)?;
                    written += self.picker.rows() as u64;
                    self.take_picks();
                }
                Step::Chain(lane) => {
                    if let Source::Runs { runs, .. } = &self.source {
                        let run = runs.get(lane as usize).ok_or(NO_RUN)?;
                        run.copy_wide(self.layout.fingerprint(), sink)?;
                    }
                    written += 1;
                    self.skip_row(lane)?;
                }
                Step::Row(lane) => {
                    let (index, row) = self.picker.lane_mut(lane).ok_or(NO_RUN)?.place();
                    let chunk = chunks(&self.source).get(index as usize).ok_or(NO_RUN)?;
                    let row = ChunkRow { chunk, layout: self.layout, row };
                    encoder.encode_chain(self.layout, 0, &row, sink)?;
                    written += 1;
                    self.skip_row(lane)?;
                }
            }
        }
    }

    /// Gives a lane without rows the next ones of its run, if it has one and there are any; false if
    /// there is no slot for them before what is picked is gathered.
    fn refill(&mut self, lane: u32) -> Result<bool> {
        let has_rows = self.picker.rows() > 0;
        let Source::Runs { runs, reader, slots } = &mut self.source else {
            return Ok(true);
        };
        let at = self.picker.lane_mut(lane).ok_or(NO_RUN)?;
        if !at.is_dry() {
            return Ok(true);
        }
        if let Some(slot) = at.take_slot() {
            slots.pin(slot);
            if !has_rows {
                slots.release();
            }
        }
        let run = runs.get_mut(lane as usize).ok_or(NO_RUN)?;
        let Some(slot) = slots.take() else {
            return if has_rows { Ok(false) } else { Err(NO_SLOT) };
        };
        slots.set_origin(slot, Origin { lane, place: run.place() });
        let chunk = slots.chunk_mut(slot)?;
        match run.load(self.layout, reader, chunk)? {
            Loaded::Block => at.set_slot(slot, chunk.rows()),
            Loaded::Wide => {
                slots.give_back(slot);
                at.set_wide(wide_prefix(self.key, run, self.layout, reader)?);
            }
            Loaded::End => slots.give_back(slot),
        }
        Ok(true)
    }

    fn resume(&mut self) -> Result<()> {
        self.compare(|picker, rows, compare_wide| picker.resume(rows, compare_wide))
    }

    /// Lets the picker do something for which it compares rows.
    fn compare<T>(
        &mut self,
        work: impl FnOnce(&mut Picker, &Rows<'_>, &mut dyn FnMut(&[Lane], u32, u32) -> Ordering) -> T,
    ) -> Result<T> {
        let (key, part) = (self.key, self.part);
        let (layout, sizes) = (self.layout, self.sizes);
        match &mut self.source {
            Source::Chunks(chunks) => {
                let rows = Rows { key, part, sizes, chunks };
                Ok(work(self.picker, &rows, &mut |_, _, _| Ordering::Equal))
            }
            Source::Runs { runs, reader, slots } => {
                let mut failed = None;
                let chunks = slots.chunks();
                let runs: &[SortedRun] = runs;
                let mut compare = |lanes: &[Lane], one: u32, other: u32| {
                    let (rows, pair) = ((runs, chunks), (one, other));
                    compare_wide((key, layout), rows, reader, lanes, pair).unwrap_or_else(|error| {
                        failed = Some(error);
                        Ordering::Equal
                    })
                };
                let rows = Rows { key, part, sizes, chunks };
                let done = work(self.picker, &rows, &mut compare);
                failed.map_or(Ok(done), Err)
            }
        }
    }
}

impl Merge<'_> {
    /// Remembers, for [`Merge::open_at_mark`], where the rows of runs begin that were not gathered, picked ones among
    /// them; returns how many they are.
    pub(super) fn mark(&mut self) -> Result<u64> {
        let Source::Runs { runs, slots, .. } = &mut self.source else {
            return Err(NO_RUN);
        };
        for (index, run) in (0..).zip(runs.iter_mut()) {
            let lane = self.picker.lane_mut(index).ok_or(NO_RUN)?;
            if lane.is_dry() || lane.is_wide() {
                run.set_mark(run.place());
                lane.set_mark(0);
            } else {
                let (slot, row) = lane.place();
                run.set_mark(slots.origin(slot)?.place);
                lane.set_mark(row);
            }
        }
        // A lane stood at the first of its rows that are picked.
        for pick in (0..self.picker.picks().len()).rev() {
            let RowSlice { chunk, start, .. } = self.picker.picks()[pick];
            let Origin { lane, place } = slots.origin(chunk)?;
            runs.get_mut(lane as usize).ok_or(NO_RUN)?.set_mark(place);
            self.picker.lane_mut(lane).ok_or(NO_RUN)?.set_mark(start);
        }
        let mut rows = 0;
        for (index, run) in (0..).zip(runs.iter()) {
            let passed = self.picker.lane_mut(index).ok_or(NO_RUN)?.mark();
            rows += run.rows_from_mark() - u64::from(passed);
        }
        Ok(rows)
    }

    /// Begins where [`Merge::mark`] was called; as often as wanted.
    pub(super) fn open_at_mark(&mut self) -> Result<()> {
        self.picker.take_picks();
        let Source::Runs { runs, slots, .. } = &mut self.source else {
            return Err(NO_RUN);
        };
        slots.reset();
        runs.iter_mut().for_each(SortedRun::go_back_to_mark);
        for index in 0..bywash_core::cast::to_u32(runs.len()) {
            let lane = self.picker.lane_mut(index).ok_or(NO_RUN)?;
            lane.empty_with_mark(lane.mark());
            self.refill(index)?;
            self.picker.lane_mut(index).ok_or(NO_RUN)?.go_back_to_mark();
        }
        self.begin()
    }
}

fn chunks<'a>(source: &'a Source<'_>) -> &'a [SortedChunk] {
    match source {
        Source::Chunks(chunks) => chunks,
        Source::Runs { slots, .. } => slots.chunks(),
    }
}

const NO_RUN: Error = Error::internal("a merge lost a run");
const NO_SLOT: Error = Error::internal("a merge has more runs than slots");
const NO_PICK: Error = Error::internal("a merge has no room for a single row");
const RUNS_FULL: Error = Error::internal("the list of runs is full");
const LOST_ROWS: Error = Error::corrupt("a merge of runs has lost rows");
