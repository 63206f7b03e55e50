//! Where a table's entries lie: areas that many share, areas of their own, what is granted and what
//! is given back.

mod compact;

use crate::memory::{Area, Consumer, Vector};
use crate::{Error, ErrorKind, Result};

use super::entry::{AREAS_MAX, Header, Place};

/// Entries without what finds them.
#[derive(Debug)]
pub(super) struct Entries {
    consumer: Consumer,
    floor_bytes: usize,
    area_bytes: usize,
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
struct SharedArea {
    area: Option<Area>,
    used: usize,
}

/// A place in the order in which entries were put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    area: usize,
    offset: usize,
    large: usize,
}

/// Two areas, the second to be changed, and where an entry begins in each.
type Pair<'a> = ((&'a [u8], usize), (&'a mut [u8], usize));

/// An answer to who asks for room.
pub(super) enum Room {
    /// For an entry that is to be written now.
    At(Place),
    /// More than half of what there is was replaced: [`Entries::compact`] and ask again.
    Sparse,
    /// There is none and the ledger gives none.
    Full,
}

impl Entries {
    /// A floor of so many bytes; further areas are of `area_bytes`.
    pub(super) fn try_new(
        consumer: &Consumer,
        floor_bytes: usize,
        area_bytes: usize,
    ) -> Result<Self> {
        let mut shared = Vector::try_with_capacity(consumer, LIST)?;
        let floor = SharedArea { area: Some(Area::try_new(consumer, floor_bytes)?), used: 0 };
        shared.push_within_capacity(floor).map_err(|_| LOST)?;
        Ok(Self {
            consumer: consumer.clone(),
            floor_bytes,
            area_bytes,
            shared,
            large: Vector::try_with_capacity(consumer, LIST)?,
            open: 0,
            used_bytes: 0,
            dead_bytes: 0,
        })
    }

    /// What is charged from birth.
    pub(super) fn bytes_for(floor_bytes: usize) -> u64 {
        Area::len_for(floor_bytes) as u64
            + Vector::<SharedArea>::bytes_for(LIST)
            + Vector::<Option<Area>>::bytes_for(LIST)
    }

    /// The largest entry in a shared area; a larger one has an area of its own.
    pub(super) const fn shared_bytes_max(floor_bytes: usize) -> usize {
        floor_bytes / 8
    }

    /// Forgets all entries and gives back all but the floor.
    pub(super) fn clear(&mut self) {
        while self.shared.len() > 1 {
            drop(self.shared.pop());
        }
        if let Some(floor) = self.shared.first_mut() {
            floor.used = 0;
        }
        self.large.clear();
        (self.open, self.used_bytes, self.dead_bytes) = (0, 0, 0);
    }

    /// Bytes beyond the floor.
    pub(super) fn grown_bytes(&self) -> u64 {
        let areas = self.shared.iter().skip(1).filter_map(|shared| shared.area.as_ref());
        areas.chain(self.large.iter().flatten()).map(|area| area.len() as u64).sum()
    }

    /// The floor's bytes: entries, unless there are none.
    pub(super) fn floor_mut(&mut self) -> &mut [u8] {
        match self.shared.first_mut().and_then(|floor| floor.area.as_mut()) {
            Some(area) => area,
            None => &mut [],
        }
    }

    /// An entry, and what lies behind it.
    #[inline]
    pub(super) fn get(&self, place: Place) -> &[u8] {
        match place {
            Place::Shared { area, offset } => {
                self.shared[area].area.as_ref().map_or(&[], |area| &area[offset..])
            }
            Place::Large { area } => self.large[area].as_ref().map_or(&[], |area| &area[..]),
        }
    }

    /// As [`Entries::get`].
    #[inline]
    pub(super) fn get_mut(&mut self, place: Place) -> &mut [u8] {
        match place {
            Place::Shared { area, offset } => {
                self.shared[area].area.as_mut().map_or(&mut [], |area| &mut area[offset..])
            }
            Place::Large { area } => {
                self.large[area].as_mut().map_or(&mut [], |area| &mut area[..])
            }
        }
    }

    /// Two entries: the second to be changed.
    pub(super) fn pair_mut(&mut self, one: Place, other: Place) -> Option<(&[u8], &mut [u8])> {
        let (shared, large) = (&mut self.shared[..], &mut self.large[..]);
        let (one, other): Pair<'_> = match (one, other) {
            (Place::Shared { area: a, offset }, Place::Shared { area: b, offset: to })
                if a == b =>
            {
                // The one that is nearer to the start ends where the other begins at the latest.
                let area = shared[a].area.as_mut()?;
                if offset < to {
                    let (one, other) = area.split_at_mut(to);
                    ((one, offset), (other, 0))
                } else {
                    let (other, one) = area.split_at_mut(offset);
                    ((one, 0), (other, to))
                }
            }
            (Place::Shared { area: a, offset }, Place::Shared { area: b, offset: to }) => {
                let [one, other] = shared.get_disjoint_mut([a, b]).ok()?;
                ((one.area.as_ref()?, offset), (other.area.as_mut()?, to))
            }
            (Place::Shared { area: a, offset }, Place::Large { area: b }) => {
                ((shared[a].area.as_ref()?, offset), (large[b].as_mut()?, 0))
            }
            (Place::Large { area: a }, Place::Shared { area: b, offset: to }) => {
                ((large[a].as_ref()?, 0), (shared[b].area.as_mut()?, to))
            }
            (Place::Large { area: a }, Place::Large { area: b }) => {
                let [one, other] = large.get_disjoint_mut([a, b]).ok()?;
                ((one.as_ref()?, 0), (other.as_mut()?, 0))
            }
        };
        Some((one.0.get(one.1..)?, other.0.get_mut(other.1..)?))
    }

    /// The next entry that was not replaced, in the order of their places; large ones come last.
    pub(super) fn next(&self, cursor: &mut Cursor) -> Option<Place> {
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

    /// Gives back the areas of entries before a cursor: they are not looked at again.
    pub(super) fn release_before(&mut self, cursor: Cursor) {
        let read = self.shared.iter_mut().take(cursor.area).skip(1);
        read.for_each(|shared| shared.area = None);
        self.large.iter_mut().take(cursor.large).for_each(|large| *large = None);
    }

    /// Marks an entry as replaced, or gives back its area.
    pub(super) fn bury(&mut self, place: Place) {
        match place {
            Place::Large { area } => {
                if let Some(large) = self.large.get_mut(area) {
                    *large = None;
                }
            }
            Place::Shared { .. } => {
                let entry = self.get_mut(place);
                let header = Header::read(entry);
                Header { is_dead: true, ..header }.write(entry);
                self.dead_bytes += header.bytes();
            }
        }
    }

    /// Room for an entry of so many bytes. Until it is written nobody may walk over the entries.
    pub(super) fn allocate(&mut self, bytes: usize) -> Result<Room> {
        if bytes > Self::shared_bytes_max(self.floor_bytes) {
            return self.allocate_large(bytes);
        }
        loop {
            let open = &mut self.shared[self.open];
            let room = open.area.as_ref().map_or(0, |area| area.len());
            if room - open.used >= bytes {
                let place = Place::Shared { area: self.open, offset: open.used };
                open.used += bytes;
                self.used_bytes += bytes;
                return Ok(Room::At(place));
            }
            if self.open + 1 == self.shared.len() {
                if self.dead_bytes * 2 > self.used_bytes {
                    return Ok(Room::Sparse);
                }
                if !self.add_shared()? {
                    return Ok(Room::Full);
                }
            }
            self.open += 1;
        }
    }

    fn add_shared(&mut self) -> Result<bool> {
        if self.shared.len() >= AREAS_MAX || !has_room(self.shared.try_reserve_if_free(1))? {
            return Ok(false);
        }
        let Some(area) = grant(&self.consumer, self.area_bytes)? else {
            return Ok(false);
        };
        let shared = SharedArea { area: Some(area), used: 0 };
        self.shared.push_within_capacity(shared).map_err(|_| LOST)?;
        Ok(true)
    }

    fn allocate_large(&mut self, bytes: usize) -> Result<Room> {
        let hole = self.large.iter().position(Option::is_none);
        if hole.is_none()
            && (self.large.len() >= AREAS_MAX || !has_room(self.large.try_reserve_if_free(1))?)
        {
            return Ok(Room::Full);
        }
        let Some(area) = grant(&self.consumer, bytes)? else {
            return Ok(Room::Full);
        };
        let at = hole.unwrap_or(self.large.len());
        match self.large.get_mut(at) {
            Some(place) => *place = Some(area),
            None => self.large.push_within_capacity(Some(area)).map_err(|_| LOST)?,
        }
        Ok(Room::At(Place::Large { area: at }))
    }
}

/// Memory that is free, or that other consumers of the task give.
pub(super) fn grant(consumer: &Consumer, bytes: usize) -> Result<Option<Area>> {
    let free = Area::try_new_if_free(consumer, bytes);
    match free.or_else(|_| Area::try_new_now(consumer, bytes)) {
        Ok(area) => Ok(Some(area)),
        Err(error) if error.kind() == ErrorKind::MemoryLimit => Ok(None),
        Err(error) => Err(error),
    }
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

pub(super) const LOST: Error = Error::internal("a table of keys lost an area");
