//! All randomness of a test run comes from one seed, printed before the first use.
//!
//! `BYWASH_SEED` (decimal or 0x-hexadecimal) repeats a run. Without it the seed is fixed, so that
//! CI is repeatable; `BYWASH_SEED=random` takes one from the system. Streams are split by labels,
//! so that removing one column or batch from a case leaves the others as they were.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::OnceLock;

/// The seed of this run.
pub fn run_seed() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    *SEED.get_or_init(|| {
        let seed = match std::env::var("BYWASH_SEED").ok().as_deref() {
            None | Some("") => FIXED_SEED,
            Some("random") => RandomState::new().hash_one(std::process::id()),
            Some(text) => parse(text).expect("BYWASH_SEED is a number, 0x.. or `random`"),
        };
        println!("BYWASH_SEED={seed:#x}");
        seed
    })
}

/// A seed as printed: decimal, or hexadecimal after `0x`.
pub fn parse(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A small deterministic generator (splitmix64): the same numbers on every version of every crate.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The stream of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The stream of one part of a case, independent of the parts beside it.
    pub fn labelled(seed: u64, labels: &[u64]) -> Self {
        let mut state = seed;
        for &label in labels {
            state = Self(state ^ label.wrapping_mul(LABEL_STEP)).bits();
        }
        Self(state)
    }

    /// 64 random bits.
    pub const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a bound above 0");
        self.bits() % bound
    }

    /// A length below `bound`, which is not 0.
    pub fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).expect("below a usize")
    }

    /// A number in `low..=high`.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// A length in `low..=high`; small ones as likely as large ones (uniform in the logarithm).
    pub fn size(&mut self, low: usize, high: usize) -> usize {
        let span = (high - low) as u64;
        let bits = 64 - span.leading_zeros();
        let reach = match self.below(u64::from(bits) + 1) {
            64.. => u64::MAX,
            shift => (1 << shift) - 1,
        };
        low + self.index(usize::try_from(reach.min(span)).expect("a length") + 1)
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `items`, which is not empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// `length` random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.bits().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

const FIXED_SEED: u64 = 0x000b_7ae5_4b1e;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const LABEL_STEP: u64 = 0xd6e8_feb8_6659_fd93;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_by_label() {
        assert_eq!(Rng::new(7).bytes(20), Rng::new(7).bytes(20));
        assert_ne!(Rng::labelled(7, &[1, 2]).bits(), Rng::labelled(7, &[2, 1]).bits());
    }

    #[test]
    fn sizes_stay_in_range_and_reach_both_ends() {
        let mut rng = Rng::new(run_seed());
        let sizes: Vec<usize> = (0..2000).map(|_| rng.size(3, 40)).collect();
        assert_eq!(sizes.iter().min(), Some(&3));
        assert_eq!(sizes.iter().max(), Some(&40));
    }
}
