//! Spark's placement of a row, one value at a time, straight from its definition.
//!
//! Only for types with an obvious Spark counterpart; it places rows for the oracle, and the test
//! vectors made with real Spark are what the engine's own hash is held to.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};

use crate::seed::Rng;

/// Whether this module can hash `data_type`.
pub const fn is_hashable(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Microsecond, _)
            | DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::Decimal128(_, _)
    )
}

/// A hashable type at random.
pub fn random_hashable(rng: &mut Rng) -> DataType {
    let types = super::generate::all_types();
    let hashable: Vec<&DataType> = types.iter().filter(|t| is_hashable(t)).collect();
    (*rng.pick(&hashable)).clone()
}

/// The partition of every row: murmur3 over `columns` from seed 42, then the positive modulus.
pub fn partition_ids(batch: &RecordBatch, columns: &[usize], partitions: u32) -> Vec<u32> {
    (0..batch.num_rows())
        .map(|row| {
            let hash = columns
                .iter()
                .fold(42, |seed, &column| hash_value(batch.column(column), row, seed));
            let modulus = i64::from(hash.cast_signed()).rem_euclid(i64::from(partitions));
            u32::try_from(modulus).expect("below the partitions")
        })
        .collect()
}

fn hash_value(column: &dyn Array, row: usize, seed: u32) -> u32 {
    if column.is_null(row) {
        return seed;
    }
    match column.data_type() {
        DataType::Boolean => hash_int(u32::from(column.as_boolean().value(row)), seed),
        DataType::Int8 => signed(i32::from(column.as_primitive::<Int8Type>().value(row)), seed),
        DataType::Int16 => signed(i32::from(column.as_primitive::<Int16Type>().value(row)), seed),
        DataType::Int32 => signed(column.as_primitive::<Int32Type>().value(row), seed),
        DataType::Date32 => signed(column.as_primitive::<Date32Type>().value(row), seed),
        DataType::Int64 => hash_long(column.as_primitive::<Int64Type>().value(row), seed),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            hash_long(column.as_primitive::<TimestampMicrosecondType>().value(row), seed)
        }
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            let bits = match value {
                value if value.is_nan() => 0x7fc0_0000,
                0.0 => 0, // Minus zero, too.
                value => value.to_bits(),
            };
            hash_int(bits, seed)
        }
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            let bits = match value {
                value if value.is_nan() => 0x7ff8_0000_0000_0000,
                0.0 => 0, // Minus zero, too.
                value => value.to_bits(),
            };
            hash_long(bits.cast_signed(), seed)
        }
        DataType::Utf8 => hash_bytes(column.as_string::<i32>().value(row).as_bytes(), seed),
        DataType::LargeUtf8 => hash_bytes(column.as_string::<i64>().value(row).as_bytes(), seed),
        DataType::Binary => hash_bytes(column.as_binary::<i32>().value(row), seed),
        DataType::LargeBinary => hash_bytes(column.as_binary::<i64>().value(row), seed),
        DataType::Decimal128(precision, _) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            match i64::try_from(value) {
                Ok(unscaled) if *precision <= 18 => hash_long(unscaled, seed),
                _ => hash_bytes(big_integer(value), seed),
            }
        }
        other => panic!("no rule for {other}"),
    }
}

/// The shortest big-endian two's complement form, as Java's `BigInteger.toByteArray`.
fn big_integer(value: i128) -> Vec<u8> {
    let mut bytes = value.to_be_bytes().to_vec();
    while bytes.len() > 1
        && ((bytes[0] == 0 && bytes[1] < 0x80) || (bytes[0] == 0xff && bytes[1] >= 0x80))
    {
        bytes.remove(0);
    }
    bytes
}

const fn signed(value: i32, seed: u32) -> u32 {
    hash_int(value.cast_unsigned(), seed)
}

const fn hash_int(value: u32, seed: u32) -> u32 {
    finish(mix(seed, value), 4)
}

fn hash_long(value: i64, seed: u32) -> u32 {
    let bits = value.cast_unsigned();
    let low = mix(seed, u32::try_from(bits & 0xffff_ffff).expect("32 bits"));
    finish(mix(low, u32::try_from(bits >> 32).expect("32 bits")), 8)
}

/// Spark's own tail: every byte after the last whole word is mixed in as a sign-extended word.
fn hash_bytes(bytes: impl AsRef<[u8]>, seed: u32) -> u32 {
    let bytes = bytes.as_ref();
    let mut words = bytes.chunks_exact(4);
    let mut hash = seed;
    for word in words.by_ref() {
        hash = mix(hash, u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    }
    for byte in words.remainder() {
        hash = mix(hash, i32::from(byte.cast_signed()).cast_unsigned());
    }
    finish(hash, u32::try_from(bytes.len()).expect("below 4 GiB"))
}

const fn mix(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

const fn finish(hash: u32, length: u32) -> u32 {
    let mut h = hash ^ length;
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_values_known_from_spark() {
        // From Spark's own Murmur3Suite and `SELECT hash('Spark')`.
        assert_eq!(hash_int(0, 0).cast_signed(), 593_689_054);
        assert_eq!(hash_int(42u32.wrapping_neg(), 0).cast_signed(), -189_366_624);
        assert_eq!(hash_int(42, 0).cast_signed(), -1_134_849_565);
        assert_eq!(hash_bytes("Spark", 42).cast_signed(), 228_093_765);
    }

    #[test]
    fn shortens_as_big_integer_does() {
        assert_eq!(big_integer(0), [0]);
        assert_eq!(big_integer(127), [127]);
        assert_eq!(big_integer(128), [0, 128]);
        assert_eq!(big_integer(-128), [128]);
        assert_eq!(big_integer(-129), [255, 127]);
    }
}
