//! Keys in the shapes that sorts find hard, and what a sort of them must come to.

use std::cmp::Ordering;
use std::ops::Range;

use crate::seed::Rng;

/// How the keys of an input lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Ascending.
    Sorted,
    /// Descending.
    Reversed,
    /// Ascending again and again.
    Saw,
    /// Up and down again.
    OrganPipe,
    /// One key.
    Equal,
    /// One key and, somewhere, another: what a look at some of the items misses.
    OneDiffers,
    /// Five keys.
    FewDistinct,
    /// The second key half as often as the first, the third a third as often.
    Zipf,
    /// Keys that differ in one byte alone.
    HotByte,
    /// Keys that differ in their lowest and their highest bit alone.
    OuterBits,
    /// Any keys.
    Random,
}

impl Pattern {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Sorted,
        Self::Reversed,
        Self::Saw,
        Self::OrganPipe,
        Self::Equal,
        Self::OneDiffers,
        Self::FewDistinct,
        Self::Zipf,
        Self::HotByte,
        Self::OuterBits,
        Self::Random,
    ];

    /// `len` keys of `width` bits.
    pub fn keys(self, rng: &mut Rng, len: usize, width: u32) -> Vec<u64> {
        let mask = mask(width);
        let base = rng.bits() & mask;
        // Far enough apart that all bits take part, close enough that they do not overflow.
        let step = (mask / (len as u64 + 1)).max(1);
        let rising = |number: u64| number.wrapping_mul(step) & mask;
        let teeth = rng.within(1, 20);
        let few: [u64; 5] = std::array::from_fn(|_| rng.bits() & mask);
        let odd = rng.below(len as u64 + 1);
        let byte = rng.below(u64::from(width.div_ceil(8).max(1))) * 8;
        let outer = mask & (1 | mask ^ (mask >> 1));
        let len = len as u64;
        let key = |number: u64| match self {
            Self::Sorted => rising(number),
            Self::Reversed => rising(len - number),
            Self::Saw => rising(number % (len / teeth + 1)),
            Self::OrganPipe => rising(number.min(len - number)),
            Self::OneDiffers if number == odd => base ^ few[0],
            Self::OneDiffers | Self::Equal => base,
            Self::FewDistinct => few[rng.index(few.len())],
            Self::Zipf => zipf(rng).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask,
            Self::HotByte => (base & !(0xff << byte) | rng.below(256) << byte) & mask,
            Self::OuterBits => base & !outer | rng.bits() & outer,
            Self::Random => rng.bits() & mask,
        };
        (0..len).map(key).collect()
    }
}

/// A rank: of 1,000 the first about twice as often as the second, three times as often as the third.
fn zipf(rng: &mut Rng) -> u64 {
    // The inverse of the harmonic sum, which is nearly a logarithm: equal chances for each octave.
    let octave = rng.below(10);
    (1 << octave) + rng.below(1 << octave)
}

/// An order of keys, told apart from how the sort under test puts it.
#[derive(Debug, Clone)]
pub struct KeyOrder {
    /// The bits that count.
    pub bits: Range<u32>,
    /// Whether they are a number in two's complement.
    pub signed: bool,
    /// Whether the greatest comes first.
    pub descending: bool,
}

impl KeyOrder {
    /// Compares the numbers that the bits of two keys stand for.
    pub fn compare(&self, left: u64, right: u64) -> Ordering {
        let order = self.number(left).cmp(&self.number(right));
        if self.descending { order.reverse() } else { order }
    }

    /// The items in this order of their keys, those of one key in the order they came in.
    pub fn sorted<T: Copy>(&self, items: &[T], key: impl Fn(&T) -> u64) -> Vec<T> {
        let mut items = items.to_vec();
        items.sort_by(|left, right| self.compare(key(left), key(right)));
        items
    }

    fn number(&self, key: u64) -> i128 {
        let width = self.bits.end - self.bits.start;
        let bits = if width == 0 { 0 } else { key >> self.bits.start & mask(width) };
        let number = i128::from(bits);
        if self.signed && width > 0 && number >= 1 << (width - 1) {
            number - (1 << width)
        } else {
            number
        }
    }
}

const fn mask(width: u32) -> u64 {
    if width == 0 { 0 } else { u64::MAX >> (64 - width) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_those_of_the_numbers() {
        let order = |signed, descending| KeyOrder { bits: 4..8, signed, descending };
        let keys = [0x00, 0x10, 0x7f, 0x80, 0xf3];
        assert_eq!(order(false, false).sorted(&keys, |&key| key), keys);
        assert_eq!(order(true, false).sorted(&keys, |&key| key), [0x80, 0xf3, 0x00, 0x10, 0x7f]);
        assert_eq!(order(true, true).sorted(&keys, |&key| key), [0x7f, 0x10, 0x00, 0xf3, 0x80]);
    }

    #[test]
    fn keys_have_no_more_bits_than_asked_for() {
        for pattern in Pattern::ALL {
            for width in [0, 1, 7, 24, 63, 64] {
                let keys = pattern.keys(&mut Rng::new(7), 100, width);
                assert_eq!(keys.len(), 100);
                assert!(keys.iter().all(|key| key & !mask(width) == 0), "{pattern:?} {width}");
            }
        }
    }
}
