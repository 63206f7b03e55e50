//! Picks rows of lanes in order.

use std::cmp::Ordering;

use bywash_core::block::{ChunkSizes, RowSlice};
use bywash_core::chunk::SortedChunk;
use bywash_core::key::{ChunkRows, PrefixPart, SortKey};
use bywash_core::memory::{Consumer, Vector};
use bywash_core::merge::{Entry, LoserTree};
use bywash_core::{Error, Result};

use super::Lane;

/// How often a lane wins on end before it is looked how far it goes.
const GALLOP_MIN: u32 = 6;

/// How much may be picked at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Rows.
    pub(crate) rows: usize,
    /// Bytes as [`ChunkSizes`] counts them.
    pub(crate) bytes: usize,
    /// Whether one row may be above that.
    pub(crate) takes_wide: bool,
}

/// Why picking stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// As much is picked as may be.
    Full,
    /// This lane's chunk has no more rows; [`Picker::resume`] it.
    Dry(u32),
    /// The next row, of this lane, is in no chunk or larger than the limits allow.
    Wide(u32),
    /// No lane has rows.
    End,
}

/// The rows themselves, for whoever compares them.
pub(crate) struct Rows<'a> {
    pub(crate) key: &'a SortKey,
    /// What of prefixes tells rows apart, of all rows there are.
    pub(crate) part: PrefixPart,
    pub(crate) sizes: &'a ChunkSizes,
    pub(crate) chunks: &'a [SortedChunk],
}

impl Rows<'_> {
    /// Whether rows whose parts are equal have equal keys.
    const fn is_decisive(&self) -> bool {
        self.key.is_decisive() && self.part.is_whole()
    }
}

/// Lanes, the tournament between them, and what was picked.
#[derive(Debug)]
pub(crate) struct Picker {
    tree: LoserTree,
    lanes: Vector<Lane>,
    picks: Vector<RowSlice>,
    rows: usize,
    bytes: usize,
    /// The lane that won last, and how often on end.
    last: u32,
    streak: u32,
}

impl Picker {
    /// Room for so many lanes and picks.
    pub(crate) fn try_new(consumer: &Consumer, lanes: usize, picks: usize) -> Result<Self> {
        Ok(Self {
            tree: LoserTree::try_new(consumer, lanes)?,
            lanes: Vector::try_with_capacity(consumer, lanes)?,
            picks: Vector::try_with_capacity(consumer, picks)?,
            rows: 0,
            bytes: 0,
            last: 0,
            streak: 0,
        })
    }

    pub(crate) const fn bytes_for(lanes: usize, picks: usize) -> u64 {
        LoserTree::bytes_for(lanes)
            + Vector::<Lane>::bytes_for(lanes)
            + Vector::<RowSlice>::bytes_for(picks)
    }

    /// Makes room for so many lanes if the ledger has it free; forgets the lanes there are.
    pub(crate) fn try_reserve_if_free(&mut self, lanes: usize) -> Result<()> {
        self.lanes.clear();
        self.lanes.try_reserve_if_free(lanes)?;
        self.tree.try_reserve_if_free(lanes)
    }

    /// The most lanes there is room for.
    pub(crate) fn lanes_max(&self) -> usize {
        // Either may have been refused what the other got.
        self.lanes.capacity().min(self.tree.lanes_max())
    }

    /// Forgets all lanes and picks.
    pub(crate) fn clear(&mut self) {
        self.lanes.clear();
        self.take_picks();
    }

    /// Adds a lane; in the order of lanes equal rows come.
    pub(crate) fn add(&mut self, lane: Lane) -> Result<()> {
        self.lanes.push_within_capacity(lane).map_err(|_| NO_LANE)
    }

    /// Begins to pick. `compare_wide` compares the rows of two lanes of which one is in no chunk.
    pub(crate) fn begin(
        &mut self,
        rows: &Rows<'_>,
        compare_wide: &mut dyn FnMut(&[Lane], u32, u32) -> Ordering,
    ) -> Result<()> {
        let Self { tree, lanes, .. } = self;
        for lane in lanes.iter_mut() {
            lane.head(rows);
        }
        let lanes: &[Lane] = lanes;
        let heads = lanes.iter().map(|lane| lane.clone().head(rows));
        self.streak = 0;
        tree.begin(heads, |one, other| is_before(rows, lanes, compare_wide, one, other))
    }

    /// Goes back before all that is picked; lanes are those of chunks of the same number.
    pub(crate) fn unpick(&mut self) {
        for pick in self.picks.iter() {
            if let Some(lane) = self.lanes.get_mut(pick.chunk as usize)
                && pick.start < lane.row
            {
                lane.go_back(pick.start);
            }
        }
        self.take_picks();
    }

    /// Remembers where every lane stands.
    pub(crate) fn mark(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.mark = lane.row);
    }

    /// Goes back to where the lanes stood, forgetting what is picked.
    pub(crate) fn go_back_to_mark(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.go_back(lane.mark));
        self.take_picks();
    }

    /// What is picked.
    pub(crate) fn picks(&self) -> &[RowSlice] {
        &self.picks
    }

    /// Rows picked.
    pub(crate) const fn rows(&self) -> usize {
        self.rows
    }

    /// Forgets what is picked.
    pub(crate) fn take_picks(&mut self) {
        self.picks.clear();
        (self.rows, self.bytes) = (0, 0);
    }

    pub(crate) fn lane_mut(&mut self, lane: u32) -> Option<&mut Lane> {
        self.lanes.get_mut(lane as usize)
    }

    /// Picks rows until something stops it.
    pub(crate) fn pick(
        &mut self,
        rows: &Rows<'_>,
        limits: Limits,
        compare_wide: &mut dyn FnMut(&[Lane], u32, u32) -> Ordering,
    ) -> Stop {
        loop {
            let Some(winner) = self.tree.winner() else {
                return Stop::End;
            };
            let Some(lane) = self.lanes.get_mut(winner.lane as usize) else {
                return Stop::End;
            };
            if lane.is_dry() {
                return Stop::Dry(winner.lane);
            }
            if lane.is_wide() {
                return Stop::Wide(winner.lane);
            }
            if self.streak >= GALLOP_MIN {
                self.streak = 0;
                match self.gallop(rows, limits, winner, compare_wide) {
                    Some(stop) => return stop,
                    None => continue,
                }
            }
            let bytes = rows.sizes.bytes(1, lane.data_bytes());
            if self.rows + 1 > limits.rows || self.bytes.saturating_add(bytes) > limits.bytes {
                if self.rows > 0 {
                    return Stop::Full;
                }
                if !limits.takes_wide {
                    return Stop::Wide(winner.lane);
                }
            }
            let (chunk, row) = (lane.chunk, lane.row);
            if !push(&mut self.picks, RowSlice { chunk, start: row, end: row + 1 }) {
                return Stop::Full;
            }
            self.rows += 1;
            self.bytes = self.bytes.saturating_add(bytes);
            lane.row += 1;
            if lane.is_dry() {
                return Stop::Dry(winner.lane);
            }
            let part = lane.head(rows);
            self.replace(rows, part, compare_wide);
            if winner.lane == self.last {
                self.streak += 1;
            } else {
                (self.last, self.streak) = (winner.lane, 0);
            }
        }
    }

    /// Goes on after the winning lane was given other rows, or has none.
    pub(crate) fn resume(
        &mut self,
        rows: &Rows<'_>,
        compare_wide: &mut dyn FnMut(&[Lane], u32, u32) -> Ordering,
    ) {
        let winner = self.tree.winner().map_or(u32::MAX, |winner| winner.lane);
        let lane = self.lanes.get_mut(winner as usize);
        let part = lane.and_then(|lane| lane.head(rows));
        self.replace(rows, part, compare_wide);
    }

    fn replace(
        &mut self,
        rows: &Rows<'_>,
        part: Option<u64>,
        compare_wide: &mut dyn FnMut(&[Lane], u32, u32) -> Ordering,
    ) {
        let Self { tree, lanes, .. } = self;
        let lanes: &[Lane] = lanes;
        tree.replace(part, |one, other| is_before(rows, lanes, compare_wide, one, other));
    }

    /// Takes all rows of the winner's chunk that come before the others' at once.
    fn gallop(
        &mut self,
        rows: &Rows<'_>,
        limits: Limits,
        winner: Entry,
        compare_wide: &mut dyn FnMut(&[Lane], u32, u32) -> Ordering,
    ) -> Option<Stop> {
        let Self { tree, lanes, .. } = self;
        let lanes: &[Lane] = lanes;
        let challenger =
            tree.challenger(|one, other| is_before(rows, lanes, compare_wide, one, other));
        let lane = &lanes[winner.lane as usize];
        let (chunk, row) = (lane.chunk, lane.row);
        let source = &rows.chunks[chunk as usize];
        let left = lane.rows - row;
        // Its first row wins already; a challenger in no chunk is met row by row.
        let goes_before = |at: u32| {
            let Some(challenger) = challenger else { return true };
            let part = rows.part.take(rows.key.prefix(&ChunkRows(source), at as usize));
            if part != challenger.part {
                return part < challenger.part;
            }
            let other = &lanes[challenger.lane as usize];
            if other.is_wide() {
                return at == row;
            }
            let there = &rows.chunks[other.chunk as usize];
            let order = if rows.is_decisive() {
                Ordering::Equal
            } else {
                rows.key.compare(
                    (&ChunkRows(source), at as usize),
                    (&ChunkRows(there), other.row as usize),
                )
            };
            order.then(winner.lane.cmp(&challenger.lane)) == Ordering::Less
        };
        let count = if goes_before(row + left - 1) {
            left
        } else {
            // Steps that double, then halves.
            let (mut before, mut step) = (1, 1);
            while before + step < left && goes_before(row + before + step - 1) {
                before += step;
                step *= 2;
            }
            let mut after = left.min(before + step);
            while before + 1 < after {
                let middle = before + (after - before) / 2;
                if goes_before(row + middle - 1) {
                    before = middle;
                } else {
                    after = middle;
                }
            }
            before
        };
        let fits = |count: u32| {
            let data = rows.sizes.data_bytes(source, row, row + count);
            let bytes = rows.sizes.bytes(count as usize, data);
            let sum = self.bytes.saturating_add(bytes);
            (self.rows + count as usize <= limits.rows && sum <= limits.bytes).then_some(bytes)
        };
        let (mut least, mut bytes, mut most) = (0, 0, count);
        if let Some(all) = fits(count) {
            (least, bytes) = (count, all);
        } else {
            while least < most {
                let middle = least + (most - least).div_ceil(2);
                match fits(middle) {
                    Some(sum) => (least, bytes) = (middle, sum),
                    None => most = middle - 1,
                }
            }
        }
        if least == 0 {
            // The row by row way knows what to do with a row that does not fit.
            return if self.rows > 0 { Some(Stop::Full) } else { None };
        }
        if !push(&mut self.picks, RowSlice { chunk, start: row, end: row + least }) {
            return Some(Stop::Full);
        }
        self.rows += least as usize;
        self.bytes = self.bytes.saturating_add(bytes);
        let lane = &mut self.lanes[winner.lane as usize];
        lane.row += least;
        if lane.is_dry() {
            return Some(Stop::Dry(winner.lane));
        }
        let part = lane.head(rows);
        self.replace(rows, part, compare_wide);
        None
    }
}

/// Appends a slice, or makes the last one longer.
#[inline]
fn push(picks: &mut Vector<RowSlice>, slice: RowSlice) -> bool {
    if let Some(last) = picks.last_mut()
        && last.chunk == slice.chunk
        && last.end == slice.start
    {
        last.end = slice.end;
        return true;
    }
    picks.push_within_capacity(slice).is_ok()
}

/// Whether the row of one lane goes before that of another, the parts of their prefixes being equal.
fn is_before(
    rows: &Rows<'_>,
    lanes: &[Lane],
    compare_wide: &mut dyn FnMut(&[Lane], u32, u32) -> Ordering,
    one: u32,
    other: u32,
) -> bool {
    if rows.is_decisive() {
        return one < other;
    }
    let (first, second) = (&lanes[one as usize], &lanes[other as usize]);
    let order = if first.is_wide() || second.is_wide() {
        compare_wide(lanes, one, other)
    } else {
        rows.key.compare(
            (&ChunkRows(&rows.chunks[first.chunk as usize]), first.row as usize),
            (&ChunkRows(&rows.chunks[second.chunk as usize]), second.row as usize),
        )
    };
    order.then(one.cmp(&other)) == Ordering::Less
}

const NO_LANE: Error = Error::internal("a merge has more lanes than it was made for");
