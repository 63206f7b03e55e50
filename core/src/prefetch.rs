//! Asking for memory ahead of its use: what the next rows need comes while earlier ones are copied.

#![expect(unsafe_code, reason = "a prefetch is an instruction on an address")]

/// Bytes of a cache line; where they are more, some are asked for twice.
const LINE_BYTES: usize = 64;
/// Lines of a record asked for at most; the hardware follows the rest of a longer one by itself.
const LINES_MAX: usize = 4;

/// Asks for the first lines of `bytes`. Changes nothing but how long the next look at them takes.
#[inline]
pub(crate) fn prefetch(bytes: &[u8]) {
    // The last byte may be in a line more.
    for line in bytes.iter().step_by(LINE_BYTES).take(LINES_MAX).chain(bytes.last()) {
        prefetch_line(line);
    }
}

/// Asks for the line of `slice[place]`, if it is there.
#[inline]
pub(crate) fn prefetch_at<T>(slice: &[T], place: usize) {
    if let Some(value) = slice.get(place) {
        prefetch_line(value);
    }
}

/// Asks for all lines of `bytes`, of which there are few.
#[inline]
pub(crate) fn prefetch_all(bytes: &[u8]) {
    for line in bytes.iter().step_by(LINE_BYTES).chain(bytes.last()) {
        prefetch_line(line);
    }
}

/// Asks for the line of `slice[place]`, which need not be in the slice.
#[inline]
pub(crate) fn prefetch_beyond<T>(slice: &[T], place: usize) {
    prefetch_line(slice.as_ptr().wrapping_add(place));
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn prefetch_line<T>(address: *const T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: SSE is part of x86-64. A hint reads and writes nothing that a program can see and faults
    // at no address, so any pointer will do.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn prefetch_line<T>(_address: *const T) {}
