//! A naive partitioner: where Spark's hash places a row, written one value at a time.
//!
//! It shares no code with the engine, so that the demo compares two implementations.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;

use crate::failure::{Failure, Result};

/// The partition of every row of a batch, by the hash of some columns.
pub(super) fn place(batch: &RecordBatch, by: &[usize], partitions: u32) -> Result<Vec<u32>> {
    let mut hashes = vec![SEED; batch.num_rows()];
    for &index in by {
        let column = batch.column(index);
        for (row, hash) in hashes.iter_mut().enumerate() {
            if column.is_valid(row) {
                *hash = hash_value(column.as_ref(), row, *hash)?;
            }
        }
    }
    Ok(hashes.into_iter().map(|hash| positive_modulo(hash, partitions)).collect())
}

fn hash_value(column: &dyn Array, row: usize, seed: u32) -> Result<u32> {
    Ok(match column.data_type() {
        DataType::Int32 => hash_int(column.as_primitive::<Int32Type>().value(row), seed),
        DataType::Date32 => hash_int(column.as_primitive::<Date32Type>().value(row), seed),
        DataType::Int64 => hash_long(column.as_primitive::<Int64Type>().value(row), seed),
        DataType::Utf8 => hash_bytes(column.as_string::<i32>().value(row).as_bytes(), seed),
        other => {
            return Err(Failure::new(format!(
                "the naive partitioner knows Int32, Int64, Date32 and Utf8, not {other}"
            )));
        }
    })
}

fn hash_int(value: i32, seed: u32) -> u32 {
    finish(mix(seed, value.cast_unsigned()), 4)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn hash_long(value: i64, seed: u32) -> u32 {
    let bits = value.cast_unsigned();
    finish(mix(mix(seed, bits as u32), (bits >> 32) as u32), 8)
}

/// Whole words first, then every remaining byte as a signed word of its own: Spark's way, not the
/// textbook's.
fn hash_bytes(bytes: &[u8], seed: u32) -> u32 {
    let (words, rest) = bytes.as_chunks::<4>();
    let hash = words.iter().fold(seed, |hash, word| mix(hash, u32::from_le_bytes(*word)));
    let hash = rest
        .iter()
        .fold(hash, |hash, &byte| mix(hash, i32::from(byte.cast_signed()).cast_unsigned()));
    finish(hash, u32::try_from(bytes.len()).unwrap_or(u32::MAX))
}

fn mix(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

fn finish(hash: u32, length: u32) -> u32 {
    let hash = hash ^ length;
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

fn positive_modulo(hash: u32, partitions: u32) -> u32 {
    let modulo = i64::from(hash.cast_signed()).rem_euclid(i64::from(partitions));
    u32::try_from(modulo).unwrap_or(0)
}

const SEED: u32 = 42;

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that Spark documents or is known to give: `SELECT hash(x)`.
    #[test]
    fn hashes_as_spark() {
        assert_eq!(hash_int(0, SEED).cast_signed(), 933_211_791);
        assert_eq!(hash_int(1, SEED).cast_signed(), -559_580_957);
        assert_eq!(hash_long(1, SEED).cast_signed(), -1_712_319_331);
        assert_eq!(hash_bytes(b"Spark", SEED).cast_signed(), 228_093_765);
    }

    #[test]
    fn modulo_is_positive() {
        assert_eq!(positive_modulo(u32::MAX, 200), 199);
        assert_eq!(positive_modulo(0x8000_0000, 1), 0);
    }
}
