//! Which bits order the items, and how.

use std::ops::Range;

use crate::{Error, ErrorKind, Figure, Result};

/// The bits of an item's 64-bit key that are looked at, and the order they make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RadixKey {
    start: u32,
    end: u32,
    sign: Sign,
    direction: Direction,
}

/// What the highest of the bits means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The bits are a number from 0.
    Unsigned,
    /// The bits are a number in two's complement.
    TwosComplement,
}

/// Which end comes first. Items of one key stay in the order they came in either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The least key first.
    Ascending,
    /// The greatest key first.
    Descending,
}

impl RadixKey {
    /// All 64 bits, unsigned, ascending.
    pub const WORD: Self =
        Self { start: 0, end: BITS, sign: Sign::Unsigned, direction: Direction::Ascending };

    /// The bits `bits.start..bits.end`, 0 being the lowest; none leaves everything where it is.
    ///
    /// # Errors
    /// `InvalidArgument` if the range ends beyond 64 or before it starts.
    pub fn try_new(bits: Range<u32>, sign: Sign, direction: Direction) -> Result<Self> {
        let Range { start, end } = bits;
        if start > end || end > BITS {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the bits of a radix key are start..end with start <= end <= 64",
            )
            .with(Figure::Offset, start)
            .with(Figure::Found, end));
        }
        Ok(Self { start, end, sign, direction })
    }

    /// The field of numbers below `bound` that begins at bit `start`, ascending: as few bits as these
    /// numbers need. A partition id is one, its number of partitions the bound.
    ///
    /// # Errors
    /// `InvalidArgument` if such a number does not fit there.
    pub fn try_field(start: u32, bound: u64) -> Result<Self> {
        let width = BITS - bound.saturating_sub(1).leading_zeros();
        Self::try_new(start..start.saturating_add(width), Sign::Unsigned, Direction::Ascending)
    }

    /// The bits looked at.
    pub const fn bits(&self) -> Range<u32> {
        self.start..self.end
    }

    /// How many bits are looked at.
    pub const fn width(&self) -> u32 {
        self.end - self.start
    }

    /// One in every bit that is looked at.
    pub(super) const fn mask(&self) -> u64 {
        match self.width() {
            0 => 0,
            width => (u64::MAX >> (BITS - width)) << self.start,
        }
    }

    /// The bits to invert, so that the order wanted is that of unsigned numbers.
    pub(super) const fn flip(&self) -> u64 {
        let mask = self.mask();
        let sign = match self.sign {
            Sign::Unsigned => 0,
            Sign::TwosComplement => mask & !(mask >> 1),
        };
        match self.direction {
            Direction::Ascending => sign,
            Direction::Descending => mask ^ sign,
        }
    }
}

const BITS: u32 = u64::BITS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_are_none_are_refused() {
        let key = |bits| RadixKey::try_new(bits, Sign::Unsigned, Direction::Ascending);
        assert_eq!(key(0..64).unwrap(), RadixKey::WORD);
        assert_eq!(key(64..64).unwrap().mask(), 0);
        assert_eq!(key(63..64).unwrap().mask(), 1 << 63);
        #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
        for wrong in [0..65, 5..4, 65..65] {
            assert_eq!(key(wrong).unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
    }

    #[test]
    fn a_field_has_as_few_bits_as_its_numbers() {
        for (bound, width) in
            [(0, 0), (1, 0), (2, 1), (200, 8), (256, 8), (257, 9), (2_000, 11), (1 << 24, 24)]
        {
            let key = RadixKey::try_field(40, bound).unwrap();
            assert_eq!(key.bits(), 40..40 + width, "{bound}");
        }
        assert!(RadixKey::try_field(40, (1 << 24) + 1).is_err());
        assert!(RadixKey::try_field(u32::MAX, u64::MAX).is_err());
    }

    #[test]
    fn inverted_bits_put_the_wanted_first() {
        let key = |sign, direction| RadixKey::try_new(4..8, sign, direction).unwrap().flip();
        assert_eq!(key(Sign::Unsigned, Direction::Ascending), 0);
        assert_eq!(key(Sign::Unsigned, Direction::Descending), 0xf0);
        assert_eq!(key(Sign::TwosComplement, Direction::Ascending), 0x80);
        assert_eq!(key(Sign::TwosComplement, Direction::Descending), 0x70);
    }
}
