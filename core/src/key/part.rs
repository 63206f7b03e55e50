//! Eight bytes of prefixes that tell rows apart.
//!
//! Prefixes of real rows agree in most of their bytes: markers, the upper bytes of small numbers, what all
//! strings begin with. Where they differ mostly fits one word, which sorts and merges much faster.

use super::{PREFIX_BYTES, Prefix};
use crate::cast::to_u32;

/// Where the prefixes of some rows differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrefixSpan {
    /// One of them, if there is any.
    one: Option<Prefix>,
    varying: Prefix,
}

impl PrefixSpan {
    /// Of these prefixes.
    pub fn of(prefixes: &[Prefix]) -> Self {
        let Some(&one) = prefixes.first() else {
            return Self::default();
        };
        let varying = prefixes.iter().fold(0, |varying, prefix| varying | (prefix ^ one));
        Self { one: Some(one), varying }
    }

    /// One more.
    pub fn add(&mut self, prefix: Prefix) {
        let one = *self.one.get_or_insert(prefix);
        self.varying |= one ^ prefix;
    }

    /// All of another.
    pub fn add_all(&mut self, other: Self) {
        if let Some(prefix) = other.one {
            self.add(prefix);
            self.varying |= other.varying;
        }
    }

    /// The part of these prefixes, and of no others, that is to be compared first.
    pub fn part(self) -> PrefixPart {
        PrefixPart::of(self.varying)
    }
}

/// 64 bits of prefixes: the most significant bytes that differ. As numbers they are in the order of the
/// prefixes they are taken from, or equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixPart {
    bits: Bits,
    is_whole: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bits {
    /// Eight bytes in a row.
    Shifted(u32),
    /// Single bytes, the most significant first, by their shifts.
    Bytes { shifts: [u32; 8], count: usize },
}

impl PrefixPart {
    fn of(varying: Prefix) -> Self {
        let bits = Bits::of(varying);
        Self { bits, is_whole: bits.left(varying) == 0 }
    }

    /// Of one prefix.
    #[inline]
    pub fn take(self, prefix: Prefix) -> u64 {
        match self.bits {
            Bits::Shifted(shift) => low_word(prefix >> shift),
            Bits::Bytes { shifts, count } => shifts[..count]
                .iter()
                .fold(0, |part, &shift| part << 8 | (low_word(prefix >> shift) & 0xff)),
        }
    }

    /// Whether prefixes whose parts are equal are equal.
    pub const fn is_whole(self) -> bool {
        self.is_whole
    }
}

impl Bits {
    fn of(varying: Prefix) -> Self {
        let low = (varying.trailing_zeros() / 8 * 8).min(128);
        let high = 128 - varying.leading_zeros() / 8 * 8;
        if high.saturating_sub(low) <= 64 {
            return Self::Shifted(high.saturating_sub(64));
        }
        let (mut shifts, mut count) = ([0; 8], 0);
        for byte in (0..to_u32(PREFIX_BYTES)).rev() {
            if count < 8 && (varying >> (8 * byte)) & 0xff != 0 {
                shifts[count] = 8 * byte;
                count += 1;
            }
        }
        Self::Bytes { shifts, count }
    }

    /// The bits of these that are left out.
    fn left(self, varying: Prefix) -> Prefix {
        match self {
            Self::Shifted(shift) => varying & !(Prefix::from(u64::MAX) << shift),
            Self::Bytes { shifts, count } => {
                shifts[..count].iter().fold(varying, |left, shift| left & !(0xff << shift))
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low word is what is wanted")]
const fn low_word(wide: Prefix) -> u64 {
    wide as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_keeps_the_order_of_prefixes() {
        for varying in [0, 1, 0xff00, 1 << 127, (1 << 127) | 1, Prefix::MAX, 0xff00_ff00 << 70] {
            let part = PrefixPart::of(varying);
            let (mut last, mut last_part) = (0, 0);
            for at in 0..=varying.count_ones().min(12) {
                let bits = (0..128).filter(|bit| varying >> bit & 1 == 1);
                let prefix = bits.take(at as usize).fold(0, |sum, bit| sum | 1 << bit);
                assert!(prefix >= last && part.take(prefix) >= last_part, "{varying:x}");
                if part.is_whole() {
                    assert_eq!(prefix == last, part.take(prefix) == last_part, "{varying:x}");
                }
                (last, last_part) = (prefix, part.take(prefix));
            }
        }
    }

    #[test]
    fn a_span_is_of_all_its_prefixes() {
        let base = 0xabcd << 100;
        let (one, two, three) = (base | 5, base | 5 << 40, base | 7 << 80);
        let mut apart = PrefixSpan::of(&[one, two]);
        apart.add_all(PrefixSpan::of(&[three]));
        apart.add_all(PrefixSpan::default());
        let mut single = PrefixSpan::default();
        single.add_all(PrefixSpan::of(&[three]));
        single.add(two);
        single.add(one);
        let together = PrefixSpan::of(&[one, two, three]);
        for span in [apart, single] {
            assert_eq!(span.part(), together.part());
            assert!(span.part().is_whole());
        }
    }
}
