//! Where an entry lies and what its bytes are.
//!
//! ```text
//! key length 4 | room 4 | key | accumulator             | padding to 8     of a fixed size
//!                       | key | length 4 | accumulator  | spare, padding   of any size
//! ```

use crate::cast::to_u32;
use crate::{Error, Figure, Result};

use super::merge::AccumulatorSize;

/// A slot's word: part of the key's hash and a place. Zero is an empty slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

/// Where an entry lies: in a shared area, or in one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Shared { area: usize, offset: usize },
    Large { area: usize },
}

/// Bits of the hash in a word, its highest ones: also what a spill is ordered by.
pub(super) const FRAGMENT_BITS: u32 = 20;
const FRAGMENT_SHIFT: u32 = 64 - FRAGMENT_BITS;
const USED: u64 = 1 << 43;
const LARGE: u64 = 1 << 42;
const OFFSET_BITS: u32 = 22;
/// Areas of each kind at most.
pub(super) const AREAS_MAX: usize = 1 << 20;
/// Bytes of a shared area at most: offsets count units of 8 bytes.
pub(super) const AREA_BYTES_MAX: usize = 8 << OFFSET_BITS;

impl Word {
    pub(super) const fn new(hash: u64, place: Place) -> Self {
        let place = match place {
            Place::Shared { area, offset } => ((area as u64) << OFFSET_BITS) | (offset as u64 / 8),
            Place::Large { area } => LARGE | (area as u64),
        };
        Self((hash >> FRAGMENT_SHIFT << FRAGMENT_SHIFT) | USED | place)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn has_fragment_of(self, hash: u64) -> bool {
        (self.0 ^ hash) >> FRAGMENT_SHIFT == 0
    }

    pub(super) const fn fragment(self) -> u64 {
        self.0 >> FRAGMENT_SHIFT
    }

    pub(super) const fn place(self) -> Place {
        let offset = crate::cast::to_usize(self.0 & ((1 << OFFSET_BITS) - 1));
        if self.0 & LARGE != 0 {
            return Place::Large { area: offset };
        }
        let area = crate::cast::to_usize(self.0 >> OFFSET_BITS) & (AREAS_MAX - 1);
        Place::Shared { area, offset: offset * 8 }
    }
}

/// An entry's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) key_len: usize,
    /// Bytes that follow the key.
    pub(super) room: usize,
    /// Replaced by an entry elsewhere.
    pub(super) is_dead: bool,
}

pub(super) const HEADER_BYTES: usize = 8;
/// A variable accumulator's length comes before it.
const LENGTH_BYTES: usize = 4;
/// Bytes of a key, or of the room for an accumulator, at most.
pub(super) const PART_BYTES_MAX: usize = i32::MAX as usize;
/// Bytes of an accumulator of any length at most.
pub(super) const ACCUMULATOR_BYTES_MAX: usize = PART_BYTES_MAX - LENGTH_BYTES;
const DEAD: u32 = 1 << 31;

impl Header {
    pub(super) fn read(entry: &[u8]) -> Self {
        let key_len = read_u32(entry, 0);
        Self {
            key_len: (key_len & !DEAD) as usize,
            room: read_u32(entry, 4) as usize,
            is_dead: key_len & DEAD != 0,
        }
    }

    pub(super) fn write(self, entry: &mut [u8]) {
        let dead = if self.is_dead { DEAD } else { 0 };
        entry[..4].copy_from_slice(&(to_u32(self.key_len) | dead).to_le_bytes());
        entry[4..8].copy_from_slice(&to_u32(self.room).to_le_bytes());
    }

    /// Bytes of the whole entry.
    pub(super) const fn bytes(self) -> usize {
        (HEADER_BYTES + self.key_len + self.room).next_multiple_of(8)
    }

    pub(super) const fn room_start(self) -> usize {
        HEADER_BYTES + self.key_len
    }
}

/// An entry's key.
#[inline]
pub(super) fn key(entry: &[u8]) -> &[u8] {
    &entry[HEADER_BYTES..Header::read(entry).room_start()]
}

impl AccumulatorSize {
    /// What accumulators of any length have before them.
    const fn prefix_bytes(self) -> usize {
        match self {
            Self::Fixed(_) => 0,
            Self::Variable => LENGTH_BYTES,
        }
    }

    /// The room that an accumulator needs.
    pub(super) fn room_for(self, len: usize) -> Result<usize> {
        match self {
            Self::Fixed(bytes) => Ok(bytes as usize),
            Self::Variable if len > ACCUMULATOR_BYTES_MAX => {
                Err(TOO_LONG.with(Figure::Length, len))
            }
            Self::Variable => Ok(LENGTH_BYTES + len),
        }
    }

    /// The length of an entry's accumulator.
    pub(super) fn len_in(self, entry: &[u8], header: Header) -> usize {
        match self {
            Self::Fixed(_) => header.room,
            Self::Variable => read_u32(entry, header.room_start()) as usize,
        }
    }

    /// Where an entry's accumulator ends.
    pub(super) fn end_in(self, entry: &[u8], header: Header) -> usize {
        header.room_start() + self.prefix_bytes() + self.len_in(entry, header)
    }

    /// An entry's key and accumulator.
    pub(super) fn parts(self, entry: &[u8]) -> (&[u8], &[u8]) {
        let header = Header::read(entry);
        let (start, end) = (header.room_start(), self.end_in(entry, header));
        (&entry[HEADER_BYTES..start], &entry[start + self.prefix_bytes()..end])
    }

    /// All the room an entry has for its accumulator.
    pub(super) fn room_mut(self, entry: &mut [u8], header: Header) -> &mut [u8] {
        let start = header.room_start();
        &mut entry[start + self.prefix_bytes()..start + header.room]
    }

    /// Keeps the length that a merge function said it wrote.
    pub(super) fn set_len(self, entry: &mut [u8], header: Header, len: usize) -> Result<()> {
        let room = header.room - self.prefix_bytes();
        if len > room || (self.prefix_bytes() == 0 && len != room) {
            return Err(BAD_LENGTH.with(Figure::Found, len).with(Figure::Expected, room));
        }
        if self.prefix_bytes() > 0 {
            let start = header.room_start();
            entry[start..start + LENGTH_BYTES].copy_from_slice(&to_u32(len).to_le_bytes());
        }
        Ok(())
    }
}

pub(super) const TOO_LONG: Error = Error::invalid("a key and an accumulator are below 2 GiB each");
pub(super) const BAD_LENGTH: Error =
    Error::invalid("a merge function gave an accumulator another length than it may have");

pub(super) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_place_and_fragment() {
        let hash = 0xfedc_ba98_7654_3210;
        for place in [
            Place::Shared { area: 0, offset: 0 },
            Place::Shared { area: AREAS_MAX - 1, offset: AREA_BYTES_MAX - 8 },
            Place::Large { area: 0 },
            Place::Large { area: AREAS_MAX - 1 },
        ] {
            let word = Word::new(hash, place);
            assert!(!word.is_empty() && word.has_fragment_of(hash));
            assert!(!word.has_fragment_of(!hash));
            assert_eq!((word.place(), word.fragment()), (place, hash >> 44));
        }
    }

    #[test]
    fn headers_are_read_as_written() {
        let mut entry = [0; 8];
        for is_dead in [false, true] {
            let header = Header { key_len: PART_BYTES_MAX, room: 12, is_dead };
            header.write(&mut entry);
            assert_eq!(Header::read(&entry), header);
        }
    }
}
