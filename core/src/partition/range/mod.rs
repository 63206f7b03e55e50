//! Ranges for a distributed sort: bounds from a sample of keys, and the partition of each row.
//!
//! The way of Spark's RangePartitioner: each input is sampled on its own, a sample stands for as many
//! rows as its input has for each key sampled, and bounds are put where the weights reach the next
//! part of their sum, never twice at the same key. A row's partition is the number of bounds below its
//! key, so rows of equal keys are together, and partitions are in the order of their rows.
//!
//! Keys are looked at up to [`BOUND_BYTES`]; rows whose keys agree that far are in one partition.

mod bounds;
mod bytes;
mod sample;
#[cfg(test)]
mod tests;

use crate::memory::{Array, Consumer};
use crate::{Error, Figure, Result};

pub use bounds::RangeBounds;
pub use sample::RangeSample;

/// Bytes of a key that bounds look at.
pub const BOUND_BYTES: usize = 64;

/// Keys of up to [`BOUND_BYTES`] in one area.
#[derive(Debug)]
struct Keys {
    bytes: Array<u8>,
    lens: Array<u8>,
    count: usize,
    /// [`SortKey::fingerprint`](crate::key::SortKey::fingerprint) of those they were made by; 0 before the first.
    form: u64,
}

impl Keys {
    fn try_new(consumer: &Consumer, capacity: usize) -> Result<Self> {
        let bytes = capacity.checked_mul(BOUND_BYTES).ok_or_else(|| {
            Error::invalid("so many keys cannot be counted in bytes")
                .with(Figure::Requested, capacity)
        })?;
        Ok(Self {
            bytes: Array::try_new(consumer, bytes)?,
            lens: Array::try_new(consumer, capacity)?,
            count: 0,
            form: 0,
        })
    }

    /// Bytes of keys of one form cannot be compared with those of another.
    fn check_form(&self, form: u64) -> Result<()> {
        if self.form == 0 || form == 0 || self.form == form {
            return Ok(());
        }
        Err(Error::invalid(
            "keys of another form than those sampled: sort by columns of the same types, nullability, \
             direction and place of nulls",
        )
        .with(Figure::Expected, self.form)
        .with(Figure::Found, form))
    }

    /// From now on they are of this form.
    fn set_form(&mut self, form: u64) -> Result<()> {
        self.check_form(form)?;
        if form != 0 {
            self.form = form;
        }
        Ok(())
    }

    fn get(&self, place: usize) -> &[u8] {
        let start = place * BOUND_BYTES;
        &self.bytes[start..start + usize::from(self.lens[place])]
    }

    fn push(&mut self, key: &[u8]) {
        let start = self.count * BOUND_BYTES;
        self.bytes[start..start + key.len()].copy_from_slice(key);
        self.set_len(self.count, key.len());
        self.count += 1;
    }

    fn set_len(&mut self, place: usize, len: usize) {
        const _: () = assert!(BOUND_BYTES <= u8::MAX as usize);
        let [low, ..] = len.to_le_bytes();
        self.lens[place] = low;
    }
}
