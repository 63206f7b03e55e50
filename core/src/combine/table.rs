//! The hash table: a key's entry, made or merged into, and moved when it grows.

use crate::memory::Consumer;
use crate::{Error, Figure, Result};

use super::entries::{Cursor, Entries, LOST, Room, grant};
use super::entry::{
    self, ACCUMULATOR_BYTES_MAX, BAD_LENGTH, HEADER_BYTES, Header, PART_BYTES_MAX, Place, TOO_LONG,
};
use super::hash::KeyHash;
use super::merge::{AccumulatorSize, Merge};
use super::slots::{Find, Mode, Slots};

/// The fixed sizes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSize {
    /// Slots that are there from birth, a power of two.
    pub slots: usize,
    /// Bytes of entries that are there from birth.
    pub floor_bytes: usize,
    /// Bytes of every further area: at least an eighth of the floor.
    pub area_bytes: usize,
}

/// What is merged into a table.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A value of the caller's.
    Value(&'a [u8]),
    /// An accumulator that a table held before.
    Accumulator(&'a [u8]),
}

/// What came of putting a record into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is in.
    Done,
    /// There is no room and the ledger gives none; nothing has changed.
    Full,
    /// Too many keys have this hash; nothing has changed.
    Crowded,
}

/// See the [module](super).
#[derive(Debug)]
pub struct Table {
    consumer: Consumer,
    pub(super) accumulators: AccumulatorSize,
    hash: KeyHash,
    size: TableSize,
    pub(super) slots: Slots,
    pub(super) entries: Entries,
}

impl Table {
    /// A table with its floor.
    ///
    /// # Errors
    /// `InvalidArgument` for sizes that are not as [`TableSize`] says; `MemoryLimit`.
    pub fn try_new(
        consumer: &Consumer,
        size: TableSize,
        accumulators: AccumulatorSize,
        hash: KeyHash,
    ) -> Result<Self> {
        let sound = size.slots.is_power_of_two()
            && size.slots >= 8
            && size.area_bytes >= size.floor_bytes / 8
            && size.floor_bytes.max(size.area_bytes) <= entry::AREA_BYTES_MAX;
        if !sound {
            return Err(Error::invalid("the sizes of a table of keys are out of range"));
        }
        Ok(Self {
            consumer: consumer.clone(),
            accumulators,
            hash,
            size,
            entries: Entries::try_new(consumer, size.floor_bytes, size.area_bytes)?,
            slots: Slots::try_new(consumer, size.slots)?,
        })
    }

    /// What the floor is charged.
    pub fn bytes_for(size: TableSize) -> u64 {
        Entries::bytes_for(size.floor_bytes) + Slots::bytes_for(size.slots)
    }

    /// The largest entry, key and accumulator and a header, that the floor takes.
    pub const fn floor_entry_max(size: TableSize) -> usize {
        Entries::shared_bytes_max(size.floor_bytes)
    }

    /// Begins anew, at the floor: with another hash, or another mode.
    pub fn reset(&mut self, hash: KeyHash, mode: Mode) {
        self.slots.reset(self.size.slots, mode);
        self.entries.clear();
        self.hash = hash;
    }

    /// Merges a record into the entry of its key, or makes one.
    ///
    /// # Errors
    /// What `merge` fails with, or that it says it wrote more than it was given: then the table is
    /// in no known state. `InvalidArgument` for a key or an accumulator of 2 GiB or more: nothing
    /// has changed. What the host answers to a request for memory.
    pub fn put<M: Merge + ?Sized>(
        &mut self,
        key: &[u8],
        input: Input<'_>,
        merge: &mut M,
    ) -> Result<Put> {
        if key.len() > PART_BYTES_MAX {
            return Err(TOO_LONG.with(Figure::Length, key.len()));
        }
        let hash = self.hash.hash(key);
        let slot = match self.mode() {
            Mode::Append => self.slots.count(),
            Mode::Combine => match self.find(hash, key) {
                Find::Found { slot } => return self.merge_at(slot, hash, key, input, merge),
                Find::Vacant { slot } => slot,
                Find::Crowded => return Ok(Put::Crowded),
            },
        };
        self.insert(slot, hash, key, input, merge)
    }

    /// Entries.
    pub const fn len(&self) -> usize {
        self.slots.count()
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How it treats entries.
    pub const fn mode(&self) -> Mode {
        self.slots.mode()
    }

    /// The hash it finds keys by.
    pub const fn hash(&self) -> KeyHash {
        self.hash
    }

    /// Bytes beyond the floor: what emptying it gives back.
    pub fn grown_bytes(&self) -> u64 {
        self.entries.grown_bytes() + self.slots.grown_bytes()
    }

    /// Gives back the slots that came with growth: for a table that is only read from now on.
    pub fn end_filling(&mut self) {
        self.slots.drop_grown();
    }

    /// The next entry's key and accumulator, in the order they were put in or last grew; those with
    /// areas of their own come last. Nothing after the last.
    pub fn next(&self, cursor: &mut Cursor) -> Option<(&[u8], &[u8])> {
        self.entries.next(cursor).map(|place| self.parts(place))
    }

    /// Gives back the areas of entries before a cursor: they have been read and are not looked at again.
    pub fn release_before(&mut self, cursor: Cursor) {
        self.entries.release_before(cursor);
    }

    /// The floor's bytes while there are no entries: for whoever needs memory when all of it is at
    /// the floor.
    pub fn floor_mut(&mut self) -> &mut [u8] {
        debug_assert!(self.is_empty(), "the floor holds no entries");
        self.entries.floor_mut()
    }

    /// The key and the accumulator of an entry.
    pub(super) fn parts(&self, place: Place) -> (&[u8], &[u8]) {
        self.accumulators.parts(self.entries.get(place))
    }

    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Find {
        self.slots.find(hash, |place| {
            let entry = self.entries.get(place);
            let header = Header::read(entry);
            header.key_len == key.len() && &entry[HEADER_BYTES..header.room_start()] == key
        })
    }

    fn insert<M: Merge + ?Sized>(
        &mut self,
        mut slot: usize,
        hash: u64,
        key: &[u8],
        input: Input<'_>,
        merge: &mut M,
    ) -> Result<Put> {
        let mut are_moved = false;
        if self.slots.is_full() {
            if !self.grow_slots()? {
                return Ok(Put::Full);
            }
            are_moved = true;
        }
        let room = self.accumulators.room_for(match (self.accumulators, input) {
            (AccumulatorSize::Fixed(_), _) => 0,
            (AccumulatorSize::Variable, Input::Value(value)) => merge.created_bytes_max(value),
            (AccumulatorSize::Variable, Input::Accumulator(bytes)) => bytes.len(),
        })?;
        let header = Header { key_len: key.len(), room, is_dead: false };
        let Some((place, compacted)) = self.allocate(header.bytes())? else {
            return Ok(Put::Full);
        };
        let entry = self.entries.get_mut(place);
        header.write(entry);
        entry[HEADER_BYTES..header.room_start()].copy_from_slice(key);
        let target = self.accumulators.room_mut(entry, header);
        let len = match input {
            Input::Value(value) => merge.create(value, target)?,
            Input::Accumulator(bytes) => {
                let known = target.get_mut(..bytes.len()).ok_or(BAD_LENGTH)?;
                known.copy_from_slice(bytes);
                bytes.len()
            }
        };
        self.accumulators.set_len(entry, header, len)?;
        if are_moved || compacted {
            slot = self.slots.vacant(hash);
        }
        self.slots.add(slot, hash, place);
        Ok(Put::Done)
    }

    fn merge_at<M: Merge + ?Sized>(
        &mut self,
        slot: usize,
        hash: u64,
        key: &[u8],
        input: Input<'_>,
        merge: &mut M,
    ) -> Result<Put> {
        if let Input::Accumulator(other) = input {
            self.accumulators.check(other.len())?;
        }
        let mut place = self.slots.place(slot);
        if self.accumulators == AccumulatorSize::Variable {
            let (_, accumulator) = self.parts(place);
            let needed = match input {
                Input::Value(value) => merge.merged_bytes_max(accumulator, value),
                Input::Accumulator(other) => merge.joined_bytes_max(accumulator, other),
            };
            let room = Header::read(self.entries.get(place)).room;
            if self.accumulators.room_for(needed)? > room {
                let Some(moved) = self.move_entry(slot, hash, key, needed)? else {
                    return Ok(Put::Full);
                };
                place = moved;
            }
        }
        let entry = self.entries.get_mut(place);
        let header = Header::read(entry);
        let len = self.accumulators.len_in(entry, header);
        let target = self.accumulators.room_mut(entry, header);
        let len = match input {
            Input::Value(value) => merge.merge(target, len, value)?,
            Input::Accumulator(other) => merge.merge_accumulators(target, len, other)?,
        };
        self.accumulators.set_len(entry, header, len)?;
        Ok(Put::Done)
    }

    /// Moves an entry to where its accumulator has room for `needed` bytes, and half of that to
    /// spare. Nothing, and nothing changed, if there is no such place.
    fn move_entry(
        &mut self,
        slot: usize,
        hash: u64,
        key: &[u8],
        needed: usize,
    ) -> Result<Option<Place>> {
        let spare = needed.saturating_add(needed / 2).min(ACCUMULATOR_BYTES_MAX);
        let mut are_moved = false;
        for len in [spare.max(needed), needed] {
            let room = self.accumulators.room_for(len)?;
            let header = Header { key_len: key.len(), room, is_dead: false };
            let Some((place, compacted)) = self.allocate(header.bytes())? else {
                // A place was not found, but places may have changed.
                are_moved = true;
                continue;
            };
            let stays = !are_moved && !compacted;
            let found = if stays { Find::Found { slot } } else { self.find(hash, key) };
            let Find::Found { slot } = found else {
                return Err(LOST);
            };
            let old = self.slots.place(slot);
            let (from, to) = self.entries.pair_mut(old, place).ok_or(LOST)?;
            let end = self.accumulators.end_in(from, Header::read(from));
            to[..end].copy_from_slice(&from[..end]);
            header.write(to);
            self.slots.set(slot, hash, place);
            self.entries.bury(old);
            return Ok(Some(place));
        }
        Ok(None)
    }

    /// Room for an entry, and whether others moved for it. Nothing if the ledger has none.
    fn allocate(&mut self, bytes: usize) -> Result<Option<(Place, bool)>> {
        let mut are_moved = false;
        loop {
            match self.entries.allocate(bytes)? {
                Room::At(place) => return Ok(Some((place, are_moved))),
                Room::Full => return Ok(None),
                Room::Sparse => {
                    self.compact();
                    are_moved = true;
                }
            }
        }
    }

    /// Moves entries together and finds their slots anew.
    pub(super) fn compact(&mut self) {
        self.entries.compact();
        self.fill_slots();
    }

    /// Twice as many slots, asked for before anything moves. False if the ledger has no room.
    fn grow_slots(&mut self) -> Result<bool> {
        let Some(area) = grant(&self.consumer, Slots::bytes_of(self.slots.len() * 2))? else {
            return Ok(false);
        };
        self.slots.grow_into(area);
        if self.mode() == Mode::Combine {
            self.fill_slots();
        }
        Ok(true)
    }

    fn fill_slots(&mut self) {
        let Self { slots, entries, hash, .. } = self;
        let mut cursor = Cursor::default();
        slots.fill(std::iter::from_fn(|| {
            let place = entries.next(&mut cursor)?;
            Some((hash.hash(entry::key(entries.get(place))), place))
        }));
    }
}
