//! Where a table's entries are found: words by the hash of their keys, or just one after the other.

use std::cmp::Ordering;

use crate::Result;
use crate::cast::to_usize;
use crate::memory::{Area, Consumer};

use super::entry::{Place, Word};

/// What a table does with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Looks for its key and merges.
    Combine,
    /// Keeps it beside the others: for keys that a hash cannot tell apart.
    Append,
}

/// A word for each entry: open addressing in [`Mode::Combine`], a list in [`Mode::Append`].
#[derive(Debug)]
pub(super) struct Slots {
    mode: Mode,
    floor: Area,
    grown: Option<Area>,
    /// Slots there are, a power of two.
    len: usize,
    /// Slots in use.
    count: usize,
}

/// Where a key is, or would be.
pub(super) enum Find {
    Found {
        slot: usize,
    },
    Vacant {
        slot: usize,
    },
    /// Too many other keys have this hash.
    Crowded,
}

impl Slots {
    pub(super) fn try_new(consumer: &Consumer, slots: usize) -> Result<Self> {
        let floor = Area::try_new(consumer, slots * SLOT_BYTES)?;
        Ok(Self { mode: Mode::Combine, floor, grown: None, len: slots, count: 0 })
    }

    /// What is charged from birth.
    pub(super) fn bytes_for(slots: usize) -> u64 {
        Area::len_for(slots * SLOT_BYTES) as u64
    }

    /// Bytes of so many slots.
    pub(super) const fn bytes_of(slots: usize) -> usize {
        slots * SLOT_BYTES
    }

    /// Begins anew with the first `slots` of the floor.
    pub(super) fn reset(&mut self, slots: usize, mode: Mode) {
        self.grown = None;
        (self.len, self.count, self.mode) = (slots, 0, mode);
        self.words_mut().fill(0);
    }

    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    /// Slots in use.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Whether one more entry needs more slots.
    pub(super) const fn is_full(&self) -> bool {
        let most = match self.mode {
            Mode::Combine => self.len / 4 * 3,
            Mode::Append => self.len,
        };
        self.count >= most
    }

    /// Bytes beyond the floor.
    pub(super) fn grown_bytes(&self) -> u64 {
        self.grown.as_ref().map_or(0, |area| area.len() as u64)
    }

    /// Gives back what came with growth; no key is found any more.
    pub(super) fn drop_grown(&mut self) {
        self.grown = None;
    }

    /// Takes twice as many slots, in an area of [`Slots::bytes_of`] them. A list is kept; else the
    /// slots are to be filled anew.
    pub(super) fn grow_into(&mut self, mut area: Area) {
        if self.mode == Mode::Append {
            let list = bytemuck::cast_slice_mut::<u8, u64>(&mut area);
            list[..self.count].copy_from_slice(&self.words()[..self.count]);
        }
        self.grown = Some(area);
        self.len *= 2;
    }

    /// Looks for a key with this hash; `is_key` says whether it is an entry's.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_key: impl Fn(Place) -> bool) -> Find {
        let words = self.words();
        let mask = words.len() - 1;
        let mut at = to_usize(hash) & mask;
        let mut strangers = 0;
        for _ in 0..PROBES_MAX {
            let word = Word(words[at]);
            if word.is_empty() {
                return Find::Vacant { slot: at };
            }
            if word.has_fragment_of(hash) {
                if is_key(word.place()) {
                    return Find::Found { slot: at };
                }
                strangers += 1;
                if strangers > STRANGERS_MAX {
                    return Find::Crowded;
                }
            }
            at = (at + 1) & mask;
        }
        Find::Crowded
    }

    /// The slot of one more entry, whose key is not there.
    pub(super) fn vacant(&self, hash: u64) -> usize {
        if self.mode == Mode::Append {
            return self.count;
        }
        let words = self.words();
        let mask = words.len() - 1;
        let mut at = to_usize(hash) & mask;
        while words[at] != 0 {
            at = (at + 1) & mask;
        }
        at
    }

    /// One more entry.
    pub(super) fn add(&mut self, slot: usize, hash: u64, place: Place) {
        self.set(slot, hash, place);
        self.count += 1;
    }

    /// An entry is somewhere else now.
    pub(super) fn set(&mut self, slot: usize, hash: u64, place: Place) {
        self.words_mut()[slot] = Word::new(hash, place).0;
    }

    pub(super) fn place(&self, slot: usize) -> Place {
        Word(self.words()[slot]).place()
    }

    /// Fills the slots with these entries and no others.
    pub(super) fn fill(&mut self, entries: impl Iterator<Item = (u64, Place)>) {
        self.words_mut().fill(0);
        self.count = 0;
        for (hash, place) in entries {
            self.add(self.vacant(hash), hash, place);
        }
    }

    /// The words of all entries, by hash. No key is found after this. Needs no memory.
    pub(super) fn sort_by_hash(&mut self) {
        self.collect().sort_unstable();
    }

    /// As [`Slots::sort_by_hash`], in the order that `compare` gives places.
    pub(super) fn sort_by(&mut self, compare: impl Fn(Place, Place) -> Ordering) {
        self.collect().sort_unstable_by(|a, b| {
            compare(Word(*a).place(), Word(*b).place()).then_with(|| a.cmp(b))
        });
    }

    /// The words that were sorted last.
    pub(super) fn sorted(&self) -> impl Iterator<Item = Word> {
        self.words()[..self.count].iter().map(|word| Word(*word))
    }

    /// Moves the words in use to the front.
    fn collect(&mut self) -> &mut [u64] {
        let (mode, count) = (self.mode, self.count);
        let words = self.words_mut();
        if mode == Mode::Combine {
            let mut used = 0;
            for at in 0..words.len() {
                let word = words[at];
                if word != 0 {
                    words[used] = word;
                    used += 1;
                }
            }
            debug_assert_eq!(used, count, "a slot for each entry");
        }
        &mut words[..count]
    }

    fn words(&self) -> &[u64] {
        let area = self.grown.as_ref().unwrap_or(&self.floor);
        &bytemuck::cast_slice(area)[..self.len]
    }

    fn words_mut(&mut self) -> &mut [u64] {
        let area = self.grown.as_mut().unwrap_or(&mut self.floor);
        &mut bytemuck::cast_slice_mut(area)[..self.len]
    }
}

const SLOT_BYTES: usize = size_of::<u64>();
/// Slots looked at for a key: far above the longest chain of a table that a good hash filled.
const PROBES_MAX: usize = 4096;
/// Other keys with the same part of the hash that are compared.
const STRANGERS_MAX: usize = 64;
