//! A caller's stream, pulled batch by batch.

#![expect(unsafe_code, reason = "callbacks of the C stream interface")]

use std::ffi::{CStr, c_int};
use std::mem;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_schema::{Schema, SchemaRef};
use bywash::{Error, ErrorKind, Result};

use crate::c_data::{CSchema, CStream};
use crate::call::injected;
use crate::input::read_schema;

/// A stream moved in, released when dropped.
#[derive(Debug)]
pub(crate) struct Pulled {
    stream: CStream,
}

impl Pulled {
    /// Moves the stream in; its source is marked as released.
    ///
    /// # Errors
    /// `InvalidArgument` for NULL or a released stream.
    ///
    /// # Safety
    /// `stream` is NULL or a valid `ArrowArrayStream`.
    pub(crate) unsafe fn take(stream: *mut FFI_ArrowArrayStream) -> Result<Self> {
        let stream = stream.cast::<CStream>();
        if stream.is_null() || !stream.is_aligned() {
            return Err(Error::invalid("a stream is NULL or not aligned"));
        }
        // SAFETY: checked; the caller's promise; the two types have one layout.
        let source = unsafe { &mut *stream };
        let stream = mem::replace(source, CStream::empty());
        if stream.release.is_none() {
            return Err(Error::invalid("a stream was released before it was handed in"));
        }
        Ok(Self { stream })
    }

    /// Compares the stream's schema with the one its rows will be taken for.
    ///
    /// # Errors
    /// `InvalidArgument` naming both, when types differ; what the stream fails with.
    pub(crate) fn check_schema(&mut self, expected: &SchemaRef) -> Result<()> {
        injected::panic_if_asked("get_schema of a stream handed in");
        let get_schema = self.stream.get_schema.ok_or(LACKS_CALLBACKS)?;
        let mut schema = FFI_ArrowSchema::empty();
        // SAFETY: a live stream and a place for its schema.
        let code = unsafe { get_schema(&raw mut self.stream, &raw mut schema) };
        self.check(code)?;
        if CSchema::of(&schema).is_released() {
            return Err(Error::invalid("a stream gave no schema"));
        }
        let schema = read_schema(&schema)?;
        let types = |schema: &Schema| -> Vec<_> {
            schema.fields().iter().map(|field| field.data_type().clone()).collect()
        };
        if types(&schema) != types(expected) {
            return Err(Error::invalid("a stream's columns are not those of the shuffle")
                .with_detail(format!("expected {expected}, found {schema}")));
        }
        Ok(())
    }

    /// The next array; nothing at the end.
    ///
    /// # Errors
    /// `Io` with the stream's message.
    pub(crate) fn next(&mut self) -> Result<Option<FFI_ArrowArray>> {
        injected::panic_if_asked("get_next of a stream handed in");
        let get_next = self.stream.get_next.ok_or(LACKS_CALLBACKS)?;
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: a live stream and a place for an array.
        let code = unsafe { get_next(&raw mut self.stream, &raw mut array) };
        self.check(code)?;
        Ok((!array.is_released()).then_some(array))
    }

    fn check(&mut self, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        let error =
            Error::new(ErrorKind::Io, "a stream that was handed in failed").with_os_error(code);
        let Some(get_last_error) = self.stream.get_last_error else {
            return Err(error);
        };
        // SAFETY: a live stream, just after one of its callbacks failed.
        let message = unsafe { get_last_error(&raw mut self.stream) };
        if message.is_null() {
            return Err(error);
        }
        // SAFETY: the interface says it is NUL-terminated and lives until the next call.
        let text = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
        Err(error.with_detail(text))
    }
}

impl Drop for Pulled {
    fn drop(&mut self) {
        if let Some(release) = self.stream.release {
            // SAFETY: released once: the release callback is given up with self.
            unsafe { release(&raw mut self.stream) }
        }
    }
}

const LACKS_CALLBACKS: Error = Error::invalid("a stream lacks its callbacks");
