//! Spark's `Murmur3_x86_32`: 32-bit Murmur3 whose seed is the hash of the columns before.
//!
//! It differs from the published Murmur3 in one point: the bytes after the last whole word are
//! mixed one by one, each as a signed integer, with the mixing of a whole word.

/// The hash of no column, and the seed of the first.
pub(super) const SEED: u32 = 42;

/// Hashes four bytes.
#[inline]
pub(super) const fn hash_u32(value: u32, seed: u32) -> u32 {
    finish(mix(seed, value), 4)
}

/// Hashes eight bytes, the low word first.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the two words of it")]
pub(super) const fn hash_u64(value: u64, seed: u32) -> u32 {
    finish(mix(mix(seed, value as u32), (value >> 32) as u32), 8)
}

/// Hashes bytes, of which Spark counts the length in 32 bits.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the hash takes the length modulo 2^32")]
pub(super) fn hash_bytes(bytes: &[u8], seed: u32) -> u32 {
    let mut hash = seed;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        hash = mix(hash, u32::from_le_bytes(*word));
    }
    for byte in rest {
        hash = mix(hash, i32::from(byte.cast_signed()).cast_unsigned());
    }
    finish(hash, bytes.len() as u32)
}

#[inline]
const fn mix(hash: u32, word: u32) -> u32 {
    let word = word.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
}

#[inline]
const fn finish(hash: u32, length: u32) -> u32 {
    let hash = hash ^ length;
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `hash(1)`, `hash(1L)` and `hash('')` as Spark answers.
    #[test]
    fn known_values() {
        assert_eq!(hash_u32(1, SEED).cast_signed(), -559_580_957);
        assert_eq!(hash_u64(1, SEED).cast_signed(), -1_712_319_331);
        assert_eq!(hash_bytes(b"", SEED).cast_signed(), 142_593_372);
    }
}
