//! The order in which a spill writes a table's entries, made in place of the slots.

use std::cmp::Ordering;

use super::entry::{FRAGMENT_BITS, Word};
use super::table::{Mode, Table};

/// An entry in a spill's order.
#[derive(Debug, Clone, Copy)]
pub struct Ordered<'a> {
    /// The highest bits of its key's hash.
    fragment: u64,
    /// Its key.
    pub key: &'a [u8],
    /// Its accumulator.
    pub accumulator: &'a [u8],
}

impl Ordered<'_> {
    /// Its part of `1 << bits` parts by hash.
    pub const fn part(&self, bits: u32) -> usize {
        crate::cast::to_usize(self.fragment >> (FRAGMENT_BITS - bits))
    }
}

impl Table {
    /// Orders the entries by hash. Only [`Table::ordered`] and [`Table::reset`] may follow. Needs no
    /// memory.
    pub fn order_by_hash(&mut self) {
        self.collect_words();
        let count = self.count;
        self.slots_mut()[..count].sort_unstable();
    }

    /// Orders the entries by the bytes of their keys, as [`Table::order_by_hash`].
    pub fn order_by_key(&mut self) {
        self.collect_words();
        let (table, slots) = self.split_slots();
        slots.sort_unstable_by(|a, b| {
            let (a, b) = (Word(*a), Word(*b));
            let by_key = table.key(a.place()).cmp(table.key(b.place()));
            match by_key {
                Ordering::Equal => a.0.cmp(&b.0),
                other => other,
            }
        });
    }

    /// The entries in the order made last.
    pub fn ordered(&self) -> impl Iterator<Item = Ordered<'_>> {
        self.slots()[..self.count].iter().map(|&word| {
            let word = Word(word);
            let (key, accumulator) = self.parts(word.place());
            Ordered { fragment: word.fragment(), key, accumulator }
        })
    }

    /// Moves the words of the slots in use to the front.
    fn collect_words(&mut self) {
        if self.mode() == Mode::Append {
            return;
        }
        let mut used = 0;
        let slots = self.slots_mut();
        for at in 0..slots.len() {
            let word = slots[at];
            if word != 0 {
                slots[used] = word;
                used += 1;
            }
        }
        debug_assert_eq!(used, self.count, "a slot for each entry");
    }
}
