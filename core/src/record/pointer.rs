//! Where a record lies and where it goes, in 8 bytes.

use crate::cast::to_u32;

/// Bytes of a pointer.
pub const POINTER_BYTES: usize = size_of::<u64>();

/// `| partition 24 | start 24 | length 16 |`, the partition in the highest bits.
///
/// A length of 65,535 or more does not fit: then the length field is all ones and the record is
/// preceded by its length as a `u32`, at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pointer(u64);

impl Pointer {
    /// The lowest bit of the partition, which is all a sort looks at.
    pub(super) const PARTITION_SHIFT: u32 = 40;

    const START_SHIFT: u32 = 16;
    const START_MASK: u64 = (1 << 24) - 1;
    const LENGTH_MASK: u64 = (1 << 16) - 1;

    /// A pointer to a record of `length` bytes, or to its length field if that is long.
    pub(super) const fn new(partition: u32, start: usize, length: u32) -> Self {
        debug_assert!(partition < 1 << 24, "a partition has 24 bits");
        debug_assert!(start < 1 << 24, "a start has 24 bits");
        let length = if is_long(length) { Self::LENGTH_MASK } else { length as u64 };
        Self(
            (partition as u64) << Self::PARTITION_SHIFT
                | (start as u64) << Self::START_SHIFT
                | length,
        )
    }

    /// As a word to sort.
    pub(super) const fn word(self) -> u64 {
        self.0
    }

    /// Of a word that was made by [`Pointer::word`].
    #[inline]
    pub(super) const fn of_word(word: u64) -> Self {
        Self(word)
    }

    /// The record's partition.
    #[inline]
    pub(super) const fn partition(self) -> u32 {
        to_u32((self.0 >> Self::PARTITION_SHIFT) as usize)
    }

    /// Where the record, or its length field, begins in its arena.
    #[inline]
    pub(super) const fn start(self) -> usize {
        (self.0 >> Self::START_SHIFT & Self::START_MASK) as usize
    }

    /// The record's length, unless it is long.
    #[inline]
    pub(super) const fn length(self) -> Option<usize> {
        let length = self.0 & Self::LENGTH_MASK;
        if length == Self::LENGTH_MASK { None } else { Some(length as usize) }
    }
}

/// Whether a length does not fit a pointer.
pub(super) const fn is_long(length: u32) -> bool {
    length as u64 >= Pointer::LENGTH_MASK
}
