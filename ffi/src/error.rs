//! Errors as C sees them: owned, with a code, an action, a message and figures.

#![expect(unsafe_code, reason = "pointers come from C")]

use std::ffi::{CStr, CString, c_char};

use bywash::{Error, Figure};

use crate::call;
use crate::status::{
    BYWASH_INVALID_ARGUMENT, BYWASH_NOT_FOUND, BYWASH_OK, Source, action_of, code_of,
};

/// Why a call failed. Owned by the caller; free it with `bywash_error_free`. Nobody changes it: any
/// thread may look at it.
#[derive(Debug)]
pub struct bywash_error {
    error: Error,
    action: i32,
    message: CString,
}

/// Any thread may look at an error and free it.
const _: () = {
    const fn shared<T: Send + Sync>() {}
    shared::<bywash_error>();
};

impl bywash_error {
    /// Puts `error` where the caller wants it, if anywhere.
    ///
    /// # Safety
    /// `out` is NULL or points to a place for a pointer.
    pub(crate) unsafe fn store(error: Error, source: Source, out: *mut *mut Self) {
        if !out.is_null() {
            let message = c_string(&error.to_string());
            let action = action_of(error.kind(), source);
            let stored = Box::new(Self { error, action, message });
            // SAFETY: checked not to be NULL; the caller's promise.
            unsafe { out.write(Box::into_raw(stored)) };
        }
    }
}

/// The status code, one of `BYWASH_INVALID_ARGUMENT` and so on; 0 for NULL.
///
/// # Safety
/// `error` is NULL or was given by this library and not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_error_code(error: *const bywash_error) -> i32 {
    // SAFETY: the caller's promise.
    call::plain(0, || unsafe { error.as_ref() }.map_or(0, |error| code_of(&error.error)))
}

/// What to do about it, one of `BYWASH_ACTION_*`; 0 for NULL.
///
/// # Safety
/// As `bywash_error_code`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_error_action(error: *const bywash_error) -> i32 {
    // SAFETY: the caller's promise.
    call::plain(0, || unsafe { error.as_ref() }.map_or(0, |error| error.action))
}

/// What happened, in UTF-8, NUL-terminated; valid until the error is freed. Empty for NULL.
///
/// # Safety
/// As `bywash_error_code`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_error_message(error: *const bywash_error) -> *const c_char {
    let none = c"".as_ptr();
    // SAFETY: the caller's promise.
    call::plain(none, || unsafe { error.as_ref() }.map_or(none, |error| error.message.as_ptr()))
}

/// A figure of the error by name: `map`, `partition`, `row`, `column`, `requested`, `available`, `budget`,
/// `held`, `quota`, `expected`, `found` and others that the message shows. Returns `BYWASH_OK`,
/// `BYWASH_NOT_FOUND` (with 0) for a figure that this error lacks, `BYWASH_INVALID_ARGUMENT` for NULL.
///
/// # Safety
/// As `bywash_error_code`; `name` is NULL or NUL-terminated; `value_out` is NULL or points to a place for
/// a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_error_figure(
    error: *const bywash_error,
    name: *const c_char,
    value_out: *mut u64,
) -> i32 {
    if name.is_null() || value_out.is_null() {
        return BYWASH_INVALID_ARGUMENT;
    }
    // SAFETY: checked not to be NULL; the caller's promise.
    unsafe { value_out.write(0) };
    call::plain(BYWASH_NOT_FOUND, || {
        // SAFETY: the caller's promise.
        let Some(error) = (unsafe { error.as_ref() }) else {
            return BYWASH_INVALID_ARGUMENT;
        };
        // SAFETY: checked not to be NULL; the caller's promise.
        let name = unsafe { CStr::from_ptr(name) }.to_bytes();
        let figure = FIGURES.into_iter().find(|figure| figure.name().as_bytes() == name);
        match figure.and_then(|figure| error.error.figure(figure)) {
            Some(value) => {
                // SAFETY: as above.
                unsafe { value_out.write(value) };
                BYWASH_OK
            }
            None => BYWASH_NOT_FOUND,
        }
    })
}

/// Frees an error; NULL is fine.
///
/// # Safety
/// As `bywash_error_code`; nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_error_free(error: *mut bywash_error) {
    if !error.is_null() {
        // SAFETY: made by Box::into_raw in store, and given up by the caller.
        let owned = unsafe { Box::from_raw(error) };
        call::plain((), move || drop(owned));
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
        let owned = unsafe { CString::from_raw(string) };
        call::plain((), move || drop(owned));
    }
}

/// A string for C, to be freed by `bywash_string_free`.
pub(crate) fn give_string(text: &str) -> *mut c_char {
    c_string(text).into_raw()
}

/// The text without NULs inside.
pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text.replace('\0', " ")).unwrap_or_default()
}

const FIGURES: [Figure; 18] = [
    Figure::Requested,
    Figure::Available,
    Figure::Budget,
    Figure::RowBytes,
    Figure::Held,
    Figure::Partition,
    Figure::Partitions,
    Figure::Column,
    Figure::Row,
    Figure::Offset,
    Figure::Length,
    Figure::Expected,
    Figure::Found,
    Figure::Dir,
    Figure::Map,
    Figure::Attempt,
    Figure::Quota,
    Figure::WaitedMillis,
];
