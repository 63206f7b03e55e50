//! The order in which a spill writes a table's entries, made in place of the slots.

use super::entry::{FRAGMENT_BITS, key};
use super::table::Table;

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
        self.slots.sort_by_hash();
    }

    /// Orders the entries by the bytes of their keys, as [`Table::order_by_hash`].
    pub fn order_by_key(&mut self) {
        let Self { slots, entries, .. } = self;
        slots.sort_by(|one, other| key(entries.get(one)).cmp(key(entries.get(other))));
    }

    /// The entries in the order made last.
    pub fn ordered(&self) -> impl Iterator<Item = Ordered<'_>> {
        self.slots.sorted().map(|word| {
            let (key, accumulator) = self.parts(word.place());
            Ordered { fragment: word.fragment(), key, accumulator }
        })
    }
}
