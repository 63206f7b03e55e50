//! Asking for memory ahead of its use: what the next records need comes while earlier ones are copied.

#![expect(unsafe_code, reason = "a prefetch is an instruction on an address")]

/// Bytes of a cache line; where they are more, some are asked for twice.
const LINE_BYTES: usize = 64;
/// Lines asked for at most; the hardware follows the rest of a longer record by itself.
const LINES_MAX: usize = 4;

/// Asks for the first lines of `bytes`. Changes nothing but how long the next look at them takes.
#[inline]
pub(super) fn prefetch(bytes: &[u8]) {
    // The last byte may be in a line more.
    for line in bytes.iter().step_by(LINE_BYTES).take(LINES_MAX).chain(bytes.last()) {
        prefetch_line(line);
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn prefetch_line(byte: &u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: SSE is part of x86-64, and a prefetch of any address reads and faults nothing.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn prefetch_line(_byte: &u8) {}
