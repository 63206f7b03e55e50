//! The hash of a key: seeded, another seed for every level of a combine.

use twox_hash::XxHash3_64;

/// A seeded hash of keys: XXH3-64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash {
    seed: u64,
    is_constant: bool,
}

impl KeyHash {
    /// Hashes with `seed`.
    pub const fn with_seed(seed: u64) -> Self {
        Self { seed, is_constant: false }
    }

    /// The same hash for every key, on every level: the worst that keys can do, for tests.
    #[doc(hidden)]
    pub const fn constant() -> Self {
        Self { seed: 0, is_constant: true }
    }

    /// The hash of the next level: keys that met in a part here part there.
    #[must_use]
    pub const fn next_level(self) -> Self {
        // A step of splitmix64.
        let mut z = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self { seed: z ^ (z >> 31), is_constant: self.is_constant }
    }

    /// The hash of a key. Allocates nothing.
    pub fn hash(self, key: &[u8]) -> u64 {
        if self.is_constant { 0 } else { XxHash3_64::oneshot_with_seed(self.seed, key) }
    }
}
