//! What C hands in, checked before it is believed.

#![expect(unsafe_code, reason = "pointers come from C")]

use std::ffi::{CStr, c_char};
use std::path::PathBuf;

use arrow_array::array::StructArray;
use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef};
use bywash::{Error, ErrorKind, Figure, Result};

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

/// Moves a C schema in; it is consumed, whatever comes of it.
///
/// # Safety
/// `schema` is NULL or a valid `ArrowSchema`, released or not.
pub(crate) unsafe fn take_schema(schema: *mut FFI_ArrowSchema) -> Result<SchemaRef> {
    if schema.is_null() {
        return Err(Error::invalid("a schema is NULL"));
    }
    // SAFETY: checked not to be NULL; moving it marks the source as released.
    let schema = unsafe { FFI_ArrowSchema::from_raw(schema) };
    if schema.release().is_none() {
        return Err(Error::invalid("a schema was released before it was handed in"));
    }
    let schema = Schema::try_from(&schema).map_err(|error| {
        Error::invalid("a schema cannot be read; a struct of columns is needed")
            .with_detail(error.to_string())
    })?;
    Ok(schema.into())
}

/// Moves a C array in as a batch of `schema`; it is consumed, whatever comes of it.
///
/// # Safety
/// `array` is NULL or a valid `ArrowArray`, released or not, whose buffers have the lengths that its
/// type and length ask for.
pub(crate) unsafe fn take_batch(
    array: *mut FFI_ArrowArray,
    schema: &SchemaRef,
    validate: bool,
) -> Result<RecordBatch> {
    if array.is_null() {
        return Err(Error::invalid("an array is NULL"));
    }
    // SAFETY: checked not to be NULL; moving it marks the source as released.
    let array = unsafe { FFI_ArrowArray::from_raw(array) };
    if array.is_released() {
        return Err(Error::invalid("an array was released before it was handed in"));
    }
    check_shape(&array, schema)?;
    let data_type = DataType::Struct(schema.fields().clone());
    // SAFETY: the caller's promise; the shape was checked.
    let data = unsafe { from_ffi_and_data_type(array, data_type) }.map_err(does_not_fit)?;
    if validate {
        data.validate_full().map_err(does_not_fit)?;
    }
    let columns = StructArray::from(data);
    if columns.null_count() > 0 {
        return Err(Error::invalid("a batch has rows that are null as a whole")
            .with(Figure::Found, columns.null_count()));
    }
    let (_, columns, _) = columns.into_parts();
    let rows = columns.first().map_or(0, Array::len);
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(SchemaRef::clone(schema), columns, &options)
        .map_err(does_not_fit)
}

/// The importer of Arrow takes numbers of children and buffers on trust: they are compared first.
fn check_shape(array: &FFI_ArrowArray, schema: &SchemaRef) -> Result<()> {
    let columns = schema.fields().len();
    if array.num_children() != columns {
        return Err(Error::invalid("an array has another number of columns than its schema")
            .with(Figure::Expected, columns)
            .with(Figure::Found, array.num_children()));
    }
    for (index, field) in schema.fields().iter().enumerate() {
        let child = array.child(index);
        let expected = buffers_of(field.data_type());
        if expected.is_some_and(|expected| expected != child.num_buffers()) {
            return Err(Error::invalid("a column has another number of buffers than its type")
                .with(Figure::Column, index)
                .with(Figure::Expected, expected.unwrap_or(0))
                .with(Figure::Found, child.num_buffers())
                .with_detail(field.name().as_str()));
        }
        let rows = array.offset().saturating_add(array.len());
        if child.len() < rows {
            return Err(Error::invalid("a column is shorter than its batch")
                .with(Figure::Column, index)
                .with(Figure::Expected, rows)
                .with(Figure::Found, child.len())
                .with_detail(field.name().as_str()));
        }
    }
    Ok(())
}

/// Buffers of a type in the C data interface; nothing for types that no shuffle takes.
fn buffers_of(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Null => Some(0),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => Some(3),
        data_type if data_type.is_primitive() => Some(2),
        DataType::Boolean | DataType::FixedSizeBinary(_) => Some(2),
        _ => None,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is mapped over results")]
fn does_not_fit(error: arrow_schema::ArrowError) -> Error {
    Error::new(ErrorKind::InvalidArgument, "an array does not fit its schema")
        .with_detail(error.to_string())
}

/// An array that was handed in, released at the end if nobody took it.
#[derive(Debug)]
pub(crate) struct Consumed {
    array: FFI_ArrowArray,
    present: bool,
}

impl Consumed {
    /// Takes the array; NULL is remembered.
    ///
    /// # Safety
    /// `array` is NULL or a valid `ArrowArray`.
    pub(crate) unsafe fn new(array: *mut FFI_ArrowArray) -> Self {
        if array.is_null() {
            return Self { array: FFI_ArrowArray::empty(), present: false };
        }
        // SAFETY: checked not to be NULL; moving it marks the source as released.
        Self { array: unsafe { FFI_ArrowArray::from_raw(array) }, present: true }
    }

    /// A pointer to it; NULL if that is what was handed in.
    pub(crate) fn array(&mut self) -> *mut FFI_ArrowArray {
        if self.present { &raw mut self.array } else { std::ptr::null_mut() }
    }
}
