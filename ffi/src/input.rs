//! What C hands in, checked before it is believed.

#![expect(unsafe_code, reason = "pointers come from C")]

use std::ffi::{CStr, c_char};
use std::panic::catch_unwind;
use std::path::PathBuf;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use bywash::{Error, Figure, Result, TaskMemory};

use crate::c_data::CSchema;

mod columns;
mod schema;
mod shape;

/// Text in UTF-8.
///
/// # Safety
/// `text` is NULL or NUL-terminated.
pub(crate) unsafe fn text<'a>(text: *const c_char, what: &'static str) -> Result<&'a str> {
    if text.is_null() {
        return Err(Error::invalid("a string is NULL").with_detail(what));
    }
    // SAFETY: checked not to be NULL; the caller's promise.
    let bytes = unsafe { CStr::from_ptr(text) };
    bytes.to_str().map_err(|_| Error::invalid("a string is not UTF-8").with_detail(what))
}

/// A path; not NULL and not empty.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn path(path: *const c_char, what: &'static str) -> Result<PathBuf> {
    // SAFETY: the caller's promise.
    match unsafe { text(path, what) }? {
        "" => Err(Error::invalid("a path is empty").with_detail(what)),
        path => Ok(PathBuf::from(path)),
    }
}

/// An array of `len` values; `(NULL, 0)` is the empty one.
///
/// # Safety
/// `values` is NULL or points to `len` values that nobody changes meanwhile.
pub(crate) unsafe fn slice<'a, T>(values: *const T, len: usize) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    if values.is_null() || !values.is_aligned() || len > isize::MAX as usize / size_of::<T>() {
        return Err(Error::invalid("an array is NULL, not aligned, or longer than memory")
            .with(Figure::Length, len));
    }
    // SAFETY: checked; the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(values, len) })
}

/// An array or schema that was handed in: moved, so that its source is released whatever comes of it.
#[derive(Debug)]
pub(crate) struct Moved<T>(Option<T>);

impl Moved<FFI_ArrowSchema> {
    /// # Safety
    /// `schema` is NULL or points to a valid `ArrowSchema`, released or not.
    pub(crate) unsafe fn schema(schema: *mut FFI_ArrowSchema) -> Self {
        let there = !schema.is_null() && schema.is_aligned();
        // SAFETY: checked; the caller's promise.
        Self(there.then(|| unsafe { FFI_ArrowSchema::from_raw(schema) }))
    }

    /// # Errors
    /// `InvalidArgument` for NULL, a released schema, and one that is no struct.
    pub(crate) fn into_schema(self) -> Result<SchemaRef> {
        let schema = self.0.ok_or(Error::invalid("a schema is NULL or not aligned"))?;
        if CSchema::of(&schema).is_released() {
            return Err(Error::invalid("a schema was released before it was handed in"));
        }
        read_schema(&schema)
    }
}

impl Moved<FFI_ArrowArray> {
    /// # Safety
    /// `array` is NULL or points to a valid `ArrowArray`, released or not.
    pub(crate) unsafe fn array(array: *mut FFI_ArrowArray) -> Self {
        let there = !array.is_null() && array.is_aligned();
        // SAFETY: checked; the caller's promise.
        Self(there.then(|| unsafe { FFI_ArrowArray::from_raw(array) }))
    }

    pub(crate) const fn of(array: FFI_ArrowArray) -> Self {
        Self(Some(array))
    }

    /// The array as a batch of `schema`, where it lies; what does not lie well is copied, charged to
    /// `memory`.
    ///
    /// # Errors
    /// `InvalidArgument` for NULL, a released array, and one that does not fit the schema; `MemoryLimit`
    /// where a copy does not fit the budget.
    ///
    /// # Safety
    /// The array's buffers have the lengths that its types and lengths ask for.
    pub(crate) unsafe fn into_batch(
        self,
        schema: &SchemaRef,
        validate: bool,
        memory: &TaskMemory,
    ) -> Result<RecordBatch> {
        let array = self.0.ok_or(Error::invalid("an array is NULL or not aligned"))?;
        if array.is_released() {
            return Err(Error::invalid("an array was released before it was handed in"));
        }
        shape::check(&array, schema)?;
        let rows = array.len();
        if rows == 0 {
            return Ok(RecordBatch::new_empty(SchemaRef::clone(schema)));
        }
        // SAFETY: the caller's promise; the shape was checked.
        let columns = unsafe { columns::import(array, schema, validate, memory) }?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(SchemaRef::clone(schema), columns, &options)
            .map_err(does_not_fit)
    }
}

/// The columns of a C schema.
///
/// # Errors
/// `InvalidArgument` for one that is no struct or cannot be read.
pub(crate) fn read_schema(schema: &FFI_ArrowSchema) -> Result<SchemaRef> {
    schema::check(schema)?;
    // Should Arrow assert more than was looked at: the caller's mistake poisons nothing.
    let read = catch_unwind(|| Schema::try_from(schema));
    let unreadable = |detail: String| {
        Error::invalid("a schema cannot be read; a struct of columns is needed").with_detail(detail)
    };
    match read {
        Ok(Ok(schema)) => Ok(schema.into()),
        Ok(Err(error)) => Err(unreadable(error.to_string())),
        Err(_) => Err(unreadable("a part of it cannot be".to_owned())),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over results")]
fn does_not_fit(error: arrow_schema::ArrowError) -> Error {
    Error::invalid("an array does not fit its schema").with_detail(error.to_string())
}
