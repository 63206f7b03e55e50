//! Batches for C, each column to be released by itself, in memory whose size is known before.
//!
//! Ours and not Arrow's, for three reasons: a forked child cannot release them, a panic in a release
//! stays inside, and what is allocated for them is charged with the batch ([`lent_bytes`]): of a batch
//! of many columns and few rows it is the larger part.

#![expect(unsafe_code, reason = "structs that C releases")]

mod schema;

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use arrow_array::ffi::FFI_ArrowArray;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use bywash::{Error, Result};

use crate::c_data::CArray;
use crate::call::contained;
use crate::fork::ForkMark;

pub(crate) use schema::{lend_schema, lent_schema_bytes};

/// What is allocated for a batch of so many columns that is lent out.
pub(crate) const fn lent_bytes(columns: usize) -> u64 {
    let column = size_of::<LentColumn>() + size_of::<CArray>() + size_of::<*mut CArray>();
    (size_of::<LentBatch>() + columns * column) as u64
}

/// What is behind a batch.
struct LentBatch {
    /// Where the children are until they are moved away; released or not.
    columns: Box<[CArray]>,
    children: Box<[*mut CArray]>,
    /// A struct's validity: all rows are there.
    buffers: [*const c_void; 1],
    mark: Arc<ForkMark>,
}

/// What is behind a column.
struct LentColumn {
    array: ArrayRef,
    buffers: [*const c_void; BUFFERS_MAX],
    mark: Arc<ForkMark>,
}

/// Consumers release them on any thread.
const _: () = {
    const fn moves<T: Send>() {}
    moves::<ArrayRef>();
    moves::<Arc<ForkMark>>();
};

/// Lends a batch of flat columns to C.
///
/// # Errors
/// `Internal` for an array that no reader makes: nested, or not at the beginning of its buffers.
pub(crate) fn lend(batch: RecordBatch, mark: &Arc<ForkMark>) -> Result<FFI_ArrowArray> {
    let rows = batch.num_rows();
    let (_, arrays, _) = batch.into_parts();
    let views = arrays.iter().map(View::of).collect::<Result<Vec<_>>>()?;
    // From here on nothing fails.
    let columns: Box<[CArray]> = arrays
        .into_iter()
        .zip(&views)
        .map(|(array, view)| lend_column(array, view, mark))
        .collect();
    let mut lent = Box::new(LentBatch {
        columns,
        children: Box::default(),
        buffers: [ptr::null()],
        mark: Arc::clone(mark),
    });
    let first = lent.columns.as_mut_ptr();
    // SAFETY: one address for each column, all in one allocation that stays where it is.
    lent.children = (0..lent.columns.len()).map(|index| unsafe { first.add(index) }).collect();
    let array = CArray {
        length: rows.cast_signed() as i64,
        null_count: 0,
        offset: 0,
        n_buffers: 1,
        n_children: lent.children.len().cast_signed() as i64,
        buffers: lent.buffers.as_ptr(),
        children: lent.children.as_mut_ptr(),
        dictionary: ptr::null_mut(),
        release: Some(release_batch),
        private_data: Box::into_raw(lent).cast(),
    };
    Ok(array.into_arrow())
}

/// What C is told of a column.
struct View {
    null_count: usize,
    n_buffers: usize,
    buffers: [*const c_void; BUFFERS_MAX],
}

impl View {
    fn of(array: &ArrayRef) -> Result<Self> {
        let data = array.to_data();
        let mut buffers = [ptr::null(); BUFFERS_MAX];
        if *data.data_type() == DataType::Null {
            return Ok(Self { null_count: data.len(), n_buffers: 0, buffers });
        }
        let starts = data.offset() == 0 && data.nulls().is_none_or(|nulls| nulls.offset() == 0);
        let n_buffers = 1 + data.buffers().len();
        if !starts || n_buffers > BUFFERS_MAX || !data.child_data().is_empty() {
            return Err(NOT_FLAT);
        }
        if let (Some(nulls), [validity, ..]) = (data.nulls(), &mut buffers) {
            *validity = nulls.validity().as_ptr().cast();
        }
        for (place, buffer) in buffers.iter_mut().skip(1).zip(data.buffers()) {
            *place = buffer.as_ptr().cast();
        }
        Ok(Self { null_count: data.null_count(), n_buffers, buffers })
    }
}

fn lend_column(array: ArrayRef, view: &View, mark: &Arc<ForkMark>) -> CArray {
    let length = array.len();
    let lent = Box::new(LentColumn { array, buffers: view.buffers, mark: Arc::clone(mark) });
    CArray {
        length: length.cast_signed() as i64,
        null_count: view.null_count.cast_signed() as i64,
        offset: 0,
        n_buffers: view.n_buffers.cast_signed() as i64,
        n_children: 0,
        buffers: lent.buffers.as_ptr(),
        children: ptr::null_mut(),
        dictionary: ptr::null_mut(),
        release: Some(release_column),
        private_data: Box::into_raw(lent).cast(),
    }
}

unsafe extern "C" fn release_batch(array: *mut CArray) {
    // SAFETY: consumers release an array that is there, once.
    let Some(array) = (unsafe { array.as_mut() }) else { return };
    array.release = None;
    let lent: *mut LentBatch = array.private_data.cast();
    array.private_data = ptr::null_mut();
    // SAFETY: put there by lend, and released once.
    if unsafe { lent.as_ref() }.is_none_or(|lent| lent.mark.is_in_child()) {
        return;
    }
    // SAFETY: made by Box::into_raw in lend, and released once.
    let LentBatch { mut columns, children, .. } = *unsafe { Box::from_raw(lent) };
    drop(children);
    // The charge goes with the last column: it comes after what lies around it.
    let mut last = None;
    for column in &mut columns {
        // Those that were moved away are released where they are.
        if column.release.take().is_some() {
            let next: *mut LentColumn = column.private_data.cast();
            // SAFETY: put there by lend_column, and not released yet.
            let next = *unsafe { Box::from_raw(next) };
            free(last.replace(next.array));
        }
    }
    drop(columns);
    free(last);
}

unsafe extern "C" fn release_column(array: *mut CArray) {
    // SAFETY: consumers release an array that is there, once.
    let Some(array) = (unsafe { array.as_mut() }) else { return };
    array.release = None;
    let lent: *mut LentColumn = array.private_data.cast();
    array.private_data = ptr::null_mut();
    // SAFETY: put there by lend_column, and released once.
    if unsafe { lent.as_ref() }.is_none_or(|lent| lent.mark.is_in_child()) {
        return;
    }
    // SAFETY: made by Box::into_raw in lend_column, and released once.
    let LentColumn { array, .. } = *unsafe { Box::from_raw(lent) };
    // Last, as the charge of what was freed before goes with it.
    free(Some(array));
}

/// Drops an array, which may tell the host.
fn free(array: Option<ArrayRef>) {
    drop(contained("release of a batch", move || drop(array)));
}

/// Validity, offsets, data.
const BUFFERS_MAX: usize = 3;
const NOT_FLAT: Error = Error::internal("a reader gave an array that is not flat");
