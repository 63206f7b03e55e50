//! Merging entries of equal keys that a table kept beside each other.

use crate::Result;

use super::entries::LOST;
use super::entry::Header;
use super::merge::{AccumulatorSize, Merge};
use super::slots::Mode;
use super::table::Table;

impl Table {
    /// Merges entries of equal keys that were kept beside each other, as far as their room allows,
    /// and moves the rest together. Needs no memory.
    ///
    /// # Errors
    /// What `merge` fails with: then the table is in no known state.
    pub fn fold<M: Merge + ?Sized>(&mut self, merge: &mut M) -> Result<()> {
        if self.mode() != Mode::Append || self.is_empty() {
            return Ok(());
        }
        self.order_by_key();
        let mut first = 0;
        for at in 1..self.len() {
            if !self.fold_into(first, at, merge)? {
                first = at;
            }
        }
        self.compact();
        Ok(())
    }

    /// Merges the second entry into the first; false if they are of two keys or there is no room.
    fn fold_into<M: Merge + ?Sized>(
        &mut self,
        first: usize,
        second: usize,
        merge: &mut M,
    ) -> Result<bool> {
        let (first, second) = (self.slots.place(first), self.slots.place(second));
        let accumulators = self.accumulators;
        let (other, entry) = self.entries.pair_mut(second, first).ok_or(LOST)?;
        let (other_key, other) = accumulators.parts(other);
        let (key, accumulator) = accumulators.parts(entry);
        if key != other_key {
            return Ok(false);
        }
        let (len, header) = (accumulator.len(), Header::read(entry));
        if accumulators == AccumulatorSize::Variable {
            let needed = merge.joined_bytes_max(accumulator, other);
            if accumulators.room_for(needed)? > header.room {
                return Ok(false);
            }
        }
        let room = accumulators.room_mut(entry, header);
        let len = merge.merge_accumulators(room, len, other)?;
        accumulators.set_len(entry, header, len)?;
        self.entries.bury(second);
        Ok(true)
    }
}
