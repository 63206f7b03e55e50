//! The hash table: floor, growth by grant, entries that move.

use crate::cast::{to_u32, to_usize};
use crate::memory::{Area, Consumer, Vector};
use crate::{Error, ErrorKind, Figure, Result};

use super::entry::{
    AREA_BYTES_MAX, AREAS_MAX, HEADER_BYTES, Header, LENGTH_BYTES, PART_BYTES_MAX, Place, Word,
    read_u32,
};
use super::hash::KeyHash;
use super::merge::{AccumulatorSize, Merge};

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

/// What a table does with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Looks for its key and merges.
    Combine,
    /// Keeps it beside the others: for keys that a hash cannot tell apart.
    Append,
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
    accumulators: AccumulatorSize,
    hash: KeyHash,
    mode: Mode,
    size: TableSize,
    floor_slots: Area,
    grown_slots: Option<Area>,
    slot_count: usize,
    pub(super) count: usize,
    shared: Vector<SharedArea>,
    large: Vector<Option<Area>>,
    /// The area that is appended to.
    open: usize,
    /// Bytes of entries in shared areas, and of those that were replaced.
    used_bytes: usize,
    dead_bytes: usize,
}

/// An area of many entries; gone when they were read.
#[derive(Debug)]
pub(super) struct SharedArea {
    pub(super) area: Option<Area>,
    pub(super) used: usize,
}

/// A place in the order in which entries were put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    area: usize,
    offset: usize,
    large: usize,
}

enum Find {
    Found { slot: usize },
    Vacant { slot: usize },
    Crowded,
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
            && size.floor_bytes.max(size.area_bytes) <= AREA_BYTES_MAX;
        if !sound {
            return Err(Error::invalid("the sizes of a table of keys are out of range"));
        }
        let mut shared = Vector::try_with_capacity(consumer, LIST)?;
        let floor = SharedArea { area: Some(Area::try_new(consumer, size.floor_bytes)?), used: 0 };
        shared.push_within_capacity(floor).map_err(|_| LOST)?;
        Ok(Self {
            consumer: consumer.clone(),
            accumulators,
            hash,
            mode: Mode::Combine,
            size,
            floor_slots: Area::try_new(consumer, size.slots * 8)?,
            grown_slots: None,
            slot_count: size.slots,
            count: 0,
            shared,
            large: Vector::try_with_capacity(consumer, LIST)?,
            open: 0,
            used_bytes: 0,
            dead_bytes: 0,
        })
    }

    /// What the floor is charged.
    pub fn bytes_for(size: TableSize) -> u64 {
        Area::len_for(size.floor_bytes) as u64
            + Area::len_for(size.slots * 8) as u64
            + Vector::<SharedArea>::bytes_for(LIST)
            + Vector::<Option<Area>>::bytes_for(LIST)
    }

    /// The largest entry, key and accumulator and a header, that the floor takes.
    pub const fn floor_entry_max(size: TableSize) -> usize {
        size.floor_bytes / 8
    }

    /// Begins anew, at the floor: with another hash, or another mode.
    pub fn reset(&mut self, hash: KeyHash, mode: Mode) {
        self.grown_slots = None;
        while self.shared.len() > 1 {
            drop(self.shared.pop());
        }
        if let Some(floor) = self.shared.first_mut() {
            floor.used = 0;
        }
        self.large.clear();
        self.slot_count = self.size.slots;
        self.slots_mut().fill(0);
        self.count = 0;
        self.open = 0;
        self.used_bytes = 0;
        self.dead_bytes = 0;
        self.hash = hash;
        self.mode = mode;
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
        let mut slot = match self.mode {
            Mode::Append => self.count,
            Mode::Combine => match self.find(hash, key) {
                Find::Found { slot } => return self.merge_at(slot, hash, key, input, merge),
                Find::Vacant { slot } => slot,
                Find::Crowded => return Ok(Put::Crowded),
            },
        };
        let mut is_moved = false;
        if self.count >= self.slots_max() {
            if !self.grow_slots()? {
                return Ok(Put::Full);
            }
            is_moved = true;
        }
        let room = match (self.accumulators, input) {
            (AccumulatorSize::Fixed(bytes), _) => bytes as usize,
            (AccumulatorSize::Variable, Input::Value(value)) => {
                variable_room(merge.created_bytes_max(value))?
            }
            (AccumulatorSize::Variable, Input::Accumulator(bytes)) => variable_room(bytes.len())?,
        };
        let header = Header { key_len: key.len(), room, is_dead: false };
        let Some((place, compacted)) = self.allocate(header.bytes())? else {
            return Ok(Put::Full);
        };
        let variable = self.is_variable();
        let entry = self.entry_mut(place);
        header.write(entry);
        entry[HEADER_BYTES..header.room_start()].copy_from_slice(key);
        let target = accumulator_mut(entry, header, variable);
        let len = match input {
            Input::Value(value) => merge.create(value, target)?,
            Input::Accumulator(bytes) => {
                let known = target.get_mut(..bytes.len()).ok_or(BAD_LENGTH)?;
                known.copy_from_slice(bytes);
                bytes.len()
            }
        };
        set_length(entry, header, variable, len)?;
        if self.mode == Mode::Combine && (is_moved || compacted) {
            slot = self.vacant(hash);
        }
        self.slots_mut()[slot] = Word::new(hash, place).0;
        self.count += 1;
        Ok(Put::Done)
    }

    /// Merges entries of equal keys that were kept beside each other, as far as their room allows,
    /// and moves the rest together. `scratch` holds one accumulator at a time. Needs no memory.
    ///
    /// # Errors
    /// What `merge` fails with: then the table is in no known state.
    pub fn fold<M: Merge + ?Sized>(&mut self, merge: &mut M, scratch: &mut [u8]) -> Result<()> {
        if self.mode != Mode::Append || self.count == 0 {
            return Ok(());
        }
        self.order_by_key();
        let (mut first, mut left) = (0, self.count);
        for at in 1..self.count {
            let (place, other) = (self.place_at(first), self.place_at(at));
            let (key, accumulator) = self.parts(place);
            let (other_key, other_accumulator) = self.parts(other);
            let is_same = key == other_key;
            let header = Header::read(self.entry(place));
            let needed = match self.accumulators {
                AccumulatorSize::Variable if is_same => {
                    variable_room(merge.joined_bytes_max(accumulator, other_accumulator))?
                }
                AccumulatorSize::Variable | AccumulatorSize::Fixed(_) => 0,
            };
            let Some(copy) = scratch.get_mut(..other_accumulator.len()) else {
                first = at;
                continue;
            };
            if !is_same || needed > header.room {
                first = at;
                continue;
            }
            copy.copy_from_slice(other_accumulator);
            let (len, variable) = (accumulator.len(), self.is_variable());
            let entry = self.entry_mut(place);
            let target = accumulator_mut(entry, header, variable);
            let len = merge.merge_accumulators(target, len, copy)?;
            set_length(entry, header, variable, len)?;
            self.bury(other);
            left -= 1;
        }
        self.count = left;
        self.compact();
        Ok(())
    }

    /// Entries.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no entry.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How it treats entries.
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// The hash it finds keys by.
    pub const fn hash(&self) -> KeyHash {
        self.hash
    }

    /// Bytes beyond the floor: what emptying it gives back.
    pub fn grown_bytes(&self) -> u64 {
        let areas = self.shared.iter().skip(1).filter_map(|shared| shared.area.as_ref());
        let large = self.large.iter().flatten();
        let slots = self.grown_slots.iter();
        areas.chain(large).chain(slots).map(|area| area.len() as u64).sum()
    }

    /// Gives back the slots that came with growth: for a table that is only read from now on.
    pub fn end_filling(&mut self) {
        self.grown_slots = None;
    }

    /// The next entry's key and accumulator, in the order they were put in or last grew; those with
    /// areas of their own come last. Nothing after the last.
    pub fn next(&self, cursor: &mut Cursor) -> Option<(&[u8], &[u8])> {
        self.next_place(cursor).map(|place| self.parts(place))
    }

    fn next_place(&self, cursor: &mut Cursor) -> Option<Place> {
        while let Some(shared) = self.shared.get(cursor.area) {
            while let Some(area) = shared.area.as_ref().filter(|_| cursor.offset < shared.used) {
                let place = Place::Shared { area: cursor.area, offset: cursor.offset };
                let header = Header::read(&area[cursor.offset..]);
                cursor.offset += header.bytes();
                if !header.is_dead {
                    return Some(place);
                }
            }
            *cursor = Cursor { area: cursor.area + 1, offset: 0, ..*cursor };
        }
        while let Some(large) = self.large.get(cursor.large) {
            cursor.large += 1;
            if large.is_some() {
                return Some(Place::Large { area: cursor.large - 1 });
            }
        }
        None
    }

    /// The key and the accumulator of an entry.
    pub(super) fn parts(&self, place: Place) -> (&[u8], &[u8]) {
        let entry = self.entry(place);
        parts(entry, Header::read(entry), self.is_variable())
    }

    /// The slots in use, and the entries they point to.
    pub(super) fn split_slots(&mut self) -> (Entries<'_>, &mut [u64]) {
        let area = self.grown_slots.as_mut().unwrap_or(&mut self.floor_slots);
        let slots = &mut bytemuck::cast_slice_mut(area)[..self.count];
        (Entries { shared: &self.shared, large: &self.large }, slots)
    }

    const fn is_variable(&self) -> bool {
        matches!(self.accumulators, AccumulatorSize::Variable)
    }

    /// Gives back the areas of entries before a cursor: they have been read and are not looked at again.
    pub fn release_before(&mut self, cursor: Cursor) {
        let read = self.shared.iter_mut().take(cursor.area).skip(1);
        read.for_each(|shared| shared.area = None);
        self.large.iter_mut().take(cursor.large).for_each(|large| *large = None);
    }

    /// The floor's bytes while there are no entries: for whoever needs memory when all of it is at
    /// the floor.
    pub fn floor_mut(&mut self) -> &mut [u8] {
        debug_assert!(self.is_empty(), "the floor holds no entries");
        match self.shared.first_mut().and_then(|floor| floor.area.as_mut()) {
            Some(area) => area,
            None => &mut [],
        }
    }

    fn find(&self, hash: u64, key: &[u8]) -> Find {
        let slots = self.slots();
        let mask = slots.len() - 1;
        let mut at = to_usize(hash) & mask;
        let mut strangers = 0;
        for _ in 0..PROBES_MAX {
            let word = Word(slots[at]);
            if word.is_empty() {
                return Find::Vacant { slot: at };
            }
            if word.has_fragment_of(hash) {
                let entry = self.entry(word.place());
                let header = Header::read(entry);
                if header.key_len == key.len() && &entry[HEADER_BYTES..header.room_start()] == key {
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

    /// The first empty slot for a hash.
    fn vacant(&self, hash: u64) -> usize {
        let mask = self.slots().len() - 1;
        let slots = self.slots();
        let mut at = to_usize(hash) & mask;
        while slots[at] != 0 {
            at = (at + 1) & mask;
        }
        at
    }

    fn merge_at<M: Merge + ?Sized>(
        &mut self,
        slot: usize,
        hash: u64,
        key: &[u8],
        input: Input<'_>,
        merge: &mut M,
    ) -> Result<Put> {
        let variable = self.is_variable();
        let mut place = Word(self.slots()[slot]).place();
        let mut header = Header::read(self.entry(place));
        if variable {
            let (_, accumulator) = self.parts(place);
            let needed = match input {
                Input::Value(value) => merge.merged_bytes_max(accumulator, value),
                Input::Accumulator(other) => merge.joined_bytes_max(accumulator, other),
            };
            if variable_room(needed)? > header.room {
                let Some(moved) = self.move_entry(slot, hash, key, needed)? else {
                    return Ok(Put::Full);
                };
                place = moved;
                header = Header::read(self.entry(place));
            }
        }
        let entry = self.entry_mut(place);
        let len =
            if variable { read_u32(entry, header.room_start()) as usize } else { header.room };
        let target = accumulator_mut(entry, header, variable);
        let len = match input {
            Input::Value(value) => merge.merge(target, len, value)?,
            Input::Accumulator(other) => merge.merge_accumulators(target, len, other)?,
        };
        set_length(entry, header, variable, len)?;
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
        let room = variable_room(needed)?;
        let spare = variable_room(needed.saturating_add(needed / 2).min(PART_BYTES_MAX))?;
        let mut allocated = None;
        for room in [spare, room] {
            let header = Header { key_len: key.len(), room, is_dead: false };
            if let Some((place, moved)) = self.allocate(header.bytes())? {
                allocated = Some((place, header, moved));
                break;
            }
        }
        let Some((place, header, moved)) = allocated else {
            return Ok(None);
        };
        let slot = match (moved, self.find(hash, key)) {
            (false, _) => slot,
            (true, Find::Found { slot }) => slot,
            (true, _) => return Err(LOST),
        };
        let old = Word(self.slots()[slot]).place();
        let old_header = Header::read(self.entry(old));
        let len = read_u32(self.entry(old), old_header.room_start()) as usize;
        let bytes = old_header.room_start() + LENGTH_BYTES + len;
        self.copy_entry(old, place, bytes)?;
        header.write(self.entry_mut(place));
        self.slots_mut()[slot] = Word::new(hash, place).0;
        self.bury(old);
        Ok(Some(place))
    }

    /// Marks an entry as replaced, or gives back its area.
    fn bury(&mut self, place: Place) {
        match place {
            Place::Large { area } => {
                if let Some(large) = self.large.get_mut(area) {
                    *large = None;
                }
            }
            Place::Shared { .. } => {
                let header = Header::read(self.entry(place));
                Header { is_dead: true, ..header }.write(self.entry_mut(place));
                self.dead_bytes += header.bytes();
            }
        }
    }

    fn place_at(&self, slot: usize) -> Place {
        Word(self.slots()[slot]).place()
    }

    fn copy_entry(&mut self, from: Place, to: Place, bytes: usize) -> Result<()> {
        let (shared, large) = (&mut self.shared[..], &mut self.large[..]);
        match (from, to) {
            (Place::Shared { area: a, offset: from }, Place::Shared { area: b, offset: to }) => {
                if a == b {
                    let area = shared[a].area.as_mut().ok_or(LOST)?;
                    area.copy_within(from..from + bytes, to);
                    return Ok(());
                }
                let [source, target] = shared.get_disjoint_mut([a, b]).map_err(|_| LOST)?;
                let source = source.area.as_ref().ok_or(LOST)?;
                let target = target.area.as_mut().ok_or(LOST)?;
                target[to..to + bytes].copy_from_slice(&source[from..from + bytes]);
            }
            (Place::Shared { area: a, offset: from }, Place::Large { area: b }) => {
                let source = shared[a].area.as_ref().ok_or(LOST)?;
                let target = large[b].as_mut().ok_or(LOST)?;
                target[..bytes].copy_from_slice(&source[from..from + bytes]);
            }
            (Place::Large { area: a }, Place::Shared { area: b, offset: to }) => {
                let source = large[a].as_ref().ok_or(LOST)?;
                let target = shared[b].area.as_mut().ok_or(LOST)?;
                target[to..to + bytes].copy_from_slice(&source[..bytes]);
            }
            (Place::Large { area: a }, Place::Large { area: b }) => {
                let [source, target] = large.get_disjoint_mut([a, b]).map_err(|_| LOST)?;
                let source = source.as_ref().ok_or(LOST)?;
                target.as_mut().ok_or(LOST)?[..bytes].copy_from_slice(&source[..bytes]);
            }
        }
        Ok(())
    }

    /// Room for an entry, and whether others moved for it. Nothing if the ledger has none.
    fn allocate(&mut self, bytes: usize) -> Result<Option<(Place, bool)>> {
        if bytes > Self::floor_entry_max(self.size) {
            return Ok(self.allocate_large(bytes)?.map(|place| (place, false)));
        }
        let mut moved = false;
        loop {
            let open = &mut self.shared[self.open];
            let room = open.area.as_ref().map_or(0, |area| area.len());
            if room - open.used >= bytes {
                let place = Place::Shared { area: self.open, offset: open.used };
                open.used += bytes;
                self.used_bytes += bytes;
                return Ok(Some((place, moved)));
            }
            if self.open + 1 < self.shared.len() {
                self.open += 1;
                continue;
            }
            if self.dead_bytes * 2 > self.used_bytes {
                self.compact();
                moved = true;
                continue;
            }
            if self.shared.len() >= AREAS_MAX || !has_room(self.shared.try_reserve_if_free(1))? {
                return Ok(None);
            }
            let Some(area) = self.grant(self.size.area_bytes)? else {
                return Ok(None);
            };
            let shared = SharedArea { area: Some(area), used: 0 };
            self.shared.push_within_capacity(shared).map_err(|_| LOST)?;
            self.open += 1;
        }
    }

    fn allocate_large(&mut self, bytes: usize) -> Result<Option<Place>> {
        let hole = self.large.iter().position(Option::is_none);
        if hole.is_none()
            && (self.large.len() >= AREAS_MAX || !has_room(self.large.try_reserve_if_free(1))?)
        {
            return Ok(None);
        }
        let Some(area) = self.grant(bytes)? else {
            return Ok(None);
        };
        let at = hole.unwrap_or(self.large.len());
        match self.large.get_mut(at) {
            Some(place) => *place = Some(area),
            None => self.large.push_within_capacity(Some(area)).map_err(|_| LOST)?,
        }
        Ok(Some(Place::Large { area: at }))
    }

    /// Memory that is free, or that other consumers of the task give.
    fn grant(&self, bytes: usize) -> Result<Option<Area>> {
        let free = Area::try_new_if_free(&self.consumer, bytes);
        match free.or_else(|_| Area::try_new_now(&self.consumer, bytes)) {
            Ok(area) => Ok(Some(area)),
            Err(error) if error.kind() == ErrorKind::MemoryLimit => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Slides entries towards the first area over those that were replaced. Needs no memory: every
    /// entry fits into any area, so none moves beyond where it was.
    fn compact(&mut self) {
        let (mut to_area, mut to) = (0, 0);
        for from_area in 0..self.shared.len() {
            let mut from = 0;
            while from < self.shared[from_area].used {
                let Some(area) = self.shared[from_area].area.as_mut() else {
                    break;
                };
                let header = Header::read(&area[from..]);
                let bytes = header.bytes();
                if !header.is_dead {
                    let room = self.shared[to_area].area.as_ref().map_or(0, |area| area.len());
                    if to_area < from_area && room - to < bytes {
                        self.shared[to_area].used = to;
                        (to_area, to) = (to_area + 1, 0);
                    }
                    let source = Place::Shared { area: from_area, offset: from };
                    let target = Place::Shared { area: to_area, offset: to };
                    if source != target {
                        // Both areas are there, or the loop would have ended.
                        drop(self.copy_entry(source, target, bytes));
                    }
                    to += bytes;
                }
                from += bytes;
            }
        }
        self.shared[to_area].used = to;
        while self.shared.len() > to_area + 1 {
            drop(self.shared.pop());
        }
        self.open = to_area;
        self.used_bytes = self.shared.iter().map(|shared| shared.used).sum();
        self.dead_bytes = 0;
        self.find_places_anew();
    }

    fn slots_max(&self) -> usize {
        let slots = self.slots().len();
        match self.mode {
            Mode::Combine => slots / 4 * 3,
            Mode::Append => slots,
        }
    }

    /// Twice as many slots, asked for before anything moves. False if the ledger has no room.
    fn grow_slots(&mut self) -> Result<bool> {
        let slots = self.slot_count * 2;
        let Some(mut grown) = self.grant(slots * 8)? else {
            return Ok(false);
        };
        if self.mode == Mode::Append {
            let list = bytemuck::cast_slice_mut::<u8, u64>(&mut grown);
            list[..self.count].copy_from_slice(&self.slots()[..self.count]);
        }
        self.grown_slots = Some(grown);
        self.slot_count = slots;
        if self.mode == Mode::Combine {
            self.find_places_anew();
        }
        Ok(true)
    }

    /// Fills the slots from the entries.
    fn find_places_anew(&mut self) {
        self.slots_mut().fill(0);
        let mut cursor = Cursor::default();
        let mut listed = 0;
        while let Some(place) = self.next_place(&mut cursor) {
            let (key, _) = self.parts(place);
            let hash = self.hash.hash(key);
            let slot = match self.mode {
                Mode::Combine => self.vacant(hash),
                Mode::Append => listed,
            };
            listed += 1;
            self.slots_mut()[slot] = Word::new(hash, place).0;
        }
    }

    pub(super) fn slots(&self) -> &[u64] {
        let area = self.grown_slots.as_ref().unwrap_or(&self.floor_slots);
        &bytemuck::cast_slice(area)[..self.slot_count]
    }

    pub(super) fn slots_mut(&mut self) -> &mut [u64] {
        let area = self.grown_slots.as_mut().unwrap_or(&mut self.floor_slots);
        &mut bytemuck::cast_slice_mut(area)[..self.slot_count]
    }

    fn entry(&self, place: Place) -> &[u8] {
        Entries { shared: &self.shared, large: &self.large }.entry(place)
    }

    fn entry_mut(&mut self, place: Place) -> &mut [u8] {
        match place {
            Place::Shared { area, offset } => {
                self.shared[area].area.as_mut().map_or(&mut [], |area| &mut area[offset..])
            }
            Place::Large { area } => {
                self.large[area].as_mut().map_or(&mut [], |area| &mut area[..])
            }
        }
    }
}

/// The entries without their slots.
#[derive(Clone, Copy)]
pub(super) struct Entries<'a> {
    shared: &'a [SharedArea],
    large: &'a [Option<Area>],
}

impl<'a> Entries<'a> {
    fn entry(self, place: Place) -> &'a [u8] {
        match place {
            Place::Shared { area, offset } => {
                self.shared[area].area.as_ref().map_or(&[], |area| &area[offset..])
            }
            Place::Large { area } => self.large[area].as_ref().map_or(&[], |area| &area[..]),
        }
    }

    pub(super) fn key(self, place: Place) -> &'a [u8] {
        let entry = self.entry(place);
        &entry[HEADER_BYTES..Header::read(entry).room_start()]
    }
}

/// An entry's key and accumulator.
fn parts(entry: &[u8], header: Header, variable: bool) -> (&[u8], &[u8]) {
    let start = header.room_start();
    let key = &entry[HEADER_BYTES..start];
    if variable {
        let len = read_u32(entry, start) as usize;
        (key, &entry[start + LENGTH_BYTES..start + LENGTH_BYTES + len])
    } else {
        (key, &entry[start..start + header.room])
    }
}

/// Where an entry's accumulator is written.
fn accumulator_mut(entry: &mut [u8], header: Header, variable: bool) -> &mut [u8] {
    let start = header.room_start();
    let skipped = if variable { LENGTH_BYTES } else { 0 };
    &mut entry[start + skipped..start + header.room]
}

/// Keeps the length that a merge function said it wrote.
fn set_length(entry: &mut [u8], header: Header, variable: bool, len: usize) -> Result<()> {
    let start = header.room_start();
    let room = header.room - if variable { LENGTH_BYTES } else { 0 };
    if len > room || (!variable && len != room) {
        return Err(BAD_LENGTH.with(Figure::Found, len).with(Figure::Expected, room));
    }
    if variable {
        entry[start..start + LENGTH_BYTES].copy_from_slice(&to_u32(len).to_le_bytes());
    }
    Ok(())
}

/// Room for a variable accumulator and its length.
fn variable_room(len: usize) -> Result<usize> {
    if len > PART_BYTES_MAX - LENGTH_BYTES {
        return Err(TOO_LONG.with(Figure::Length, len));
    }
    Ok(LENGTH_BYTES + len)
}

/// Whether a list could grow.
fn has_room(grown: Result<()>) -> Result<bool> {
    match grown {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::MemoryLimit => Ok(false),
        Err(error) => Err(error),
    }
}

/// Places that the lists of areas begin with.
const LIST: usize = 16;
/// Slots looked at for a key: far above the longest chain of a table that a good hash filled.
const PROBES_MAX: usize = 4096;
/// Other keys with the same part of the hash that are compared.
const STRANGERS_MAX: usize = 64;

const TOO_LONG: Error = Error::invalid("a key and an accumulator are below 2 GiB each");
const BAD_LENGTH: Error =
    Error::invalid("a merge function gave an accumulator another length than it may have");
const LOST: Error = Error::internal("a table of keys lost an area");
