//! A tournament of lanes that remembers its losers.
//!
//! ```text
//!            entries[0]: the winner
//!            entries[1]: loser of the final
//!        entries[2]        entries[3]
//!       lane 0  lane 1    lane 2  lane 3
//! ```
//!
//! When the winner's lane moves on, only the matches on its way up are played again. Ties of these
//! parts are for the caller to decide, who knows the rows.

use std::hint::select_unpredictable;

use crate::memory::{Consumer, Vector};
use crate::{Error, Result};

/// A lane's first row: what of its key is compared first, and the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Part of the prefix of its key.
    pub part: u64,
    /// The lane, or [`Entry::NONE`]'s.
    pub lane: u32,
}

impl Entry {
    /// A lane without rows: after all others.
    pub const NONE: Self = Self { part: u64::MAX, lane: u32::MAX };

    const fn is_none(self) -> bool {
        self.lane == u32::MAX
    }
}

/// Finds the least of many lanes. Allocates only when made or when room is made for more lanes.
#[derive(Debug)]
pub struct LoserTree {
    entries: Vector<Entry>,
}

impl LoserTree {
    /// A tree for up to `lanes` lanes.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub fn try_new(consumer: &Consumer, lanes: usize) -> Result<Self> {
        Ok(Self { entries: Vector::try_with_capacity(consumer, lanes)? })
    }

    /// The bytes [`LoserTree::try_new`] reserves.
    pub const fn bytes_for(lanes: usize) -> u64 {
        Vector::<Entry>::bytes_for(lanes)
    }

    /// Makes room for `lanes` lanes in all if the ledger has it free; forgets the lanes there are.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub fn try_reserve_if_free(&mut self, lanes: usize) -> Result<()> {
        self.entries.clear();
        self.entries.try_reserve_if_free(lanes)
    }

    /// Begins with these lanes, in their order; `is_before` says of two lanes with rows of equal
    /// parts whether the first goes first.
    ///
    /// # Errors
    /// `Internal` for more lanes than there is room for.
    pub fn begin(
        &mut self,
        lanes: impl ExactSizeIterator<Item = Option<u64>>,
        mut is_before: impl FnMut(u32, u32) -> bool,
    ) -> Result<()> {
        const EMPTY: Entry = Entry { part: 0, lane: u32::MAX - 1 };
        self.entries.clear();
        let count = lanes.len();
        for _ in 0..count {
            self.entries.push_within_capacity(EMPTY).map_err(|_| TOO_MANY)?;
        }
        for (lane, part) in (0u32..).zip(lanes) {
            let mut entry = entry(lane, part);
            let mut at = parent_of_leaf(count, lane);
            loop {
                let other = &mut self.entries[at];
                if at == 0 || *other == EMPTY {
                    *other = entry;
                    break;
                }
                if before(*other, entry, &mut is_before) {
                    std::mem::swap(other, &mut entry);
                }
                at /= 2;
            }
        }
        Ok(())
    }

    /// The lane whose row comes first, if any has rows.
    #[inline]
    pub fn winner(&self) -> Option<Entry> {
        self.entries.first().copied().filter(|entry| !entry.is_none())
    }

    /// The least of the other lanes, if any has rows.
    pub fn challenger(&self, mut is_before: impl FnMut(u32, u32) -> bool) -> Option<Entry> {
        let winner = self.winner()?;
        let mut least = Entry::NONE;
        let mut at = parent_of_leaf(self.entries.len(), winner.lane);
        while at > 0 {
            let other = self.entries[at];
            if before(other, least, &mut is_before) {
                least = other;
            }
            at /= 2;
        }
        Some(least).filter(|least| !least.is_none())
    }

    /// Gives the winner's lane its next row, or none.
    pub fn replace(&mut self, part: Option<u64>, mut is_before: impl FnMut(u32, u32) -> bool) {
        let Some((winner, losers)) = self.entries.split_first_mut() else {
            return;
        };
        let lane = winner.lane;
        let mut entry = entry(lane, part);
        let mut at = parent_of_leaf(losers.len() + 1, lane);
        while at > 0 {
            let other = &mut losers[at - 1];
            let is_lower = if other.part == entry.part {
                before(*other, entry, &mut is_before)
            } else {
                other.part < entry.part
            };
            // Without a branch: which of two lanes is lower cannot be foretold.
            let (one, two) = (entry, *other);
            entry.part = select_unpredictable(is_lower, two.part, one.part);
            entry.lane = select_unpredictable(is_lower, two.lane, one.lane);
            other.part = select_unpredictable(is_lower, one.part, two.part);
            other.lane = select_unpredictable(is_lower, one.lane, two.lane);
            at /= 2;
        }
        *winner = entry;
    }

    /// The most lanes there is room for.
    pub fn lanes_max(&self) -> usize {
        self.entries.capacity()
    }
}

/// The place of the first match of a lane among `lanes`: leaves come after the matches.
const fn parent_of_leaf(lanes: usize, lane: u32) -> usize {
    let leaf = lanes + lane as usize;
    leaf / 2
}

fn entry(lane: u32, part: Option<u64>) -> Entry {
    part.map_or(Entry::NONE, |part| Entry { part, lane })
}

fn before(one: Entry, other: Entry, is_before: &mut impl FnMut(u32, u32) -> bool) -> bool {
    if one.part != other.part {
        return one.part < other.part;
    }
    if one.is_none() || other.is_none() {
        return !one.is_none();
    }
    is_before(one.lane, other.lane)
}

const TOO_MANY: Error = Error::internal("a merge has more lanes than it was made for");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryLedger;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merges_as_a_stable_sort_does(
            mut lanes in prop::collection::vec(prop::collection::vec(0u8..6, 0..20), 0..18),
            top in any::<bool>(),
        ) {
            // Few values, so that there are ties; the greatest of all prefixes among them.
            let prefix = |value: u8| if top { u64::MAX - u64::from(value) } else { value.into() };
            for lane in &mut lanes {
                lane.sort_by_key(|value| prefix(*value));
            }
            let mut expected: Vec<(u64, usize)> = lanes
                .iter()
                .enumerate()
                .flat_map(|(lane, values)| values.iter().map(move |value| (prefix(*value), lane)))
                .collect();
            expected.sort_unstable();

            let ledger = MemoryLedger::unlimited();
            let consumer = ledger.admit(1, 0).unwrap()[0].consumer("tree");
            let mut tree = LoserTree::try_new(&consumer, lanes.len()).unwrap();
            let by_lane = |one: u32, other: u32| one < other;
            let mut at = vec![0; lanes.len()];
            let first = lanes.iter().map(|lane| lane.first().map(|value| prefix(*value)));
            tree.begin(first, by_lane).unwrap();
            let mut merged = Vec::new();
            while let Some(winner) = tree.winner() {
                let lane = winner.lane as usize;
                merged.push((winner.part, lane));
                at[lane] += 1;
                let rest = |lane: usize| lanes[lane].get(at[lane]).map(|value| prefix(*value));
                let others = (0..lanes.len()).filter(|other| *other != lane);
                let least = others.filter_map(|o| rest(o).map(|p| (p, o))).min();
                let challenger = tree.challenger(by_lane).map(|e| (e.part, e.lane as usize));
                prop_assert_eq!(challenger, least);
                tree.replace(rest(lane), by_lane);
            }
            prop_assert_eq!(merged, expected);
        }
    }
}
