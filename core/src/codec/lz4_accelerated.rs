//! LZ4 block format by the C library, which can search in steps; its state lies in our own charged
//! memory, and it never calls malloc (lz4.h, `LZ4_compress_fast_extState`).

#![expect(unsafe_code, reason = "the C library is called with raw pointers")]

use std::ffi::{c_char, c_int, c_void};
use std::fmt;

// Links the library; of the functions below it declares none.
use lz4_sys as _;

use crate::Result;
use crate::memory::{Area, Consumer};

/// Bytes gone forward after a miss, at first. On records half of which is noise, 4 is 1.7 times as fast as 1
/// and finds as much (docs/BENCHMARKS.md).
const ACCELERATION: c_int = 4;

pub(super) struct Compressor {
    state: Area,
}

impl Compressor {
    pub(super) fn try_new(consumer: &Consumer) -> Result<Self> {
        Ok(Self { state: Area::try_new(consumer, state_bytes())? })
    }

    pub(super) fn bytes() -> u64 {
        Area::len_for(state_bytes()) as u64
    }

    pub(super) fn compress(&mut self, source: &[u8], target: &mut [u8]) -> Option<usize> {
        let source_len = c_int::try_from(source.len()).ok()?;
        let target_len = c_int::try_from(target.len()).unwrap_or(c_int::MAX);
        // SAFETY: both pointers come with lengths within their slices, and the state has the bytes the library asks
        // for, at a page's alignment. The library initialises it in every call and keeps no pointer.
        let written = unsafe {
            LZ4_compress_fast_extState(
                self.state.as_mut_ptr().cast(),
                source.as_ptr().cast(),
                target.as_mut_ptr().cast(),
                source_len,
                target_len,
                ACCELERATION,
            )
        };
        // 0 says that the target is too small.
        usize::try_from(written).ok().filter(|written| *written > 0)
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lz4Accelerated")
    }
}

fn state_bytes() -> usize {
    // SAFETY: it returns a constant of the library.
    let bytes = unsafe { LZ4_sizeofState() };
    usize::try_from(bytes).unwrap_or_default()
}

// As in the library's lz4.h, version 1.10.
unsafe extern "C" {
    fn LZ4_sizeofState() -> c_int;
    fn LZ4_compress_fast_extState(
        state: *mut c_void,
        source: *const c_char,
        target: *mut c_char,
        source_len: c_int,
        target_len: c_int,
        acceleration: c_int,
    ) -> c_int;
}
