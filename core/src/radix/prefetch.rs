//! A hint to the processor that a place will be written.

#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the hint is an intrinsic on a raw pointer")
)]

/// Asks for the cache line of `slice[place]`, which need not be in the slice. Nothing but time depends on it.
#[inline]
pub(super) fn prefetch<T>(slice: &[T], place: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = slice.as_ptr().wrapping_add(place).cast();
        // SAFETY: the instruction is part of every x86-64; a hint reads and writes nothing that a
        // program can see and faults at no address, so that any pointer will do.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, place);
}
