//! Digests of rows and of sequences of rows.
//!
//! A row's digest depends on every value and its column; a sequence's digest on every row and its
//! place. 64 bits against accidents, not against an adversary.

use arrow_array::cast::AsArray;
use arrow_array::types::ByteArrayType;
use arrow_array::{
    Array, ArrowPrimitiveType, BooleanArray, GenericByteArray, PrimitiveArray, RecordBatch,
    downcast_primitive_array,
};
use arrow_schema::DataType;

use crate::failure::{Failure, Result};

/// The digest of the rows seen so far, in their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SequenceDigest {
    /// Rows seen.
    pub(super) rows: u64,
    chain: u64,
}

impl SequenceDigest {
    /// Adds a row.
    pub(super) fn push(&mut self, row_digest: u64) {
        self.rows += 1;
        self.chain = fold(self.chain ^ row_digest, SEQUENCE);
    }
}

/// The digest of every row of a batch.
pub(super) fn row_digests(batch: &RecordBatch) -> Result<Vec<u64>> {
    let mut digests = vec![0u64; batch.num_rows()];
    for column in batch.columns() {
        digest_column(column.as_ref(), &mut digests)?;
    }
    Ok(digests)
}

fn digest_column(column: &dyn Array, digests: &mut [u64]) -> Result<()> {
    downcast_primitive_array!(
        column => digest_primitives(column, digests),
        DataType::Null => digests.iter_mut().for_each(|digest| *digest = fold(*digest, ABSENT)),
        DataType::Boolean => digest_booleans(column.as_boolean(), digests),
        DataType::Utf8 => digest_bytes(column.as_string::<i32>(), digests),
        DataType::LargeUtf8 => digest_bytes(column.as_string::<i64>(), digests),
        DataType::Binary => digest_bytes(column.as_binary::<i32>(), digests),
        DataType::LargeBinary => digest_bytes(column.as_binary::<i64>(), digests),
        DataType::FixedSizeBinary(_) => {
            let values = column.as_fixed_size_binary();
            for (row, digest) in digests.iter_mut().enumerate() {
                let value = values.is_valid(row).then(|| values.value(row));
                *digest = mix_value(*digest, value);
            }
        }
        other => return Err(Failure::new(format!("no digest is defined for columns of {other}"))),
    );
    Ok(())
}

fn digest_primitives<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, digests: &mut [u64]) {
    let width = size_of::<T::Native>();
    let bytes = column.values().inner().as_slice();
    for (row, (digest, value)) in digests.iter_mut().zip(bytes.chunks_exact(width)).enumerate() {
        *digest = mix_value(*digest, column.is_valid(row).then_some(value));
    }
}

fn digest_booleans(column: &BooleanArray, digests: &mut [u64]) {
    for (value, digest) in column.iter().zip(digests) {
        *digest =
            mix_value(*digest, value.map(|bit| [u8::from(bit)]).as_ref().map(<[u8; 1]>::as_slice));
    }
}

fn digest_bytes<T: ByteArrayType>(column: &GenericByteArray<T>, digests: &mut [u64])
where
    T::Native: AsRef<[u8]>,
{
    for (value, digest) in column.iter().zip(digests) {
        *digest = mix_value(*digest, value.map(AsRef::<[u8]>::as_ref));
    }
}

fn mix_value(digest: u64, value: Option<&[u8]>) -> u64 {
    let Some(value) = value else {
        return fold(digest, ABSENT);
    };
    let (words, rest) = value.as_chunks::<8>();
    let digest =
        words.iter().fold(digest, |digest, word| fold(digest ^ u64::from_le_bytes(*word), PRESENT));
    let mut last = [0u8; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    let length = value.len() as u64;
    fold(digest ^ u64::from_le_bytes(last), PRESENT ^ length.rotate_left(32))
}

/// Multiplies to 128 bits and folds the halves.
#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn fold(value: u64, factor: u64) -> u64 {
    let product = u128::from(value ^ OFFSET) * u128::from(factor);
    product as u64 ^ (product >> 64) as u64
}

const OFFSET: u64 = 0x9e37_79b9_7f4a_7c15;
const ABSENT: u64 = 0xbf58_476d_1ce4_e5b9;
const PRESENT: u64 = 0x94d0_49bb_1331_11eb;
const SEQUENCE: u64 = 0xd6e8_feb8_6659_fd93;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array, StringArray};

    use super::*;

    fn digests(numbers: Vec<Option<i32>>, words: Vec<Option<&str>>) -> Vec<u64> {
        let columns: [(&str, ArrayRef); 2] =
            [("n", Arc::new(Int32Array::from(numbers))), ("w", Arc::new(StringArray::from(words)))];
        row_digests(&RecordBatch::try_from_iter(columns).unwrap()).unwrap()
    }

    #[test]
    fn different_rows_differ() {
        let all = digests(
            vec![Some(0), None, Some(0), Some(0), Some(1), Some(0)],
            vec![Some(""), Some(""), None, Some("\0"), Some(""), Some("12345678")],
        );
        for (index, digest) in all.iter().enumerate() {
            assert!(!all[..index].contains(digest), "{all:?}");
        }
    }

    #[test]
    fn slices_and_garbage_under_nulls_do_not_matter() {
        let whole = digests(vec![Some(5), None, Some(7)], vec![Some("a"), Some("b"), None]);
        let array = Int32Array::new(vec![9, 7].into(), Some(vec![false, true].into()));
        let columns: [(&str, ArrayRef); 2] = [
            ("n", Arc::new(array)),
            ("w", Arc::new(StringArray::from(vec![Some("a"), Some("b"), None]).slice(1, 2))),
        ];
        let part = row_digests(&RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        assert_eq!(part, whole[1..]);
    }

    #[test]
    fn order_matters() {
        let digest = |rows: [u64; 2]| {
            let mut digest = SequenceDigest::default();
            for row in rows {
                digest.push(row);
            }
            digest
        };
        assert_ne!(digest([1, 2]), digest([2, 1]));
    }
}
