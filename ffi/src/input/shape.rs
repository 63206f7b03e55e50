//! Lengths, children and numbers of buffers are looked at before anything is read on their word.
//!
//! What cannot be seen from the struct, the lengths of buffers, is the caller's promise.

#![expect(unsafe_code, reason = "offsets lie in buffers of C")]

use arrow_array::ffi::FFI_ArrowArray;
use arrow_schema::{DataType, Schema};
use bywash::{Error, Figure, Result};

use crate::c_data::CArray;

/// Compares an array with the schema it is to have.
///
/// # Errors
/// `InvalidArgument` naming what does not fit.
pub(super) fn check(array: &FFI_ArrowArray, schema: &Schema) -> Result<()> {
    let array = CArray::of(array);
    let columns = schema.fields().len();
    let rows = check_rows(array)?;
    if array.buffers(1).is_none() {
        return Err(Error::invalid("a batch is no struct: it needs one buffer, its validity")
            .with(Figure::Found, array.n_buffers));
    }
    if !array.dictionary.is_null() {
        return Err(Error::invalid("a batch has a dictionary; a struct of columns is needed"));
    }
    let children = array.children(columns).ok_or_else(|| {
        Error::invalid("an array has other columns than its schema, or a column is NULL")
            .with(Figure::Expected, columns)
            .with(Figure::Found, array.n_children)
    })?;
    for ((index, field), child) in schema.fields().iter().enumerate().zip(children) {
        check_column(child, field.data_type(), rows).map_err(|error| {
            error.with(Figure::Column, index).with_detail(field.name().as_str())
        })?;
    }
    Ok(())
}

fn check_column(column: &CArray, data_type: &DataType, rows: i64) -> Result<()> {
    if column.release.is_none() {
        return Err(Error::invalid("a column was released before its batch was handed in"));
    }
    let end = check_rows(column)?;
    if column.length < rows {
        return Err(Error::invalid("a column is shorter than its batch")
            .with(Figure::Expected, rows)
            .with(Figure::Found, column.length));
    }
    let Some(wanted) = buffers_of(data_type) else {
        return Err(Error::invalid("a column is of a type that is not shuffled"));
    };
    let Some(buffers) = column.buffers(wanted) else {
        return Err(Error::invalid("a column has another number of buffers than its type")
            .with(Figure::Expected, wanted)
            .with(Figure::Found, column.n_buffers));
    };
    if column.n_children != 0 || !column.dictionary.is_null() {
        return Err(Error::invalid("a flat column has children or a dictionary")
            .with(Figure::Found, column.n_children));
    }
    if wanted > 0 && column.null_count > 0 && buffers[0].is_null() {
        return Err(Error::invalid("a column says it has nulls and has no validity buffer")
            .with(Figure::Found, column.null_count));
    }
    if wanted > 1 && end > 0 && buffers[1].is_null() {
        return Err(Error::invalid("a column with rows has no buffer of values or offsets"));
    }
    match data_type {
        DataType::Utf8 | DataType::Binary if end > 0 => {
            // SAFETY: a buffer of offsets, not NULL, has one more than there are rows.
            let (first, last) = unsafe { first_and_last::<i32>(buffers[1], column) };
            check_offsets(first.into(), last.into(), buffers[2])
        }
        DataType::LargeUtf8 | DataType::LargeBinary if end > 0 => {
            // SAFETY: as above.
            let (first, last) = unsafe { first_and_last::<i64>(buffers[1], column) };
            check_offsets(first, last, buffers[2])
        }
        DataType::FixedSizeBinary(width) if end.checked_mul(8 * i64::from(*width)).is_none() => {
            Err(Error::invalid("a column has more rows than memory has bytes for"))
        }
        _ => Ok(()),
    }
}

/// The end of the array's rows in its buffers.
fn check_rows(array: &CArray) -> Result<i64> {
    let end = array.offset.checked_add(array.length);
    let possible = array.length >= 0
        && array.offset >= 0
        && (-1..=array.length).contains(&array.null_count)
        && end.is_some_and(|end| end <= ROWS_MAX);
    match end {
        Some(end) if possible => Ok(end),
        _ => Err(Error::invalid("an array has a length, an offset or a null count that cannot be")
            .with(Figure::Length, array.length)
            .with(Figure::Offset, array.offset)),
    }
}

fn check_offsets(first: i64, last: i64, data: *const std::ffi::c_void) -> Result<()> {
    if last > 0 && data.is_null() {
        return Err(Error::invalid("a column with text or bytes has no buffer of them")
            .with(Figure::Expected, last));
    }
    if 0 <= first && first <= last {
        return Ok(());
    }
    Err(Error::invalid("a column's offsets do not rise from 0")
        .with(Figure::Expected, first)
        .with(Figure::Found, last))
}

/// # Safety
/// `offsets` points to the offsets of `column`: one more than its rows end at.
unsafe fn first_and_last<T>(offsets: *const std::ffi::c_void, column: &CArray) -> (T, T) {
    let offsets: *const T = offsets.cast();
    let first = usize::try_from(column.offset).unwrap_or(0);
    let rows = usize::try_from(column.length).unwrap_or(0);
    // SAFETY: the caller's promise; C hosts need not align.
    let at = |index| unsafe { offsets.add(index).read_unaligned() };
    (at(first), at(first + rows))
}

/// Buffers of a type in the C data interface; nothing for types that no shuffle takes.
fn buffers_of(data_type: &DataType) -> Option<usize> {
    match data_type {
        DataType::Null => Some(0),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary => Some(3),
        DataType::Boolean | DataType::FixedSizeBinary(_) => Some(2),
        data_type if data_type.is_primitive() => Some(2),
        _ => None,
    }
}

/// So that a length in bytes, and one in bits, fits an address for every type there is.
const ROWS_MAX: i64 = 1 << 48;
