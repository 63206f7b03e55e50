//! From hashes to partition ids, without a division per row.

/// The partition of a hash among `partitions`: its floor modulus as a signed number, as Spark's
/// `pmod(hash, partitions)`.
///
/// # Panics
/// When `partitions` is zero.
pub fn pmod(hash: u32, partitions: u32) -> u32 {
    let id = i64::from(hash.cast_signed()).rem_euclid(i64::from(partitions));
    truncate(id.cast_unsigned())
}

/// Replaces each hash by its [`pmod`].
///
/// # Panics
/// When `partitions` is zero.
pub(super) fn pmod_all(hashes: &mut [u32], partitions: u32) {
    assert!(partitions > 0, "at least one partition");
    if partitions.is_power_of_two() {
        // In two's complement the low bits are the floor modulus of negative numbers too.
        let mask = partitions - 1;
        for hash in hashes {
            *hash &= mask;
        }
    } else if partitions <= 1 << 31 {
        let reciprocal = Reciprocal::new(partitions);
        for hash in hashes {
            *hash = reciprocal.pmod(*hash);
        }
    } else {
        for hash in hashes {
            *hash = pmod(*hash, partitions);
        }
    }
}

/// A divisor with its reciprocal: the modulus is the high half of (fraction x divisor), where the
/// fraction of x / divisor comes from one wrapping multiplication (Lemire, Kaser and Kurz, "Faster
/// remainder by direct computation", 2019).
///
/// With 64 bits of fraction that is exact for every x below 2^33 while the divisor is at most 2^31:
/// the inverse is rounded up by less than one unit in 2^64, which x makes less than 2^33 of
/// them, not more than 2^64 / divisor.
#[derive(Clone, Copy)]
struct Reciprocal {
    divisor: u32,
    /// The smallest multiple of the divisor that lifts every signed hash to zero or above.
    lift: u64,
    /// 2^64 / divisor, rounded up.
    inverse: u64,
}

impl Reciprocal {
    /// For divisors from 2 to 2^31.
    fn new(divisor: u32) -> Self {
        debug_assert!(divisor > 1, "one has no reciprocal in 64 bits of fraction");
        debug_assert!(divisor <= 1 << 31, "exact up to 2^31");
        let wide = u64::from(divisor);
        Self { divisor, lift: (1u64 << 31).div_ceil(wide) * wide, inverse: u64::MAX / wide + 1 }
    }

    #[inline]
    fn pmod(self, hash: u32) -> u32 {
        let lifted = self.lift.wrapping_add(i64::from(hash.cast_signed()).cast_unsigned());
        let fraction = self.inverse.wrapping_mul(lifted);
        let product = u128::from(fraction) * u128::from(self.divisor);
        truncate_wide(product >> 64)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a remainder is below its 32-bit divisor")]
const fn truncate(remainder: u64) -> u32 {
    remainder as u32
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "a remainder is below its 32-bit divisor")]
const fn truncate_wide(remainder: u128) -> u32 {
    remainder as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(hash: u32, partitions: u32) {
        let mut ids = [hash];
        pmod_all(&mut ids, partitions);
        // Spark: ((a % n) + n) % n, which cannot overflow in 64 bits.
        let (a, n) = (i64::from(hash.cast_signed()), i64::from(partitions));
        let expected = ((a % n) + n) % n;
        assert_eq!(i64::from(ids[0]), expected, "{hash} among {partitions}");
        assert_eq!(i64::from(pmod(hash, partitions)), expected);
    }

    #[test]
    fn edges_are_exact() {
        let around = |middle: u32| [middle.wrapping_sub(1), middle, middle.wrapping_add(1)];
        for partitions in (1..=300)
            .chain((1..32).flat_map(|shift| around(1 << shift)))
            .chain([1000, 10_000, 99_999, 100_000, 1_000_003, u32::MAX])
            .filter(|partitions| *partitions > 0)
        {
            let largest_multiple = (i32::MAX.cast_unsigned() / partitions) * partitions;
            for hash in [0, 1 << 31, partitions, partitions.wrapping_neg()]
                .into_iter()
                .chain([largest_multiple, largest_multiple.wrapping_neg()])
                .flat_map(around)
            {
                check(hash, partitions);
            }
        }
    }

    proptest! {
        #[test]
        fn equals_the_division(hash: u32, small in 1u32..100_001, partitions in 1u32..) {
            check(hash, small);
            check(hash, partitions);
        }
    }
}
