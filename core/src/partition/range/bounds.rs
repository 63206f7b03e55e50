//! Where ranges end, and which of them a row is in.

use std::cmp::Ordering;

use super::{BOUND_BYTES, Keys, RangeSample, bytes};
use crate::cast::to_u32;
use crate::key::{KeyRows, SortKey};
use crate::memory::{Array, Consumer};
use crate::{Error, Result};

/// Where the partitions of a range-partitioned shuffle end. They know the form of the keys that were sampled
/// and refuse others, but not of which columns those were: whoever places rows by them
/// (`SortSpec::partition_ids`) sorts by the same.
#[derive(Debug)]
pub struct RangeBounds {
    keys: Keys,
}

impl RangeBounds {
    /// Bounds of at most `partitions` partitions of about as many rows each, given samples of all
    /// inputs; fewer where few keys differ. Charged: 65 bytes a bound, and 8 a key sampled meanwhile.
    ///
    /// # Errors
    /// `MemoryLimit`; `InvalidArgument` for no partitions, or samples of keys of several forms.
    #[expect(clippy::cast_precision_loss, reason = "weights are estimates")]
    pub fn determine(
        consumer: &Consumer,
        samples: &[RangeSample],
        partitions: u32,
    ) -> Result<Self> {
        let Some(wanted) = (partitions as usize).checked_sub(1) else {
            return Err(Error::invalid("the number of partitions is at least 1"));
        };
        let total: usize = samples.iter().map(RangeSample::keys).sum();
        let wanted = wanted.min(total);
        let mut keys = Keys::try_new(consumer, wanted.max(1))?;
        for sample in samples {
            keys.set_form(sample.keys.form)?;
        }
        // Each candidate: its sample in the high half, its place there in the low one.
        let mut candidates: Array<u64> = Array::try_new(consumer, total.max(1))?;
        let all = samples.iter().enumerate().flat_map(|(sample, keys)| {
            (0..keys.keys()).map(move |place| (sample as u64) << 32 | place as u64)
        });
        for (slot, candidate) in candidates.iter_mut().zip(all) {
            *slot = candidate;
        }
        let of = |candidate: u64| {
            let sample = usize::try_from(candidate >> 32).unwrap_or(usize::MAX);
            let place = usize::try_from(candidate & u64::from(u32::MAX)).unwrap_or(usize::MAX);
            (&samples[sample], place)
        };
        let key = |candidate: u64| {
            let (sample, place) = of(candidate);
            sample.keys.get(place)
        };
        let weight = |candidate: u64| {
            let (sample, _) = of(candidate);
            sample.rows as f64 / sample.keys() as f64
        };
        let candidates = &mut candidates[..total];
        candidates.sort_unstable_by(|one, other| key(*one).cmp(key(*other)));
        let rows: f64 = samples.iter().map(|sample| sample.rows as f64).sum();
        let step = rows / f64::from(partitions);
        let (mut sum, mut target) = (0.0, step);
        for &candidate in &*candidates {
            if keys.count >= wanted {
                break;
            }
            sum += weight(candidate);
            let key = key(candidate);
            let is_above_last = keys.count.checked_sub(1).is_none_or(|last| key > keys.get(last));
            if sum >= target && is_above_last {
                keys.push(key);
                target += step;
            }
        }
        Ok(Self { keys })
    }

    /// The bounds as bytes, for all who place rows by them: at most 65 for each and 32 more, in memory of
    /// the caller's.
    pub fn to_bytes(&self) -> Vec<u8> {
        bytes::encode(bytes::BOUNDS, &self.keys, 0)
    }

    /// Bounds made of such bytes. Charged: 65 bytes a bound.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are no bounds, whole, in order and of this version; `MemoryLimit`.
    pub fn try_from_bytes(consumer: &Consumer, encoded: &[u8]) -> Result<Self> {
        let (keys, _) = bytes::decode(bytes::BOUNDS, consumer, encoded)?;
        if (1..keys.count).any(|place| keys.get(place - 1) >= keys.get(place)) {
            return Err(Error::corrupt("bounds are not in order"));
        }
        Ok(Self { keys })
    }

    /// The number of partitions: one more than bounds.
    pub fn partitions(&self) -> u32 {
        to_u32(self.keys.count + 1)
    }

    /// A bound: the greatest key of its partition, cut to [`BOUND_BYTES`].
    pub fn bound(&self, partition: u32) -> Option<&[u8]> {
        let place = partition as usize;
        (place < self.keys.count).then(|| self.keys.get(place))
    }

    /// The partitions of rows from `from` on, one for each place of `out`.
    ///
    /// # Errors
    /// `InvalidArgument` for a key of another form than those sampled.
    pub fn partition_ids(
        &self,
        key: &SortKey,
        rows: &impl KeyRows,
        from: usize,
        out: &mut [u32],
    ) -> Result<()> {
        self.keys.check_form(key.fingerprint())?;
        let mut cut = [0; BOUND_BYTES];
        for (row, slot) in (from..).zip(out) {
            let len = key.write_cut(rows, row, &mut cut);
            let key = &cut[..len];
            let (mut low, mut high) = (0, self.keys.count);
            while low < high {
                let middle = low + (high - low) / 2;
                if self.keys.get(middle).cmp(key) == Ordering::Less {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            *slot = to_u32(low);
        }
        Ok(())
    }
}
