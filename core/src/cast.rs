//! Lossless casts between lengths and the integers of formats, on the 64-bit targets we build for.

const _: () = assert!(size_of::<usize>() == 8, "bywash needs a 64-bit target");
const _: () = assert!(cfg!(target_endian = "little"), "bywash needs a little-endian target");

/// A `u64` as a length; lossless here.
#[expect(clippy::cast_possible_truncation, reason = "usize is 64 bits, asserted above")]
pub const fn to_usize(value: u64) -> usize {
    value as usize
}

/// A length that its owner bounds below 4 GiB.
#[expect(clippy::cast_possible_truncation, reason = "asserted")]
pub const fn to_u32(value: usize) -> u32 {
    debug_assert!(value <= u32::MAX as usize, "a bounded length");
    value as u32
}
