//! How a combiner combines.

use bywash_core::Result;
use bywash_core::codec::Codec;
use bywash_core::combine::{AccumulatorSize, KeyHash, Merge};
use bywash_core::policy::{
    CombineSizing, combine_sizing, minimum_combine_sizing, tiny_combine_sizing,
};

use super::working_set::WorkingSet;

/// What is not said by the merge function; cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct CombineSpec {
    pub(super) codec: Codec,
    pub(super) hash: KeyHash,
    /// Parts of a few hundred records, for tests.
    is_tiny: bool,
}

impl CombineSpec {
    /// Spills compressed with LZ4.
    pub const fn new() -> Self {
        Self { codec: Codec::Lz4, hash: KeyHash::with_seed(SEED), is_tiny: false }
    }

    /// The same with another codec.
    #[must_use]
    pub const fn with_codec(self, codec: Codec) -> Self {
        Self { codec, ..self }
    }

    /// The same with another seed of the hash: for keys that somebody may have chosen. The order of
    /// what comes out depends on it, and on nothing else but the input and the budget.
    #[must_use]
    pub const fn with_seed(self, seed: u64) -> Self {
        Self { hash: KeyHash::with_seed(seed), ..self }
    }

    /// The same with a hash that tells no keys apart, for tests.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_constant_hash(self) -> Self {
        Self { hash: KeyHash::constant(), ..self }
    }

    /// The same with parts so small that a few thousand records reach every level, for tests of
    /// variable or small accumulators.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_tiny_parts(self) -> Self {
        Self { is_tiny: true, ..self }
    }

    /// The least capacity of a ledger with one task in which a combiner of this merge function can
    /// be made: its fixed parts at their smallest.
    ///
    /// With one byte less it is not made. With exactly this it combines any number of records whose
    /// keys and accumulators are up to 32,756 bytes together (32 KiB with their lengths), or whose keys
    /// are up to 4,088 bytes where accumulators are of a fixed size; larger ones need memory beyond it,
    /// and an error names the bytes of the one that did not get it, and its row while it is written.
    ///
    /// # Errors
    /// `InvalidArgument` for a codec level out of range, or an accumulator of a fixed size above
    /// 2 MiB.
    pub fn minimum_budget(&self, merge: &impl Merge) -> Result<u64> {
        WorkingSet::minimum_bytes(self, merge.size())
    }

    /// The smallest sizes, and those for a budget.
    pub(super) fn sizings(
        &self,
        accumulators: AccumulatorSize,
        budget: u64,
    ) -> Result<(CombineSizing, CombineSizing)> {
        if self.is_tiny {
            return Ok((tiny_combine_sizing(), tiny_combine_sizing()));
        }
        Ok((minimum_combine_sizing(accumulators)?, combine_sizing(accumulators, budget)?))
    }
}

impl Default for CombineSpec {
    fn default() -> Self {
        Self::new()
    }
}

const SEED: u64 = 0x6279_7761_7368_2135;
