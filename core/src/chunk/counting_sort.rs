//! Stable counting sort of partition ids, with its scratch charged at birth.

use crate::Result;
use crate::cast::to_u32;
use crate::memory::{Array, Consumer};

/// Sorts up to a fixed number of ids below a fixed number of partitions. Never allocates again.
#[derive(Debug)]
pub struct CountingSort {
    /// While counting: rows of each partition. While scattering: where its next row goes.
    counts: Array<u32>,
    permutation: Array<u32>,
}

impl CountingSort {
    /// Scratch for `rows_max` ids below `partitions`.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub fn try_new(consumer: &Consumer, rows_max: usize, partitions: u32) -> Result<Self> {
        Ok(Self {
            counts: Array::try_new(consumer, partitions as usize)?,
            permutation: Array::try_new(consumer, rows_max)?,
        })
    }

    /// The bytes [`CountingSort::try_new`] reserves.
    pub fn bytes_for(rows_max: usize, partitions: u32) -> u64 {
        Array::<u32>::bytes_for(partitions as usize) + Array::<u32>::bytes_for(rows_max)
    }

    /// Sorts; every id is below the number of partitions. Returns how many partitions have rows.
    pub fn sort(&mut self, ids: &[u32]) -> usize {
        let counts = &mut *self.counts;
        counts.fill(0);
        for &id in ids {
            counts[id as usize] += 1;
        }
        let mut filled = 0;
        let mut position = 0;
        for count in counts.iter_mut() {
            filled += usize::from(*count > 0);
            position += std::mem::replace(count, position);
        }
        let permutation = &mut self.permutation[..ids.len()];
        for (row, &id) in (0u32..).zip(ids) {
            let position = &mut counts[id as usize];
            permutation[*position as usize] = row;
            *position += 1;
        }
        filled
    }

    /// After [`CountingSort::sort`]: the rows in order of their partitions.
    pub fn permutation(&self, rows: usize) -> &[u32] {
        &self.permutation[..rows]
    }

    /// After [`CountingSort::sort`]: each partition that has rows, with the end of its rows.
    pub fn segments(&self) -> impl Iterator<Item = (u32, u32)> {
        let mut start = 0;
        self.counts.iter().enumerate().filter_map(move |(partition, &end)| {
            let filled = end > start;
            start = end;
            filled.then(|| (to_u32(partition), end))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryLedger;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_a_stable_sort(ids in prop::collection::vec(0u32..50, 0..300)) {
            let ledger = MemoryLedger::unlimited();
            let consumer = ledger.admit(1, 0).unwrap()[0].consumer("sort");
            let mut sort = CountingSort::try_new(&consumer, ids.len(), 50).unwrap();
            let filled = sort.sort(&ids);
            let mut expected: Vec<u32> = (0..to_u32(ids.len())).collect();
            expected.sort_by_key(|&row| ids[row as usize]);
            prop_assert_eq!(sort.permutation(ids.len()), expected);
            let segments: Vec<_> = sort.segments().collect();
            prop_assert_eq!(segments.len(), filled);
            let mut start = 0;
            for (partition, end) in segments {
                for &row in &sort.permutation(ids.len())[start as usize..end as usize] {
                    prop_assert_eq!(ids[row as usize], partition);
                }
                start = end;
            }
            prop_assert_eq!(start as usize, ids.len());
        }
    }
}
