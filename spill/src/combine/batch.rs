//! Records copied out for the caller.

use bywash_core::cast::{to_u32, to_usize};
use bywash_core::memory::{Area, Array, Consumer};
use bywash_core::{ErrorKind, Figure, Result};

use super::ONE_RECORD;

/// Combined records: keys, each once in all batches, with their accumulators.
#[derive(Debug, Clone, Copy)]
pub struct CombinedBatch<'a> {
    bytes: &'a [u8],
    /// Where each key and each accumulator ends, in turn.
    ends: &'a [u32],
    capacity: (usize, usize),
}

/// Holds one batch; charged at birth.
#[derive(Debug)]
pub(super) struct BatchBuffer {
    bytes: Area,
    ends: Array<u32>,
    used: usize,
    rows: usize,
}

impl<'a> CombinedBatch<'a> {
    /// Records.
    pub const fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The key of a record; empty for one that is not there.
    pub fn key(&self, row: usize) -> &'a [u8] {
        self.part(row * 2)
    }

    /// The accumulator of a record; empty for one that is not there.
    pub fn value(&self, row: usize) -> &'a [u8] {
        self.part(row * 2 + 1)
    }

    /// Keys and accumulators.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let batch = *self;
        (0..batch.len()).map(move |row| (batch.key(row), batch.value(row)))
    }

    /// What a batch holds at most.
    pub(super) const fn capacity(&self) -> (usize, usize) {
        self.capacity
    }

    fn part(&self, at: usize) -> &'a [u8] {
        let end = |at: usize| self.ends.get(at).map_or(0, |end| *end as usize);
        let start = if at == 0 { 0 } else { end(at - 1) };
        self.bytes.get(start..end(at)).unwrap_or_default()
    }
}

impl BatchBuffer {
    pub(super) fn try_new(consumer: &Consumer, bytes: usize, rows: usize) -> Result<Self> {
        let ends = Array::try_new(consumer, rows * 2)?;
        Ok(Self { bytes: Area::try_new(consumer, bytes)?, ends, used: 0, rows: 0 })
    }

    pub(super) fn bytes_for(bytes: usize, rows: usize) -> u64 {
        Area::len_for(bytes) as u64 + Array::<u32>::bytes_for(rows * 2)
    }

    /// Bytes and rows that it holds.
    pub(super) fn capacity(&self) -> (usize, usize) {
        (self.bytes.len(), self.ends.len() / 2)
    }

    /// What one made for so many holds.
    pub(super) fn capacity_for(bytes: usize, rows: usize) -> (usize, usize) {
        (Area::len_for(bytes), rows)
    }

    pub(super) const fn clear(&mut self) {
        self.used = 0;
        self.rows = 0;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Takes a record if there is room. A record that is larger than the buffer gets a larger one.
    pub(super) fn push(
        &mut self,
        consumer: &Consumer,
        key: &[u8],
        accumulator: &[u8],
    ) -> Result<bool> {
        let bytes = key.len() + accumulator.len();
        if self.bytes.len() - self.used < bytes || self.rows * 2 == self.ends.len() {
            if self.rows > 0 {
                return Ok(false);
            }
            self.bytes = larger_area(consumer, bytes)?;
        }
        let (start, middle) = (self.used, self.used + key.len());
        let end = start + bytes;
        self.bytes[start..middle].copy_from_slice(key);
        self.bytes[middle..end].copy_from_slice(accumulator);
        self.ends[self.rows * 2] = to_u32(middle);
        self.ends[self.rows * 2 + 1] = to_u32(end);
        self.used = end;
        self.rows += 1;
        Ok(true)
    }

    pub(super) fn batch(&self) -> CombinedBatch<'_> {
        let ends = &self.ends[..self.rows * 2];
        CombinedBatch { bytes: &self.bytes[..self.used], ends, capacity: self.capacity() }
    }
}

/// Memory for one record that is larger than what is there for records.
pub(super) fn larger_area(consumer: &Consumer, bytes: usize) -> Result<Area> {
    Area::try_new_now(consumer, bytes).map_err(|error| {
        if error.kind() != ErrorKind::MemoryLimit {
            return error;
        }
        let figure = |name| error.figure(name).unwrap_or(0);
        ONE_RECORD
            .with(Figure::RowBytes, to_usize(bytes as u64))
            .with(Figure::Available, figure(Figure::Available))
            .with(Figure::Budget, figure(Figure::Budget))
    })
}
