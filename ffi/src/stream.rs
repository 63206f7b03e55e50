//! Arrow streams, out to the caller and in from it.

#![expect(unsafe_code, reason = "callbacks of the C stream interface")]

use std::cell::UnsafeCell;
use std::ffi::{CString, c_char, c_int};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_schema::SchemaRef;
use bywash::{Consumer, Error, ErrorKind, PartitionReader, Result};
use rustix::io::Errno;

use crate::c_data::CStream;
use crate::call::{self, contained};
use crate::error::{bywash_error, c_string};
use crate::fork::ForkMark;
use crate::lend::{lend, lend_schema, lent_bytes, lent_schema_bytes};
use crate::status::Source;

pub(crate) mod pull;

/// What is behind a stream of this library. One call at a time, as the interface says; a host that
/// calls it again from its own `acquire`, or releases it there, is noticed.
#[derive(Debug)]
struct Shared {
    /// `IN_USE` and `RELEASED`; whoever makes it released and unused frees it.
    state: AtomicU8,
    mark: Arc<ForkMark>,
    reading: UnsafeCell<Reading>,
}

#[derive(Debug)]
struct Reading {
    mark: Arc<ForkMark>,
    schema: SchemaRef,
    /// Who is charged for schemas handed out, if anybody is.
    schemas: Option<Consumer>,
    reader: PartitionReader,
    /// Why it failed: from then on nothing can be believed, least of all its end.
    failed: Option<Error>,
    message: CString,
}

/// Consumers move a stream between threads.
const _: () = {
    const fn moves<T: Send>() {}
    moves::<Reading>();
};

/// A reader as a stream for C. `schemas` is charged for each schema that is asked for.
pub(crate) fn export(
    reader: PartitionReader,
    schemas: Option<Consumer>,
    mark: &Arc<ForkMark>,
) -> FFI_ArrowArrayStream {
    let schema = SchemaRef::clone(reader.schema());
    let reader = reader.with_shells(lent_bytes(schema.fields().len()));
    let mark = Arc::clone(mark);
    let shared = Shared {
        state: AtomicU8::new(0),
        mark: Arc::clone(&mark),
        reading: UnsafeCell::new(Reading {
            mark,
            schema,
            schemas,
            reader,
            failed: None,
            message: CString::default(),
        }),
    };
    let mut stream = CStream {
        get_schema: Some(get_schema),
        get_next: Some(get_next),
        get_last_error: Some(get_last_error),
        release: Some(release),
        private_data: Box::into_raw(Box::new(shared)).cast(),
    };
    let stream: *mut CStream = &raw mut stream;
    // SAFETY: a whole stream in one layout with Arrow's type; it is given up here.
    unsafe { stream.cast::<FFI_ArrowArrayStream>().read() }
}

/// Why a stream of `bywash_output_read` failed, with its code and action; NULL where it did not. Errnos of
/// the stream itself are `ENOMEM` for `MEMORY_LIMIT` and `BUDGET_HELD_BY_CALLER`, `EIO` for damage, I/O and
/// what is gone, `ENOSYS` for what is not supported, `ECANCELED`, `EINVAL` for the rest.
///
/// Errors: `INVALID_ARGUMENT` for a stream that is not of this copy of the library, or was released.
///
/// # Safety
/// `stream` points to a valid `ArrowArrayStream` that nobody uses meanwhile; `reason_out` points to a
/// place for a pointer; `error_out` too, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_stream_error(
    stream: *const FFI_ArrowArrayStream,
    reason_out: *mut *mut bywash_error,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(reason_out, ptr::null_mut());
        call::free_standing(error_out, || {
            let out = out.present()?;
            let stream = stream.cast::<CStream>().as_ref().ok_or(NOT_OURS)?;
            let ours: unsafe extern "C" fn(*mut CStream) = release;
            if !stream.release.is_some_and(|theirs| ptr::fn_addr_eq(theirs, ours)) {
                return Err(NOT_OURS);
            }
            let entered = Entered::new(stream.private_data.cast()).ok_or(ENTERED)?;
            let reading = entered.reading();
            if reading.mark.is_in_child() {
                return Err(IN_CHILD);
            }
            if let Some(failed) = &reading.failed {
                let mut reason = ptr::null_mut();
                bywash_error::store(failed.clone(), Source::MapOutput, &raw mut reason);
                out.set(reason);
            }
            Ok(())
        })
    }
}

impl Reading {
    fn next(&mut self) -> Result<FFI_ArrowArray> {
        let Some(batch) = self.reader.next().transpose()? else {
            return Ok(FFI_ArrowArray::empty());
        };
        lend(batch, &self.mark)
    }

    fn schema(&self) -> Result<FFI_ArrowSchema> {
        let charge = match &self.schemas {
            Some(consumer) => {
                let bytes = lent_schema_bytes(&self.schema);
                let mut charge = consumer.reserve(bytes)?;
                charge.set_live(bytes);
                // A schema that is kept is no reason to keep the task.
                Some(charge.into_exported())
            }
            None => None,
        };
        lend_schema(&self.schema, charge, &self.mark)
    }

    /// Does `work` unless it failed before; 0 or an errno.
    fn answer<T>(
        &mut self,
        place: &'static str,
        work: impl FnOnce(&mut Self) -> Result<T>,
        out: *mut T,
    ) -> c_int {
        if self.mark.is_in_child() {
            return self.say(&IN_CHILD);
        }
        let outcome = match self.failed.take() {
            Some(failed) => Err(failed),
            None => contained(place, || work(self)).and_then(|outcome| outcome),
        };
        match outcome {
            Ok(value) => {
                // SAFETY: checked by the callback not to be NULL; a place for a struct.
                unsafe { out.write(value) };
                0
            }
            Err(error) => {
                let code = self.say(&error);
                self.failed = Some(error);
                code
            }
        }
    }

    fn say(&mut self, error: &Error) -> c_int {
        // Making the text may panic too: then there is only the number.
        let text = contained("the text of a stream", || c_string(&error.to_string()));
        self.message = text.unwrap_or_default();
        errno(error.kind()).raw_os_error()
    }
}

unsafe extern "C" fn get_schema(stream: *mut CStream, out: *mut FFI_ArrowSchema) -> c_int {
    // SAFETY: the interface says that the stream is a live one of ours.
    match unsafe { enter(stream) } {
        Some(entered) if !out.is_null() => {
            // SAFETY: checked not to be NULL; what it points to holds nothing yet.
            unsafe { out.write(FFI_ArrowSchema::empty()) };
            entered.reading().answer("get_schema of a stream", |reading| reading.schema(), out)
        }
        _ => Errno::INVAL.raw_os_error(),
    }
}

unsafe extern "C" fn get_next(stream: *mut CStream, out: *mut FFI_ArrowArray) -> c_int {
    // SAFETY: the interface says that the stream is a live one of ours.
    match unsafe { enter(stream) } {
        Some(entered) if !out.is_null() => {
            // SAFETY: checked not to be NULL; what it points to holds nothing yet.
            unsafe { out.write(FFI_ArrowArray::empty()) };
            entered.reading().answer("get_next of a stream", Reading::next, out)
        }
        _ => Errno::INVAL.raw_os_error(),
    }
}

unsafe extern "C" fn get_last_error(stream: *mut CStream) -> *const c_char {
    // SAFETY: the interface says that the stream is a live one of ours.
    let Some(entered) = (unsafe { enter(stream) }) else { return ptr::null() };
    let text = || entered.reading().message.as_ptr();
    contained("get_last_error of a stream", text).unwrap_or(ptr::null())
}

unsafe extern "C" fn release(stream: *mut CStream) {
    // SAFETY: the interface says that the stream is a live one of ours, released once.
    let Some(stream) = (unsafe { stream.as_mut() }) else { return };
    stream.release = None;
    let shared: *const Shared = stream.private_data.cast();
    stream.private_data = ptr::null_mut();
    // SAFETY: put there by export, and freed by nobody yet.
    let Some(known) = (unsafe { shared.as_ref() }) else { return };
    if known.mark.is_in_child() {
        return;
    }
    // In use, the call that uses it frees it at its end; else nobody can enter any more.
    if known.state.fetch_or(RELEASED, Ordering::AcqRel) & IN_USE == 0 {
        free(shared);
    }
}

/// Frees what is behind a stream that is released and not in use.
fn free(shared: *const Shared) {
    // SAFETY: made by Box::into_raw in export; its state says that nobody else has it.
    let owned = unsafe { Box::from_raw(shared.cast_mut()) };
    drop(contained("release of a stream", move || drop(owned)));
}

/// The right to use what is behind a stream; frees it at the end if it was released meanwhile.
struct Entered {
    shared: *const Shared,
}

impl Entered {
    /// `None` for a stream that is in use. The pointer is one of [`export`], not freed.
    fn new(shared: *const Shared) -> Option<Self> {
        // SAFETY: as said above.
        let known = unsafe { shared.as_ref() }?;
        let entered =
            known.state.compare_exchange(0, IN_USE, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // Not `then_some`: a guard made for who is refused would end the other's use when dropped.
        entered.then(|| Self { shared })
    }

    #[expect(clippy::mut_from_ref, reason = "the one who entered is alone")]
    fn reading(&self) -> &mut Reading {
        // SAFETY: alive until the guard is dropped; `IN_USE` keeps everybody else out.
        let shared = unsafe { &*self.shared };
        // SAFETY: as above.
        unsafe { &mut *shared.reading.get() }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // SAFETY: alive until it is freed below.
        let shared = unsafe { &*self.shared };
        if shared.state.fetch_and(!IN_USE, Ordering::AcqRel) & RELEASED != 0 {
            free(self.shared);
        }
    }
}

/// # Safety
/// `stream` is NULL or a stream made by [`export`].
unsafe fn enter(stream: *mut CStream) -> Option<Entered> {
    // SAFETY: the caller's promise.
    let stream = unsafe { stream.as_ref() }?;
    Entered::new(stream.private_data.cast())
}

const fn errno(kind: ErrorKind) -> Errno {
    match kind {
        ErrorKind::MemoryLimit | ErrorKind::BudgetHeldByCaller => Errno::NOMEM,
        ErrorKind::Unsupported => Errno::NOSYS,
        ErrorKind::Cancelled => Errno::CANCELED,
        ErrorKind::Io
        | ErrorKind::NoSpace
        | ErrorKind::Corrupt
        | ErrorKind::NotFound
        | ErrorKind::Unavailable => Errno::IO,
        _ => Errno::INVAL,
    }
}

const IN_USE: u8 = 1;
/// Released while in use: freed when that call ends.
const RELEASED: u8 = 2;
const ENTERED: Error = Error::new(
    ErrorKind::InvalidState,
    "this stream is in use by another call; calls on it come one at a time",
);
const NOT_OURS: Error =
    Error::invalid("this is not a live stream of bywash_output_read; hand in the one it filled");
const IN_CHILD: Error = Error::new(
    ErrorKind::InvalidState,
    "this stream was made before a fork; a child makes its own",
);
