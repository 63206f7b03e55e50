//! Which interface this library has. Works before anything else, and in a forked child.

#![expect(unsafe_code, reason = "names that C calls")]

use std::ffi::c_char;

/// The interface's version as the header was compiled: major * 1000 + minor.
///
/// Within a major only symbols, codes and fields at the end of structs are added.
pub const BYWASH_ABI_VERSION: u32 = 1000;

/// The interface's version as the library has it; a program compiled against a header of the same
/// major and at most this minor works with it.
#[unsafe(no_mangle)]
pub extern "C" fn bywash_abi_version() -> u32 {
    BYWASH_ABI_VERSION
}

/// The library's version, NUL-terminated, never to be freed.
#[unsafe(no_mangle)]
pub extern "C" fn bywash_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
