//! How Spark hashes the values that are not plain integers or bytes.

use arrow_buffer::i256;

use super::murmur3::{hash_bytes, hash_u32, hash_u64};
use crate::cast::to_usize;

/// Both zeros hash as the integer zero, and every NaN as Java's one.
#[inline]
pub(super) fn hash_f32(value: f32, seed: u32) -> u32 {
    let bits = if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
    hash_u32(if value == 0.0 { 0 } else { bits }, seed)
}

#[inline]
pub(super) fn hash_f64(value: f64, seed: u32) -> u32 {
    let bits = if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() };
    hash_u64(if value == 0.0 { 0 } else { bits }, seed)
}

/// Hashes the shortest big-endian two's complement form, as Java's `BigInteger.toByteArray`.
#[inline]
pub(super) fn hash_unscaled(value: i128, seed: u32) -> u32 {
    let magnitude = if value < 0 { !value } else { value };
    let redundant = to_usize(u64::from((magnitude.leading_zeros() - 1) / 8));
    hash_bytes(&value.to_be_bytes()[redundant..], seed)
}

/// As [`hash_unscaled`], for 256 bits.
pub(super) fn hash_unscaled_wide(value: i256, seed: u32) -> u32 {
    let bytes = value.to_be_bytes();
    let sign = if value.is_negative() { 0xff } else { 0 };
    // A leading byte is redundant when it repeats the sign bit of the byte after it.
    let repeats = |pair: &[u8]| pair[0] == sign && (pair[1] ^ sign) < 0x80;
    let redundant = bytes.windows(2).take_while(|pair| repeats(pair)).count();
    hash_bytes(&bytes[redundant..], seed)
}

/// Spark's `CalendarInterval`, whose days do not count: Spark's generated code, which places
/// rows, leaves them out (its interpreter, which does not, takes them in).
#[inline]
pub(super) fn hash_calendar(months: i32, micros: i64, seed: u32) -> u32 {
    hash_u32(months.cast_unsigned(), hash_u64(micros.cast_unsigned(), seed))
}
