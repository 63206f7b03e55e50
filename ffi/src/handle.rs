//! What every opaque handle is: a value, whether a panic left it behind, and whose process it is.

#![expect(unsafe_code, reason = "C hands back the pointers it was given")]

use std::any::type_name;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bywash::{Error, ErrorKind, Result};

use crate::call::contained;
use crate::fork::ForkMark;

/// A value behind a pointer that C holds. Values are shared: what one thread at a time may do is
/// behind a lock inside, which is tried and never waited for.
#[derive(Debug)]
pub(crate) struct Handle<T> {
    mark: Arc<ForkMark>,
    poisoned: AtomicBool,
    value: T,
}

/// A type as C sees it, and what is really behind its pointers: any thread may use and free it.
pub(crate) trait Opaque {
    type Value: Send + Sync;
}

/// A pointer for C, to be given back to [`free`].
pub(crate) fn into_raw<O: Opaque>(value: O::Value, mark: &Arc<ForkMark>) -> *mut O {
    let mark = Arc::clone(mark);
    Box::into_raw(Box::new(Handle { mark, poisoned: AtomicBool::new(false), value })).cast()
}

/// What C's pointer points to.
///
/// # Errors
/// `InvalidArgument` for NULL; `InvalidState` in a forked child; `Poisoned` after a panic.
///
/// # Safety
/// `handle` is NULL or came from [`into_raw`] for this type and was not freed.
pub(crate) unsafe fn get<'a, O: Opaque>(handle: *const O) -> Result<&'a Handle<O::Value>> {
    // SAFETY: the caller's promise; into_raw made it of a Handle.
    let handle = unsafe { handle.cast::<Handle<O::Value>>().as_ref() }.ok_or(NULL_HANDLE)?;
    if handle.mark.is_in_child() {
        return Err(IN_CHILD);
    }
    if handle.poisoned.load(Ordering::Acquire) {
        return Err(POISONED);
    }
    Ok(handle)
}

/// Frees it; in a forked child, where the value's files and memory are the parent's, it does
/// nothing. NULL is fine. A panic while freeing is contained.
///
/// # Safety
/// As [`get`], and nobody uses it any more.
pub(crate) unsafe fn free<O: Opaque>(handle: *mut O) {
    let handle = handle.cast::<Handle<O::Value>>();
    // SAFETY: the caller's promise; into_raw made it of a Handle.
    let in_child = unsafe { handle.as_ref() }.is_none_or(|handle| handle.mark.is_in_child());
    if !in_child {
        // SAFETY: made by Box::into_raw in into_raw, and given up by C.
        let owned = unsafe { Box::from_raw(handle) };
        drop(contained(type_name::<O>(), move || drop(owned)));
    }
}

impl<T> Handle<T> {
    pub(crate) const fn value(&self) -> &T {
        &self.value
    }

    pub(crate) const fn mark(&self) -> &Arc<ForkMark> {
        &self.mark
    }

    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }
}

const NULL_HANDLE: Error = Error::invalid("a handle is NULL; make it first");
const IN_CHILD: Error = Error::new(
    ErrorKind::InvalidState,
    "this handle was made before a fork; a child makes its own",
);
const POISONED: Error = Error::new(
    ErrorKind::Poisoned,
    "an earlier call panicked and left this handle behind; free it and retry the task",
);
pub(crate) const IN_USE: Error = Error::new(
    ErrorKind::InvalidState,
    "this handle is in use by another call; calls on it come one at a time",
);
