//! Ranges for a distributed sort: bounds from a sample of keys, and the partition of each row.
//!
//! The way of Spark's RangePartitioner: each input is sampled on its own, a sample stands for as many
//! rows as its input has for each key sampled, and bounds are put where the weights reach the next
//! part of their sum, never twice at the same key. A row's partition is the number of bounds below its
//! key, so rows of equal keys are together, and partitions are in the order of their rows.
//!
//! Keys are looked at up to [`BOUND_BYTES`]; rows whose keys agree that far are in one partition.

use std::cmp::Ordering;

use crate::cast::to_u32;
use crate::key::{KeyRows, SortKey};
use crate::memory::{Array, Consumer};
use crate::{Error, Figure, Result};

/// Bytes of a key that bounds look at.
pub const BOUND_BYTES: usize = 64;

/// Keys of one input, each row as likely as any other to be among them.
#[derive(Debug)]
pub struct RangeSample {
    keys: Keys,
    capacity: usize,
    rows: u64,
    random: u64,
}

/// Where the partitions of a range-partitioned shuffle end.
#[derive(Debug)]
pub struct RangeBounds {
    keys: Keys,
}

/// Keys of up to [`BOUND_BYTES`] in one area.
#[derive(Debug)]
struct Keys {
    bytes: Array<u8>,
    lens: Array<u8>,
    count: usize,
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
    pub fn add(&mut self, key: &SortKey, rows: &impl KeyRows, count: usize) {
        for row in 0..count {
            self.rows += 1;
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

impl RangeBounds {
    /// Bounds of at most `partitions` partitions of about as many rows each, given samples of all
    /// inputs; fewer where few keys differ. Charged: 65 bytes a bound, and 16 a key sampled meanwhile.
    ///
    /// # Errors
    /// `MemoryLimit`; `InvalidArgument` for no partitions.
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
    pub fn partition_ids(&self, key: &SortKey, rows: &impl KeyRows, from: usize, out: &mut [u32]) {
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
    }
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
        })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, RecordBatch, StringArray};
    use proptest::prelude::*;

    use super::*;
    use crate::column::{ColumnView, Layout};
    use crate::key::{SortColumn, ViewRows};
    use crate::memory::MemoryLedger;

    fn consumer() -> (MemoryLedger, Consumer) {
        let ledger = MemoryLedger::unlimited();
        let consumer = ledger.admit(1, 0).unwrap()[0].consumer("ranges");
        (ledger, consumer)
    }

    fn views(batch: &RecordBatch) -> (Layout, Vec<ColumnView>) {
        let layout = Layout::try_new(batch.schema()).unwrap();
        let nodes = layout.nodes().iter().zip(batch.columns());
        let views = nodes.map(|(node, column)| ColumnView::new(column, node.physical)).collect();
        (layout, views)
    }

    fn numbers(values: &[i64]) -> RecordBatch {
        let values = Int64Array::from(values.to_vec());
        RecordBatch::try_from_iter([("n", Arc::new(values) as _)]).unwrap()
    }

    /// Ids of the rows of a sample's own input.
    fn ids(values: &[i64], partitions: u32, capacity: usize) -> (RangeBounds, Vec<u32>) {
        let (_ledger, consumer) = consumer();
        let batch = numbers(values);
        let (layout, views) = views(&batch);
        let key = SortKey::try_new(&layout, &[SortColumn::ascending(0)]).unwrap();
        let mut sample = RangeSample::try_new(&consumer, capacity, 5).unwrap();
        sample.add(&key, &ViewRows(&views), values.len());
        assert_eq!(sample.rows(), values.len() as u64);
        let bounds = RangeBounds::determine(&consumer, &[sample], partitions).unwrap();
        let mut out = vec![u32::MAX; values.len()];
        bounds.partition_ids(&key, &ViewRows(&views), 0, &mut out);
        (bounds, out)
    }

    /// Spark's determineBounds over plain numbers.
    fn naive_bounds(mut candidates: Vec<(i64, f64)>, partitions: u32) -> Vec<i64> {
        candidates.sort_by_key(|(value, _)| *value);
        let sum: f64 = candidates.iter().map(|(_, weight)| weight).sum();
        let step = sum / f64::from(partitions);
        let (mut reached, mut target, mut bounds) = (0.0, step, Vec::new());
        for (value, weight) in candidates {
            if bounds.len() + 1 == partitions as usize {
                break;
            }
            reached += weight;
            if reached >= target && bounds.last().is_none_or(|last| value > *last) {
                bounds.push(value);
                target += step;
            }
        }
        bounds
    }

    proptest! {
        #[test]
        fn bounds_are_those_of_spark_and_ids_count_them(
            inputs in prop::collection::vec(prop::collection::vec(-20i64..20, 1..60), 1..5),
            partitions in 1u32..12,
        ) {
            let (_ledger, consumer) = consumer();
            let batches: Vec<RecordBatch> = inputs.iter().map(|values| numbers(values)).collect();
            let (layout, _) = views(&batches[0]);
            let key = SortKey::try_new(&layout, &[SortColumn::ascending(0)]).unwrap();
            // Room for every row: the sample is the input, weights are 1.
            let samples: Vec<RangeSample> = batches
                .iter()
                .map(|batch| {
                    let mut sample = RangeSample::try_new(&consumer, 60, 1).unwrap();
                    sample.add(&key, &ViewRows(&views(batch).1), batch.num_rows());
                    sample
                })
                .collect();
            let bounds = RangeBounds::determine(&consumer, &samples, partitions).unwrap();
            let all: Vec<i64> = inputs.concat();
            let expected =
                naive_bounds(all.iter().map(|value| (*value, 1.0)).collect(), partitions);
            prop_assert_eq!(bounds.partitions() as usize, expected.len() + 1);
            let batch = numbers(&all);
            let mut ids = vec![0; all.len()];
            bounds.partition_ids(&key, &ViewRows(&views(&batch).1), 0, &mut ids);
            for (value, id) in all.iter().zip(ids) {
                let below = expected.iter().filter(|bound| *bound < value).count();
                prop_assert_eq!(id as usize, below);
            }
        }
    }

    #[test]
    fn a_sample_makes_partitions_of_about_one_size() {
        let values: Vec<i64> = (0..100_000i64).map(|n| n * 7919 % 100_003).collect();
        let (bounds, ids) = ids(&values, 20, 60 * 20);
        assert_eq!(bounds.partitions(), 20);
        let mut counts = vec![0; 20];
        for id in ids {
            counts[id as usize] += 1;
        }
        assert!(counts.iter().all(|count| (2_500..10_000).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_key_that_is_most_of_the_rows_is_one_bound() {
        let values: Vec<i64> = (0..50_000).map(|n| if n % 10 == 0 { n } else { 7 }).collect();
        let (bounds, ids) = ids(&values, 16, 1000);
        let sevens: Vec<u32> =
            values.iter().zip(&ids).filter(|(v, _)| **v == 7).map(|(_, id)| *id).collect();
        assert!(sevens.windows(2).all(|pair| pair[0] == pair[1]));
        assert!(bounds.partitions() > 1 && bounds.partitions() <= 16);
        for place in 1..bounds.partitions() - 1 {
            assert!(bounds.bound(place - 1) < bounds.bound(place));
        }
    }

    #[test]
    fn equal_rows_are_in_one_partition() {
        let (bounds, ids) = ids(&[3; 1000], 8, 100);
        assert_eq!((bounds.partitions(), ids.iter().max()), (2, Some(&0)));
    }

    #[test]
    fn an_input_of_more_rows_weighs_more() {
        let (_ledger, consumer) = consumer();
        let (small, large) = (numbers(&[1_000_000; 10]), numbers(&(0..10_000).collect::<Vec<_>>()));
        let (layout, _) = views(&small);
        let key = SortKey::try_new(&layout, &[SortColumn::ascending(0)]).unwrap();
        let samples: Vec<RangeSample> = [small, large]
            .iter()
            .map(|batch| {
                let mut sample = RangeSample::try_new(&consumer, 10, 3).unwrap();
                sample.add(&key, &ViewRows(&views(batch).1), batch.num_rows());
                sample
            })
            .collect();
        let bounds = RangeBounds::determine(&consumer, &samples, 4).unwrap();
        let mut expected = vec![0; 8];
        let million = numbers(&[1_000_000]);
        let mut id = [0];
        bounds.partition_ids(&key, &ViewRows(&views(&million).1), 0, &mut id);
        key.write_cut(&ViewRows(&views(&million).1), 0, &mut expected);
        // Ten rows of ten thousand are no reason for a bound of their own.
        assert!((0..3).all(|place| bounds.bound(place).is_none_or(|b| b < &expected[..])));
        assert_eq!(id[0], bounds.partitions() - 1);
    }

    #[test]
    fn long_keys_are_cut_and_stay_in_order() {
        let (_ledger, consumer) = consumer();
        let text = |n: usize| format!("{}{:04}", "x".repeat(n % 3 * 40), n);
        let texts: StringArray = (0..3000).map(|n| Some(text(n))).collect();
        let batch = RecordBatch::try_from_iter([("t", Arc::new(texts) as _)]).unwrap();
        let (layout, views) = views(&batch);
        for columns in [[SortColumn::ascending(0)], [SortColumn::descending(0)]] {
            let key = SortKey::try_new(&layout, &columns).unwrap();
            let mut sample = RangeSample::try_new(&consumer, 500, 9).unwrap();
            sample.add(&key, &ViewRows(&views), 3000);
            let bounds = RangeBounds::determine(&consumer, &[sample], 10).unwrap();
            let mut ids = vec![0; 3000];
            bounds.partition_ids(&key, &ViewRows(&views), 0, &mut ids);
            let mut rows: Vec<usize> = (0..3000).collect();
            let views = ViewRows(&views);
            rows.sort_by(|one, other| key.compare((&views, *one), (&views, *other)));
            assert!(rows.windows(2).all(|pair| ids[pair[0]] <= ids[pair[1]]));
        }
    }

    #[test]
    fn nothing_sampled_is_one_partition() {
        let (bounds, _) = ids(&[], 9, 4);
        assert_eq!(bounds.partitions(), 1);
        let (_ledger, consumer) = consumer();
        assert!(RangeBounds::determine(&consumer, &[], 0).is_err());
        assert!(RangeSample::try_new(&consumer, 0, 1).is_err());
    }
}
