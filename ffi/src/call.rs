//! The one way into the library: no panic leaves, and outputs are empty unless it worked.

#![expect(unsafe_code, reason = "pointers come from C")]

use std::any::{Any, type_name_of_val};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use bywash::{Error, ErrorKind, Result};

use crate::error::bywash_error;
use crate::handle::{self, Handle, Opaque};
use crate::status::{BYWASH_OK, Source, code_of};

/// Runs `body` on a handle's value; a panic poisons the handle.
///
/// # Safety
/// `handle` is NULL or a live handle of this library; `error_out` is NULL or points to a place for a
/// pointer.
pub(crate) unsafe fn on<O: Opaque>(
    handle: *const O,
    error_out: *mut *mut bywash_error,
    body: impl FnOnce(&Handle<O::Value>) -> Result<()>,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe { on_reading(Source::Own, handle, error_out, body) }
}

/// As [`on`], for what reads bytes of `source`.
///
/// # Safety
/// As [`on`].
pub(crate) unsafe fn on_reading<O: Opaque>(
    source: Source,
    handle: *const O,
    error_out: *mut *mut bywash_error,
    body: impl FnOnce(&Handle<O::Value>) -> Result<()>,
) -> i32 {
    let place = type_name_of_val(&body);
    // SAFETY: the caller's promise.
    let outcome = unsafe { handle::get(handle) }.and_then(|handle| {
        contained(place, || body(handle)).unwrap_or_else(|panicked| {
            handle.poison();
            Err(panicked)
        })
    });
    // SAFETY: the caller's promise.
    unsafe { answer(outcome, source, error_out) }
}

/// Runs `body`, which has no handle of its own.
///
/// # Safety
/// `error_out` is NULL or points to a place for a pointer.
pub(crate) unsafe fn free_standing(
    error_out: *mut *mut bywash_error,
    body: impl FnOnce() -> Result<()>,
) -> i32 {
    // What a panic left half done was never handed out.
    let outcome = contained(type_name_of_val(&body), body).unwrap_or_else(Err);
    // SAFETY: the caller's promise.
    unsafe { answer(outcome, Source::Own, error_out) }
}

/// What `body` returns; after a panic, `otherwise`. For entries that look at what is theirs alone, or
/// free it.
pub(crate) fn plain<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    contained(type_name_of_val(&body), body).unwrap_or(otherwise)
}

/// What `body` returns, or its panic as an error. Tests know the place by its name.
///
/// # Errors
/// `Internal` with what the panic said.
pub(crate) fn contained<T>(place: &'static str, body: impl FnOnce() -> T) -> Result<T> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        injected::panic_if_asked(place);
        body()
    }));
    outcome.map_err(panic_error)
}

/// Calls the host where nothing may fail: where something is dropped, perhaps while a panic unwinds. A
/// panic of ours around the callback ends here; the host was told, so nothing is half done.
pub(crate) fn tell(place: &'static str, callback: impl FnOnce()) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        callback();
        injected::panic_if_asked(place);
    }));
    drop(outcome.map_err(panic_error));
}

/// # Safety
/// `error_out` is NULL or points to a place for a pointer.
unsafe fn answer(outcome: Result<()>, source: Source, error_out: *mut *mut bywash_error) -> i32 {
    if !error_out.is_null() {
        // SAFETY: checked not to be NULL; the caller's promise.
        unsafe { error_out.write(ptr::null_mut()) };
    }
    let Err(error) = outcome else { return BYWASH_OK };
    let code = code_of(&error);
    // Making the text may panic too: then there is only the code.
    // SAFETY: the caller's promise.
    let store = || unsafe { bywash_error::store(error, source, error_out) };
    drop(contained("the text of an error", store));
    code
}

/// What a panic said, as an error.
fn panic_error(payload: Box<dyn Any + Send>) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no text".to_owned());
    // A payload may panic when it is dropped.
    drop(catch_unwind(AssertUnwindSafe(|| drop(payload))));
    Error::new(ErrorKind::Internal, "the library panicked").with_detail(text)
}

/// A place for a result, emptied before anything else is done.
///
/// # Safety
/// `out` is NULL or points to a place for a `T` that stays while the result is used.
pub(crate) unsafe fn output<T>(out: *mut T, empty: T) -> Output<T> {
    if !out.is_null() {
        // SAFETY: checked not to be NULL; the caller's promise.
        unsafe { out.write(empty) };
    }
    Output(out)
}

/// See [`output`].
#[derive(Debug)]
pub(crate) struct Output<T>(*mut T);

/// One that is there.
#[derive(Debug)]
pub(crate) struct Present<T>(*mut T);

impl<T> Output<T> {
    /// # Errors
    /// `InvalidArgument` for NULL.
    pub(crate) fn present(self) -> Result<Present<T>> {
        if self.0.is_null() {
            return Err(Error::invalid("the place for a result is NULL"));
        }
        Ok(Present(self.0))
    }

    /// Nothing for one that the caller does not want.
    pub(crate) fn if_wanted(self) -> Option<Present<T>> {
        (!self.0.is_null()).then_some(Present(self.0))
    }
}

impl<T> Present<T> {
    pub(crate) fn set(self, value: T) {
        // SAFETY: written when it was made, not NULL, and there while it is used.
        unsafe { *self.0 = value };
    }
}

/// A panic that a test asked for.
pub(crate) mod injected {
    #[cfg(feature = "panic-injection")]
    use std::sync::atomic::{AtomicI64, Ordering};

    /// Places passed until the one that panics; negative for none.
    #[cfg(feature = "panic-injection")]
    static COUNTDOWN: AtomicI64 = AtomicI64::new(-1);

    #[cfg(feature = "panic-injection")]
    pub(crate) fn panic_if_asked(place: &'static str) {
        let passed = COUNTDOWN.fetch_sub(1, Ordering::SeqCst);
        assert!(passed != 0, "a panic was injected at {place}");
    }

    #[cfg(not(feature = "panic-injection"))]
    pub(crate) const fn panic_if_asked(_place: &'static str) {}

    /// Makes the place after `places` more panic; negative for none.
    #[cfg(feature = "panic-injection")]
    #[unsafe(no_mangle)]
    pub(crate) extern "C" fn bywash_inject_panic(places: i64) {
        COUNTDOWN.store(places, Ordering::SeqCst);
    }
}
