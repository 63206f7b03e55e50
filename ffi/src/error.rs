//! Errors as C sees them: owned, with a code, an action and a message.

#![expect(unsafe_code, reason = "pointers come from C")]

use std::ffi::{CString, c_char};
use std::ptr;

use bywash::Error;

use crate::status::{action_of, code_of};

/// Why a call failed. Owned by the caller; free it with `bywash_error_free`.
#[derive(Debug)]
pub struct bywash_error {
    code: i32,
    action: i32,
    message: CString,
}

impl bywash_error {
    /// Puts `error` where the caller wants it, if anywhere; returns its code.
    ///
    /// # Safety
    /// `out` is NULL or points to a place for a pointer.
    pub(crate) unsafe fn store(error: &Error, out: *mut *mut Self) -> i32 {
        let code = code_of(error);
        if !out.is_null() {
            let text = error.to_string().replace('\0', " ");
            let message = CString::new(text).unwrap_or_default();
            let stored = Box::new(Self { code, action: action_of(error.kind()), message });
            // SAFETY: checked not to be NULL; the caller's promise.
            unsafe { out.write(Box::into_raw(stored)) };
        }
        code
    }
}

/// The status code, one of `BYWASH_INVALID_ARGUMENT` and so on; 0 for NULL.
///
/// # Safety
/// `error` is NULL or was given by this library and not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_error_code(error: *const bywash_error) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { error.as_ref() }.map_or(0, |error| error.code)
}

/// What to do about it, one of `BYWASH_ACTION_*`; 0 for NULL.
///
/// # Safety
/// As `bywash_error_code`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_error_action(error: *const bywash_error) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { error.as_ref() }.map_or(0, |error| error.action)
}

/// What happened, in UTF-8, NUL-terminated; valid until the error is freed. Empty for NULL.
///
/// # Safety
/// As `bywash_error_code`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_error_message(error: *const bywash_error) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { error.as_ref() }.map_or(c"".as_ptr(), |error| error.message.as_ptr())
}

/// Frees an error; NULL is fine.
///
/// # Safety
/// As `bywash_error_code`; nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_error_free(error: *mut bywash_error) {
    if !error.is_null() {
        // SAFETY: made by Box::into_raw in store, and given up by the caller.
        drop(unsafe { Box::from_raw(error) });
    }
}

/// Frees a string that a function returned; NULL is fine.
///
/// # Safety
/// `string` is NULL or was given by this library and not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: made by CString::into_raw in give_string, and given up by the caller.
        drop(unsafe { CString::from_raw(string) });
    }
}

/// A string for C, without NULs inside.
pub(crate) fn give_string(text: &str) -> *mut c_char {
    CString::new(text.replace('\0', " ")).map_or(ptr::null_mut(), CString::into_raw)
}
