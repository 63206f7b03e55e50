//! The words sorted: a recipe, so that Java makes the same ones (`spark/RadixHarness.java`).

/// Bits below the partition id, as in Spark's packed record pointers.
pub(crate) const POINTER_BITS: u32 = 40;

/// Fills `words`: above, the high half of the splitmix64 stream of 42 modulo `partitions`; below, the word's number.
pub(crate) fn fill(words: &mut [u64], partitions: u64) {
    let mut state = 42u64;
    for (number, word) in (0u64..).zip(words) {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        *word = ((bits >> 32) % partitions) << POINTER_BITS | number;
    }
}

/// A digest of the words in their order.
pub(crate) fn digest(words: &[u64]) -> u64 {
    words.iter().fold(0u64, |digest, &word| {
        (digest.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    })
}
