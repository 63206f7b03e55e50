//! Columns where C has them: Arrow's arrays over the caller's buffers, without a copy.
//!
//! But for buffers that do not lie as Arrow's types must: values and offsets at odd addresses, decimals
//! at multiples of 8, as the interface allows. Arrow's own importer copies all of such a buffer, however
//! little of it the array uses, and tells nobody. Here the rows are copied, into memory that is charged.

#![expect(unsafe_code, reason = "buffers come from C")]

use std::ffi::c_void;
use std::panic::AssertUnwindSafe;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use arrow_array::array::{ArrayRef, make_array};
use arrow_array::ffi::FFI_ArrowArray;
use arrow_buffer::alloc::Allocation;
use arrow_buffer::{BooleanBuffer, Buffer};
use arrow_data::{ArrayData, BufferSpec, layout};
use arrow_schema::{DataType, Schema};
use bywash::{Error, ErrorKind, Figure, Reservation, Result, TaskMemory};

use super::does_not_fit;
use crate::c_data::CArray;

/// The columns of a struct whose shape was checked; what has to be copied is charged to `memory` until
/// they are dropped.
///
/// # Errors
/// `InvalidArgument` for rows that are null as a whole, and with `validate` for what Arrow finds wrong;
/// `MemoryLimit` where a copy does not fit the task's budget.
///
/// # Safety
/// The array's buffers have the lengths that its types and lengths ask for.
pub(super) unsafe fn import(
    array: FFI_ArrowArray,
    schema: &Schema,
    validate: bool,
    memory: &TaskMemory,
) -> Result<Vec<ArrayRef>> {
    let array = Arc::new(array);
    let owner: Arc<dyn Allocation> = Arc::<FFI_ArrowArray>::clone(&array);
    let rows = CArray::of(&array);
    let (first, len) = (index(rows.offset)?, index(rows.length)?);
    // SAFETY: the caller's promise.
    let validity = unsafe { validity(rows, first, len, &owner) }?;
    if let Some((bits, skip)) = validity {
        let nulls = len - BooleanBuffer::new(bits, skip, len).count_set_bits();
        if nulls > 0 {
            return Err(Error::invalid("a batch has rows that are null as a whole")
                .with(Figure::Found, nulls));
        }
    }
    let children = rows.children(schema.fields().len()).ok_or(NOT_CHECKED)?;
    let columns = children.zip(schema.fields()).map(|(column, field)| {
        let source = Source { column, data_type: field.data_type(), owner: &owner };
        // SAFETY: the caller's promise.
        let data = unsafe { source.data(first, len, memory) }?;
        if validate {
            data.validate_full().map_err(does_not_fit)?;
        }
        Ok(make_array(if data.len() == len { data } else { data.slice(first, len) }))
    });
    columns.collect()
}

/// A column of C.
struct Source<'a> {
    column: &'a CArray,
    data_type: &'a DataType,
    owner: &'a Arc<dyn Allocation>,
}

impl Source<'_> {
    /// The whole column where it lies, or a copy of the `len` rows from `first` on if it does not lie well.
    ///
    /// # Safety
    /// As [`import`].
    unsafe fn data(&self, first: usize, len: usize, memory: &TaskMemory) -> Result<ArrayData> {
        let Self { column, data_type, .. } = self;
        let start = index(column.offset)?;
        let Some((width, align, extra)) = fixed(data_type) else {
            // SAFETY: the caller's promise.
            return unsafe { self.in_place(start, index(column.length)?, None) };
        };
        let values = self.buffer(1)?;
        if values.addr().is_multiple_of(align) {
            // SAFETY: the caller's promise.
            return unsafe { self.in_place(start, index(column.length)?, None) };
        }
        // Validity begins at a whole byte: up to seven rows before the first come along.
        let from = start + first;
        let skip = from % 8;
        let bytes = width * (skip + len + extra);
        // SAFETY: the rows lie in the buffer, which has their length; the caller's promise.
        let copy =
            unsafe { copied(values.cast::<u8>().add(width * (from - skip)), bytes, memory) }?;
        // SAFETY: the caller's promise.
        unsafe { self.in_place(from, len, Some(copy)) }
    }

    /// Arrow's data over the caller's buffers, but with `copy` for the values or offsets: it begins at the
    /// last multiple of 8 rows up to `start`.
    ///
    /// # Safety
    /// As [`import`]; the rows are the column's.
    unsafe fn in_place(&self, start: usize, len: usize, copy: Option<Buffer>) -> Result<ArrayData> {
        let Self { column, data_type, owner } = self;
        let is_copied = copy.is_some();
        let mut data = ArrayData::builder((*data_type).clone()).len(len);
        let mut offset = start;
        if !matches!(data_type, DataType::Null) {
            // SAFETY: the caller's promise.
            let validity = unsafe { validity(column, start, len, owner) }?;
            if is_copied {
                offset = start % 8;
                data = data.null_bit_buffer(validity.map(|(bits, _)| bits));
            } else if validity.is_some() {
                // From the column's beginning on, as its values are.
                let bits = self.buffer(0)?;
                // SAFETY: the caller's promise.
                let bits = unsafe { shared(bits, (start + len).div_ceil(8), owner) };
                data = data.null_bit_buffer(Some(bits));
                if let Ok(nulls) = usize::try_from(column.null_count) {
                    data = data.null_count(nulls);
                }
            } else {
                data = data.null_count(0);
            }
        }
        data = data.offset(offset);
        if let Some((width, _, extra)) = fixed(data_type) {
            data = data.add_buffer(match copy {
                Some(copy) => copy,
                // SAFETY: the caller's promise.
                None => unsafe { shared(self.buffer(1)?, width * (start + len + extra), owner) },
            });
            if extra > 0 {
                // SAFETY: the caller's promise: there is one offset more than rows.
                let end = unsafe { self.last_offset(start + len, width) };
                // SAFETY: the caller's promise: the data reaches as far as the last offset.
                data = data.add_buffer(unsafe { shared(self.buffer(2)?, end, owner) });
            }
        } else if matches!(data_type, DataType::Boolean) {
            // SAFETY: the caller's promise.
            data = data
                .add_buffer(unsafe { shared(self.buffer(1)?, (start + len).div_ceil(8), owner) });
        }
        // SAFETY: the caller's promise; what is aligned was seen or copied.
        unsafe { data.skip_validation(true) }.build().map_err(does_not_fit)
    }

    fn buffer(&self, index: usize) -> Result<*const c_void> {
        let count = usize::try_from(self.column.n_buffers).unwrap_or(0);
        let buffers = self.column.buffers(count);
        buffers.and_then(|buffers| buffers.get(index)).copied().ok_or(NOT_CHECKED)
    }

    /// Where the data of the row before `end` ends.
    ///
    /// # Safety
    /// There are `end + 1` offsets of `width` bytes.
    unsafe fn last_offset(&self, end: usize, width: usize) -> usize {
        let Ok(offsets) = self.buffer(1) else { return 0 };
        let last = if width == size_of::<i32>() {
            // SAFETY: the caller's promise.
            i64::from(unsafe { offsets.cast::<i32>().add(end).read_unaligned() })
        } else {
            // SAFETY: the caller's promise.
            unsafe { offsets.cast::<i64>().add(end).read_unaligned() }
        };
        usize::try_from(last).unwrap_or(0)
    }
}

/// Of the buffer that has an entry for each row: bytes of an entry, what its address must be a multiple
/// of, and how many entries there are beyond the rows. Nothing for bits and for no buffer.
fn fixed(data_type: &DataType) -> Option<(usize, usize, usize)> {
    let layout = layout(data_type);
    match layout.buffers.as_slice() {
        [BufferSpec::FixedWidth { byte_width, alignment }] => Some((*byte_width, *alignment, 0)),
        [BufferSpec::FixedWidth { byte_width, alignment }, BufferSpec::VariableWidth] => {
            Some((*byte_width, *alignment, 1))
        }
        _ => None,
    }
}

/// The validity of `len` rows from `start` on, if there may be nulls: whole bytes, and how many bits come
/// before the first row.
///
/// # Safety
/// As [`import`]; the rows are the array's.
unsafe fn validity(
    array: &CArray,
    start: usize,
    len: usize,
    owner: &Arc<dyn Allocation>,
) -> Result<Option<(Buffer, usize)>> {
    let count = usize::try_from(array.n_buffers).unwrap_or(0);
    let bits = array.buffers(count).and_then(|buffers| buffers.first()).ok_or(NOT_CHECKED)?;
    if bits.is_null() || array.null_count == 0 {
        return Ok(None);
    }
    let skip = start % 8;
    // SAFETY: the bitmap reaches to the last row.
    let bits = unsafe { bits.cast::<u8>().add(start / 8) };
    // SAFETY: as above.
    Ok(Some((unsafe { shared(bits.cast(), (skip + len).div_ceil(8), owner) }, skip)))
}

/// The caller's bytes as a buffer that keeps the array.
///
/// # Safety
/// There are `len` bytes, which the owner keeps as they are.
unsafe fn shared(bytes: *const c_void, len: usize, owner: &Arc<dyn Allocation>) -> Buffer {
    match NonNull::new(bytes.cast_mut().cast::<u8>()) {
        // A buffer of no bytes may be anywhere.
        Some(bytes) if len > 0 => {
            // SAFETY: the caller's promise.
            unsafe { Buffer::from_custom_allocation(bytes, len, Arc::clone(owner)) }
        }
        _ => Buffer::from(&[0u8; 0]),
    }
}

/// Memory that lies well for every type, with its charge.
struct Copied {
    words: Vec<u128>,
    /// Dropped after the memory is freed.
    _charge: Reservation,
}

/// Copies `len` bytes into charged memory.
///
/// # Safety
/// There are `len` bytes.
unsafe fn copied(bytes: *const u8, len: usize, memory: &TaskMemory) -> Result<Buffer> {
    let words = len.div_ceil(size_of::<u128>());
    let held = (words * size_of::<u128>() + size_of::<Copied>() + BUFFER_BYTES) as u64;
    let consumer = memory.consumer("unaligned-input");
    let mut charge = consumer.reserve_now(held).map_err(|error| consumer.name_holders(error))?;
    charge.set_live(held);
    let mut copy = Vec::<u128>::new();
    if copy.try_reserve_exact(words).is_err() {
        return Err(NO_MEMORY.with(Figure::Requested, held));
    }
    // The bytes after the last are never looked at, but are to be something.
    copy.resize(words, 0);
    // SAFETY: the source has len bytes and the copy at least as many.
    unsafe { ptr::copy_nonoverlapping(bytes, copy.as_mut_ptr().cast::<u8>(), len) };
    let start = NonNull::from(copy.as_slice()).cast::<u8>();
    let owner = Arc::new(AssertUnwindSafe(Copied { words: copy, _charge: charge }));
    debug_assert_eq!(owner.words.as_ptr().addr(), start.as_ptr().addr(), "moved, not copied");
    // SAFETY: the words stay where they are until the owner, which the buffer holds, is dropped.
    Ok(unsafe { Buffer::from_custom_allocation(start, len, owner) })
}

fn index(number: i64) -> Result<usize> {
    usize::try_from(number).map_err(|_| NOT_CHECKED)
}

/// What Arrow allocates for a buffer beside its bytes, and the counts in front of what is shared.
const BUFFER_BYTES: usize = 9 * size_of::<usize>();
const NOT_CHECKED: Error = Error::internal("an array was imported before its shape was checked");
const NO_MEMORY: Error =
    Error::new(ErrorKind::MemoryLimit, "the system has no memory to copy a column into");
