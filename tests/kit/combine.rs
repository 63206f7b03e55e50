//! Records for combiners: generated keys and values, and what a map of the standard library makes of
//! them.

mod case;
mod strain;

use std::collections::BTreeMap;

use bywash::{
    AccumulatorSize, CombineSpec, Combined, Combiner, KeyValues, Merge, Result, Slices, TaskMemory,
};

use crate::dirs::Dirs;
use crate::seed::Rng;

pub use case::{CombineCase, Merging, REACHED, Reached};
pub use strain::{Strain, Strained};

/// Records as owned bytes.
pub type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// How keys are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// Evenly over so many.
    Uniform(u64),
    /// Most records have one key, the others one of so many.
    Hot(u64),
    /// The higher, the rarer.
    Zipf(u64),
}

impl Keys {
    /// The number of a record's key.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a distribution by logarithm"
    )]
    pub fn number(self, rng: &mut Rng) -> u64 {
        match self {
            Self::Uniform(distinct) => rng.below(distinct),
            Self::Hot(distinct) => {
                if rng.chance(95) {
                    0
                } else {
                    rng.below(distinct)
                }
            }
            Self::Zipf(distinct) => {
                // Exponent 1: uniform in the logarithm.
                let uniform = (rng.bits() >> 11) as f64 / (1u64 << 53) as f64;
                ((distinct as f64).powf(uniform) as u64).min(distinct) - 1
            }
        }
    }
}

/// `count` records with values of up to `value_max` bytes; keys of 0 to 40 bytes.
pub fn records(rng: &mut Rng, count: usize, keys: Keys, value_max: usize) -> Records {
    (0..count)
        .map(|_| {
            let number = keys.number(rng);
            let value = rng.size(0, value_max);
            (key(number), rng.bytes(value))
        })
        .collect()
}

/// A key of its own for each number; number 0 has the empty one.
pub fn key(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let mut key: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
    // Some are long and equal for long.
    if number % 5 == 3 {
        let tail = key.clone();
        key = vec![0; 32];
        key.extend_from_slice(&tail);
    }
    key
}

/// Values by key, in the order they came.
pub fn oracle(records: &Records) -> BTreeMap<Vec<u8>, Vec<Vec<u8>>> {
    let mut groups = BTreeMap::<_, Vec<Vec<u8>>>::new();
    for (key, value) in records {
        groups.entry(key.clone()).or_default().push(value.clone());
    }
    groups
}

/// Gives records to a combiner in calls of up to `step`.
///
/// # Errors
/// The combiner's.
pub fn write_all<M: Merge + Send + 'static>(
    combiner: &mut Combiner<M>,
    records: &Records,
    step: usize,
) -> Result<()> {
    for part in records.chunks(step) {
        let keys: Vec<&[u8]> = part.iter().map(|(key, _)| &key[..]).collect();
        let values: Vec<&[u8]> = part.iter().map(|(_, value)| &value[..]).collect();
        combiner.write(&KeyValues::try_new(Slices::Each(&keys), Slices::Each(&values))?)?;
    }
    Ok(())
}

/// All groups.
///
/// # Errors
/// The combiner's.
///
/// # Panics
/// If a key comes twice.
pub fn read_all<M: Merge + Send + 'static>(
    mut combined: Combined<M>,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut groups = BTreeMap::new();
    while let Some(batch) = combined.next_batch()? {
        assert!(!batch.is_empty(), "a batch has groups");
        for (key, value) in batch.iter() {
            let before = groups.insert(key.to_vec(), value.to_vec());
            assert!(before.is_none(), "a key was given out twice");
        }
    }
    Ok(groups)
}

/// A combiner on plain directories.
///
/// # Errors
/// The combiner's.
pub fn combiner<M: Merge + Send + 'static>(
    spec: &CombineSpec,
    merge: M,
    task: &TaskMemory,
    dirs: &Dirs,
) -> Result<Combiner<M>> {
    Combiner::new(spec, merge, task, &dirs.spill)
}

/// Values one after the other, each with its length, so that they can be told apart again whatever
/// their order.
#[derive(Debug, Clone, Copy, Default)]
pub struct Collect;

impl Collect {
    /// The values of an accumulator, sorted.
    ///
    /// # Panics
    /// If it is not one.
    pub fn values(mut accumulator: &[u8]) -> Vec<Vec<u8>> {
        let mut values = Vec::new();
        while let Some((len, rest)) = accumulator.split_first_chunk::<4>() {
            let (value, rest) = rest.split_at(u32::from_le_bytes(*len) as usize);
            values.push(value.to_vec());
            accumulator = rest;
        }
        assert!(accumulator.is_empty(), "a whole accumulator");
        values.sort();
        values
    }
}

impl Merge for Collect {
    fn size(&self) -> AccumulatorSize {
        AccumulatorSize::Variable
    }

    fn created_bytes_max(&self, value: &[u8]) -> usize {
        value.len() + 4
    }

    fn create(&mut self, value: &[u8], accumulator: &mut [u8]) -> Result<usize> {
        self.merge(accumulator, 0, value)
    }

    fn merged_bytes_max(&self, accumulator: &[u8], value: &[u8]) -> usize {
        accumulator.len() + value.len() + 4
    }

    fn merge(&mut self, accumulator: &mut [u8], len: usize, value: &[u8]) -> Result<usize> {
        let size = u32::try_from(value.len()).expect("a short value");
        accumulator[len..len + 4].copy_from_slice(&size.to_le_bytes());
        accumulator[len + 4..len + 4 + value.len()].copy_from_slice(value);
        Ok(len + 4 + value.len())
    }

    fn merge_accumulators(
        &mut self,
        accumulator: &mut [u8],
        len: usize,
        other: &[u8],
    ) -> Result<usize> {
        accumulator[len..len + other.len()].copy_from_slice(other);
        Ok(len + other.len())
    }
}
