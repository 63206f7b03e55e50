//! One area with records from its front and their sorted pointers from its back.

use super::pointer::{POINTER_BYTES, Pointer, is_long};
use crate::memory::Area;

/// Bytes of an arena that is to hold more than one record: starts have 24 bits.
pub const ARENA_BYTES_MAX: usize = 1 << 24;

/// The length field before a long record.
const LENGTH_BYTES: usize = size_of::<u32>();

/// Records of one call, checked: `lengths[i]` bytes of `base` from `offsets[i]` on.
#[derive(Debug, Clone, Copy)]
pub struct RecordInput<'a> {
    /// The bytes that all records lie in.
    pub base: &'a [u8],
    /// Where each record begins.
    pub offsets: &'a [u64],
    /// Bytes of each record.
    pub lengths: &'a [u32],
    /// Partition of each record.
    pub partitions: &'a [u32],
}

impl<'a> RecordInput<'a> {
    /// One record's bytes.
    pub fn record(&self, index: usize) -> &'a [u8] {
        let start = crate::cast::to_usize(self.offsets[index]);
        &self.base[start..start + self.lengths[index] as usize]
    }
}

/// An area that records are copied into.
#[derive(Debug)]
pub(super) struct RecordArena {
    area: Area,
    /// Bytes used from the front.
    front: usize,
    /// Where the pointers begin.
    back: usize,
}

impl RecordArena {
    /// An empty arena in `area`.
    pub(super) fn new(area: Area) -> Self {
        let back = area.len();
        Self { area, front: 0, back }
    }

    /// Bytes that a record of `length` bytes takes with its pointer.
    pub(super) fn bytes_for(length: u32) -> usize {
        let field = if is_long(length) { LENGTH_BYTES } else { 0 };
        length as usize + field + POINTER_BYTES
    }

    /// Bytes charged for it.
    pub(super) fn bytes(&self) -> u64 {
        self.area.len() as u64
    }

    /// Forgets all records.
    pub(super) fn clear(&mut self) {
        (self.front, self.back) = (0, self.area.len());
    }

    /// Copies the records of `input` from the `from`-th on and appends their pointers to
    /// `pending[filled..]`, as many as both have room for; returns how many, and their bytes.
    /// Pointers in `pending` are of this arena and not yet sorted into it.
    pub(super) fn append(
        &mut self,
        input: &RecordInput<'_>,
        from: usize,
        pending: &mut [u64],
        filled: usize,
    ) -> (usize, usize) {
        let lengths = &input.lengths[from..];
        let lengths = &lengths[..lengths.len().min(pending.len() - filled)];
        let room = self.back - self.front - filled * POINTER_BYTES;
        // Starts are below ARENA_BYTES_MAX, also in an arena made larger for one record.
        let starts_end = ARENA_BYTES_MAX - self.front.min(ARENA_BYTES_MAX);
        let (mut taken, mut used, mut bytes) = (0, 0, 0);
        let mut adjoining = true;
        let first = input.offsets.get(from).copied().unwrap_or(0);
        for (&length, &offset) in lengths.iter().zip(&input.offsets[from..]) {
            let field = if is_long(length) { LENGTH_BYTES } else { 0 };
            let end = used + length as usize + field;
            if end + (taken + 1) * POINTER_BYTES > room || used >= starts_end {
                break;
            }
            adjoining &= field == 0 && offset == first + bytes as u64;
            used = end;
            bytes += length as usize;
            taken += 1;
        }
        let range = from..from + taken;
        let slots = &mut pending[filled..filled + taken];
        if adjoining {
            let start = crate::cast::to_usize(first);
            let target = &mut self.area[self.front..self.front + used];
            target.copy_from_slice(&input.base[start..start + used]);
            let records = input.lengths[range.clone()].iter().zip(&input.partitions[range]);
            for (slot, (&length, &partition)) in slots.iter_mut().zip(records) {
                *slot = Pointer::new(partition, self.front, length).word();
                self.front += length as usize;
            }
        } else {
            for (slot, index) in slots.iter_mut().zip(range) {
                let length = input.lengths[index];
                *slot = Pointer::new(input.partitions[index], self.front, length).word();
                if is_long(length) {
                    let field = &mut self.area[self.front..self.front + LENGTH_BYTES];
                    field.copy_from_slice(&length.to_le_bytes());
                    self.front += LENGTH_BYTES;
                }
                let end = self.front + length as usize;
                self.area[self.front..end].copy_from_slice(input.record(index));
                self.front = end;
            }
        }
        (taken, bytes)
    }

    /// Room for `count` pointers before those that are there, to sort a group into; and where it
    /// begins, in pointers. There is room for the pointers of all records that were appended.
    pub(super) fn add_group(&mut self, count: usize) -> (u32, &mut [u64]) {
        let end = self.back;
        self.back -= count * POINTER_BYTES;
        debug_assert!(self.back >= self.front, "pointers have their room");
        let start = crate::cast::to_u32(self.back / POINTER_BYTES);
        (start, bytemuck::cast_slice_mut(&mut self.area[self.back..end]))
    }

    /// Pointers of a group.
    pub(super) fn pointers(&self, start: u32, end: u32) -> &[u64] {
        bytemuck::cast_slice(
            &self.area[start as usize * POINTER_BYTES..end as usize * POINTER_BYTES],
        )
    }

    /// The record that a pointer of this arena points to.
    #[inline]
    pub(super) fn record(&self, pointer: Pointer) -> &[u8] {
        let start = pointer.start();
        match pointer.length() {
            Some(length) => &self.area[start..start + length],
            None => self.long_record(start),
        }
    }

    #[cold]
    fn long_record(&self, start: usize) -> &[u8] {
        let (field, rest) = self.area[start..].split_at(LENGTH_BYTES);
        let length = field.try_into().map_or(0, u32::from_le_bytes);
        &rest[..length as usize]
    }
}
