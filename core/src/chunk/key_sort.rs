//! Stable sort of rows by their keys, with its scratch charged at birth.
//!
//! Rows become pairs of a 64-bit part of their prefix and their number. The part is taken where the
//! prefixes of these very rows differ, so that it mostly is all there is to compare; rows that are
//! still equal are compared where they lie.

use crate::cast::{to_u32, to_usize};
use crate::key::{KeyRows, Prefix, PrefixSpan, SortKey};
use crate::memory::{Array, Consumer};
use crate::radix::{Pair, RadixKey, RadixSort, Slot};
use crate::{Error, Result};

/// Sorts up to a fixed number of rows. Never allocates again.
#[derive(Debug)]
pub struct KeySort {
    radix: RadixSort,
    pairs: Array<Pair>,
    scratch: Array<Pair>,
    permutation: Array<u32>,
    span: PrefixSpan,
}

impl KeySort {
    /// Scratch for `rows_max` rows: 36 bytes each.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub fn try_new(consumer: &Consumer, rows_max: usize) -> Result<Self> {
        Ok(Self {
            radix: RadixSort::try_new(consumer, RadixKey::WORD, rows_max)?,
            pairs: Array::try_new(consumer, rows_max)?,
            scratch: Array::try_new(consumer, rows_max)?,
            permutation: Array::try_new(consumer, rows_max)?,
            span: PrefixSpan::default(),
        })
    }

    /// The bytes [`KeySort::try_new`] reserves.
    pub fn bytes_for(rows_max: usize) -> u64 {
        RadixSort::bytes_for(RadixKey::WORD, rows_max)
            + 2 * Array::<Pair>::bytes_for(rows_max)
            + Array::<u32>::bytes_for(rows_max)
    }

    /// Sorts the first `count` rows by `key`; equal ones stay in their order. Returns the rows in
    /// order.
    ///
    /// # Errors
    /// `Internal` for more rows than it was made for.
    pub fn sort(&mut self, key: &SortKey, rows: &impl KeyRows, count: usize) -> Result<&[u32]> {
        let (pairs, scratch) = (&mut self.pairs[..], &mut self.scratch[..]);
        let (Some(pairs), Some(scratch)) = (pairs.get_mut(..count), scratch.get_mut(..count))
        else {
            return Err(TOO_MANY);
        };
        let (span, is_whole) = make_pairs(key, rows, pairs);
        self.span = span;
        let sorted = match self.radix.sort(pairs, scratch)? {
            Slot::First => pairs,
            Slot::Second => scratch,
        };
        if !(is_whole && key.is_decisive()) {
            sort_ties(key, rows, sorted);
        }
        let permutation = &mut self.permutation[..count];
        for (slot, pair) in permutation.iter_mut().zip(&*sorted) {
            *slot = to_u32(to_usize(pair.value));
        }
        Ok(permutation)
    }

    /// Where the prefixes of the rows sorted last differ.
    pub const fn span(&self) -> PrefixSpan {
        self.span
    }
}

/// Pairs of a part of each row's prefix and its number; where prefixes differ, and whether the part is all
/// of that.
fn make_pairs(key: &SortKey, rows: &impl KeyRows, pairs: &mut [Pair]) -> (PrefixSpan, bool) {
    let count = pairs.len();
    // A prefix takes the place of its pair.
    let prefixes: &mut [Prefix] = bytemuck::cast_slice_mut(pairs);
    key.prefixes(rows, 0..count, prefixes);
    let span = PrefixSpan::of(prefixes);
    let part = span.part();
    for (row, pair) in (0u64..).zip(pairs) {
        let prefix = Prefix::from(pair.value) << 64 | Prefix::from(pair.prefix);
        *pair = Pair { prefix: part.take(prefix), value: row };
    }
    (span, part.is_whole())
}

/// Puts rows whose pairs are equal into the order of their keys, then of their numbers.
fn sort_ties(key: &SortKey, rows: &impl KeyRows, pairs: &mut [Pair]) {
    for ties in pairs.chunk_by_mut(|one, other| one.prefix == other.prefix) {
        if ties.len() > 1 {
            ties.sort_unstable_by(|one, other| {
                let order = key.compare((rows, to_usize(one.value)), (rows, to_usize(other.value)));
                order.then(one.value.cmp(&other.value))
            });
        }
    }
}

const TOO_MANY: Error = Error::internal("more rows to sort than the scratch was made for");

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
    use proptest::prelude::*;

    use super::*;
    use crate::chunk::{Staging, StagingSize};
    use crate::column::Layout;
    use crate::key::SortColumn;
    use crate::memory::MemoryLedger;

    proptest! {
        #[test]
        fn equals_a_stable_sort(
            numbers in prop::collection::vec((any::<u16>(), 0i64..5, -3i32..3), 0..300),
            shift in 0u32..48,
            texts in any::<bool>(),
            descending in any::<bool>(),
        ) {
            let high: Int64Array = numbers.iter().map(|(n, ..)| i64::from(*n) << shift).collect();
            let middle: Int64Array = numbers.iter().map(|(_, n, _)| Some(*n)).collect();
            let low: Int32Array = numbers.iter().map(|(.., n)| (*n != 0).then_some(*n)).collect();
            let text: StringArray =
                numbers.iter().map(|(n, ..)| Some(format!("a long common part{}", n % 7))).collect();
            let first: ArrayRef = if texts { Arc::new(text) } else { Arc::new(high) };
            let columns: [(&str, ArrayRef); 3] =
                [("a", first), ("b", Arc::new(middle)), ("c", Arc::new(low))];
            let batch = RecordBatch::try_from_iter(columns).unwrap();
            let layout = Layout::try_new(batch.schema()).unwrap();
            let columns = [0, 1, 2].map(|column| SortColumn {
                column,
                descending,
                nulls_last: column == 1,
            });
            let key = SortKey::try_new(&layout, &columns).unwrap();
            let views = layout.views(&batch);
            let ledger = MemoryLedger::unlimited();
            let consumer = ledger.admit(1, 0).unwrap()[0].consumer("sort");
            let size = StagingSize { rows: 300, data_bytes: 1 << 16 };
            let mut staging = Staging::try_new(&consumer, &layout, size).unwrap();
            if batch.num_rows() > 0 {
                staging.append(&views, 0, batch.num_rows(), |_| Ok(())).unwrap();
            }
            let before = ledger.granted();
            let mut sort = KeySort::try_new(&consumer, 300).unwrap();
            prop_assert_eq!(ledger.granted() - before, KeySort::bytes_for(300));
            let order = sort.sort(&key, &staging, batch.num_rows()).unwrap();
            let mut expected: Vec<u32> = (0..to_u32(batch.num_rows())).collect();
            expected.sort_by(|one, other| {
                key.compare((&staging, *one as usize), (&staging, *other as usize))
            });
            prop_assert_eq!(order, &expected[..]);
        }
    }
}
