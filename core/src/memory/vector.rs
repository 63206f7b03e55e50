//! A growable list whose capacity is charged before it is allocated.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::consumer::Consumer;
use super::reservation::Reservation;
use crate::{Error, ErrorKind, Figure, Result};

/// A `Vec` that can only grow by grant. Its capacity is what is charged.
pub struct Vector<T> {
    values: Vec<T>,
    /// Dropped after the values.
    reservation: Reservation,
}

impl<T> Vector<T> {
    /// Reserves and allocates room for `capacity` values.
    ///
    /// # Errors
    /// `MemoryLimit` if the ledger refuses or the heap has no memory.
    pub fn try_with_capacity(consumer: &Consumer, capacity: usize) -> Result<Self> {
        let mut reservation = consumer.reserve(Self::bytes_for(capacity))?;
        reservation.set_live(reservation.granted());
        let mut values = Vec::new();
        if values.try_reserve_exact(capacity).is_err() {
            reservation.set_live(0);
            return Err(no_heap(Self::bytes_for(capacity)));
        }
        Ok(Self { values, reservation })
    }

    /// What room for `capacity` values is charged.
    pub const fn bytes_for(capacity: usize) -> u64 {
        (capacity as u64).saturating_mul(size_of::<T>() as u64)
    }

    /// Makes room for `more` values if the ledger has it free; asks nobody to spill.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub fn try_reserve_if_free(&mut self, more: usize) -> Result<()> {
        let needed = self.values.len() + more;
        if needed <= self.values.capacity() {
            return Ok(());
        }
        let capacity = needed.max(self.values.capacity() * 2);
        let bytes = Self::bytes_for(capacity);
        let grown = self.reservation.consumer().try_reserve(bytes)?;
        self.grow(grown, capacity)
    }

    /// Appends a value if there is room for it; else gives it back. Never allocates.
    pub fn push_within_capacity(&mut self, value: T) -> std::result::Result<(), T> {
        if self.values.len() < self.values.capacity() {
            self.values.push(value);
            Ok(())
        } else {
            Err(value)
        }
    }

    /// Removes the last value.
    pub fn pop(&mut self) -> Option<T> {
        self.values.pop()
    }

    /// Removes the value at `place`, the last one taking its place.
    pub fn swap_remove(&mut self, place: usize) -> Option<T> {
        (place < self.values.len()).then(|| self.values.swap_remove(place))
    }

    /// Removes all values; the capacity stays.
    pub fn clear(&mut self) {
        self.values.clear();
    }

    /// Removes the values that are not to be kept; the capacity stays.
    pub fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
        self.values.retain(keep);
    }

    /// Removes all values from the `len`-th on; the capacity stays.
    pub fn truncate(&mut self, len: usize) {
        self.values.truncate(len);
    }

    /// Removes a range of values; the capacity stays.
    pub fn remove_range(&mut self, range: std::ops::Range<usize>) {
        self.values.drain(range);
    }

    /// Puts a value at `place` if there is room for it. Never allocates.
    pub fn insert_within_capacity(&mut self, place: usize, value: T) -> std::result::Result<(), T> {
        if self.values.len() < self.values.capacity() && place <= self.values.len() {
            self.values.insert(place, value);
            Ok(())
        } else {
            Err(value)
        }
    }

    /// Values that fit without growing.
    pub fn capacity(&self) -> usize {
        self.values.capacity()
    }

    fn grow(&mut self, mut grown: Reservation, capacity: usize) -> Result<()> {
        // Old and new memory may both be there while the values move: both are charged.
        let bytes = grown.granted();
        grown.set_live(bytes);
        if self.values.try_reserve_exact(capacity - self.values.len()).is_err() {
            grown.set_live(0);
            return Err(no_heap(bytes));
        }
        self.reservation = grown;
        Ok(())
    }
}

fn no_heap(bytes: u64) -> Error {
    Error::new(ErrorKind::MemoryLimit, "the heap has no memory for a list")
        .with(Figure::Requested, bytes)
}

impl<T> Deref for Vector<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.values
    }
}

impl<T> DerefMut for Vector<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values
    }
}

impl<T: fmt::Debug> fmt::Debug for Vector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.fmt(f)
    }
}
