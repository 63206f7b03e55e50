//! The structs of the Arrow C data and stream interfaces with their fields, which Arrow's own types
//! hide: to check what comes in, and to make what goes out.

#![expect(unsafe_code, reason = "structs that C fills and releases")]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::slice;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;

/// `ArrowSchema`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct CSchema {
    pub(crate) format: *const c_char,
    pub(crate) name: *const c_char,
    pub(crate) metadata: *const c_char,
    flags: i64,
    pub(crate) n_children: i64,
    children: *mut *mut Self,
    pub(crate) dictionary: *mut Self,
    pub(crate) release: Option<unsafe extern "C" fn(*mut Self)>,
    pub(crate) private_data: *mut c_void,
}

/// `ArrowArray`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct CArray {
    pub(crate) length: i64,
    pub(crate) null_count: i64,
    pub(crate) offset: i64,
    pub(crate) n_buffers: i64,
    pub(crate) n_children: i64,
    pub(crate) buffers: *const *const c_void,
    pub(crate) children: *mut *mut Self,
    pub(crate) dictionary: *mut Self,
    pub(crate) release: Option<unsafe extern "C" fn(*mut Self)>,
    pub(crate) private_data: *mut c_void,
}

/// `ArrowArrayStream`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct CStream {
    pub(crate) get_schema: Option<unsafe extern "C" fn(*mut Self, *mut FFI_ArrowSchema) -> c_int>,
    pub(crate) get_next: Option<unsafe extern "C" fn(*mut Self, *mut FFI_ArrowArray) -> c_int>,
    pub(crate) get_last_error: Option<unsafe extern "C" fn(*mut Self) -> *const c_char>,
    pub(crate) release: Option<unsafe extern "C" fn(*mut Self)>,
    pub(crate) private_data: *mut c_void,
}

const _: () = assert!(size_of::<CSchema>() == size_of::<FFI_ArrowSchema>());
const _: () = assert!(size_of::<CArray>() == size_of::<FFI_ArrowArray>());
const _: () = assert!(size_of::<CStream>() == size_of::<FFI_ArrowArrayStream>());

impl CSchema {
    /// The same schema with its fields to see.
    pub(crate) const fn of(schema: &FFI_ArrowSchema) -> &Self {
        let schema: *const FFI_ArrowSchema = schema;
        // SAFETY: both types are the one struct that the C data interface lays out.
        unsafe { &*schema.cast::<Self>() }
    }

    /// Whether it was released, or never filled.
    pub(crate) const fn is_released(&self) -> bool {
        self.release.is_none()
    }

    /// `count` children; nothing if one of them cannot be there.
    ///
    /// # Safety
    /// `children` is NULL or points to `count` addresses, each NULL or a schema's.
    pub(crate) unsafe fn children(&self, count: usize) -> Option<impl Iterator<Item = &Self>> {
        // SAFETY: the caller's promise.
        unsafe { pointed_to(self.children.cast_const(), count) }
    }
}

impl CArray {
    /// The same array with its fields to see.
    pub(crate) const fn of(array: &FFI_ArrowArray) -> &Self {
        let array: *const FFI_ArrowArray = array;
        // SAFETY: both types are the one struct that the C data interface lays out.
        unsafe { &*array.cast::<Self>() }
    }

    /// The struct as Arrow's type, which releases it when it is dropped.
    pub(crate) const fn into_arrow(mut self) -> FFI_ArrowArray {
        let array: *mut Self = &raw mut self;
        // SAFETY: a whole array in one layout with Arrow's type; it is given up here.
        unsafe { array.cast::<FFI_ArrowArray>().read() }
    }

    /// Its buffers' addresses, if they are there in the number wanted.
    pub(crate) fn buffers(&self, wanted: usize) -> Option<&[*const c_void]> {
        if usize::try_from(self.n_buffers) != Ok(wanted) {
            return None;
        }
        // SAFETY: the interface says that n_buffers addresses are there.
        unsafe { addresses(self.buffers, wanted) }
    }

    /// Its children, if they are there in the number wanted.
    pub(crate) fn children(&self, wanted: usize) -> Option<impl Iterator<Item = &Self>> {
        if usize::try_from(self.n_children) != Ok(wanted) {
            return None;
        }
        // SAFETY: the interface says that n_children addresses are there, and what they point to.
        unsafe { pointed_to(self.children.cast_const(), wanted) }
    }
}

/// What `len` addresses point to; nothing if there can be nothing at one of them.
///
/// # Safety
/// `first` is NULL or points to `len` addresses, each NULL or that of a `T`; all live as long as the
/// result is used.
unsafe fn pointed_to<'a, T: 'a>(
    first: *const *mut T,
    len: usize,
) -> Option<impl Iterator<Item = &'a T>> {
    // SAFETY: the caller's promise.
    let all = unsafe { addresses(first, len) }?;
    if all.iter().any(|address| address.is_null() || !address.is_aligned()) {
        return None;
    }
    // SAFETY: checked; the caller's promise.
    Some(all.iter().map(|address| unsafe { &**address }))
}

/// `len` addresses of type `P`; nothing if there can be none at `first`.
///
/// # Safety
/// `first` is NULL or points to `len` addresses that live as long as the result is used.
unsafe fn addresses<'a, P>(first: *const P, len: usize) -> Option<&'a [P]> {
    if len == 0 {
        return Some(&[]);
    }
    if first.is_null() || !first.is_aligned() || len > isize::MAX as usize / size_of::<P>() {
        return None;
    }
    // SAFETY: checked; the caller's promise.
    Some(unsafe { slice::from_raw_parts(first, len) })
}

impl CStream {
    pub(crate) const fn empty() -> Self {
        Self {
            get_schema: None,
            get_next: None,
            get_last_error: None,
            release: None,
            private_data: ptr::null_mut(),
        }
    }
}
