//! A sample of one input's keys.

use super::{BOUND_BYTES, Keys, bytes};
use crate::key::{KeyRows, SortKey};
use crate::memory::Consumer;
use crate::{Error, Result};

/// Keys of one input, each row as likely as any other to be among them. `SortSpec::sample` fills it.
#[derive(Debug)]
pub struct RangeSample {
    pub(super) keys: Keys,
    capacity: usize,
    pub(super) rows: u64,
    random: u64,
}

impl RangeSample {
    /// Room for `capacity` keys, charged: 65 bytes each. Spark takes 60 for each partition of the
    /// output divided among the inputs. The same seed takes the same rows.
    ///
    /// # Errors
    /// `MemoryLimit`; `InvalidArgument` for no keys.
    pub fn try_new(consumer: &Consumer, capacity: usize, seed: u64) -> Result<Self> {
        if capacity == 0 {
            return Err(Error::invalid("a sample has room for at least one key"));
        }
        Ok(Self { keys: Keys::try_new(consumer, capacity)?, capacity, rows: 0, random: seed })
    }

    /// Looks at the first `count` rows of `rows`.
    ///
    /// # Errors
    /// `InvalidArgument` for a key of another form than before; none of the rows is looked at.
    pub fn add(&mut self, key: &SortKey, rows: &impl KeyRows, count: usize) -> Result<()> {
        self.keys.set_form(key.fingerprint())?;
        for row in 0..count {
            // A sample that came as bytes may say any number.
            self.rows = self.rows.saturating_add(1);
            // Algorithm R: a later row takes the place of a random one, or none.
            let place = if self.keys.count < self.capacity {
                self.keys.count
            } else {
                let place = self.below(self.rows);
                match usize::try_from(place) {
                    Ok(place) if place < self.capacity => place,
                    _ => continue,
                }
            };
            let slot = &mut self.keys.bytes[place * BOUND_BYTES..(place + 1) * BOUND_BYTES];
            let len = key.write_cut(rows, row, slot);
            self.keys.set_len(place, len);
            self.keys.count = self.keys.count.max(place + 1);
        }
        Ok(())
    }

    /// The sample as bytes, for whoever determines the bounds: at most 65 for each key and 32 more, in
    /// memory of the caller's.
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes::encode(bytes::SAMPLE, &self.keys, self.rows)
    }

    /// A sample made of such bytes, charged as it was.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are no sample, whole and of this version; `MemoryLimit`.
    pub fn try_from_bytes(consumer: &Consumer, encoded: &[u8]) -> Result<Self> {
        let (keys, rows) = bytes::decode(bytes::SAMPLE, consumer, encoded)?;
        if (keys.count as u64) > rows || (keys.count == 0) != (rows == 0) {
            return Err(Error::corrupt("a sample has more keys than its input has rows"));
        }
        // Whatever its room was, a full reservoir of so many keys is a fair one.
        let capacity = keys.count.max(1);
        Ok(Self { keys, capacity, rows, random: rows })
    }

    /// Rows looked at.
    pub const fn rows(&self) -> u64 {
        self.rows
    }

    /// Keys in the sample.
    pub const fn keys(&self) -> usize {
        self.keys.count
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
