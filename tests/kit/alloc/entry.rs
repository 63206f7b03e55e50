//! The C functions themselves: look up, call glibc, account, run the hook.
//!
//! Every function keeps the contract of its C namesake, including `errno`. A block is forgotten
//! before it is freed and noted after it was made, so that its address cannot be seen twice.
#![expect(unsafe_code, reason = "these are the bodies of malloc and its kin")]
#![expect(
    missing_docs,
    clippy::missing_safety_doc,
    reason = "the contract of each is that of its C namesake"
)]

use std::ffi::{c_int, c_long, c_void};
use std::ptr::null_mut;

use super::{account, blocks, is_tracking, maps, refuse, run_hook};

pub unsafe fn malloc(size: usize) -> *mut c_void {
    if refuse::is_refused(size) {
        return no_memory();
    }
    // SAFETY: as the caller's.
    note(unsafe { __libc_malloc(size) }, size)
}

pub unsafe fn calloc(count: usize, size: usize) -> *mut c_void {
    if refuse::is_refused(count.saturating_mul(size)) {
        return no_memory();
    }
    // SAFETY: as the caller's.
    note(unsafe { __libc_calloc(count, size) }, count.saturating_mul(size))
}

pub unsafe fn memalign(align: usize, size: usize) -> *mut c_void {
    if refuse::is_refused(size) {
        return no_memory();
    }
    // SAFETY: as the caller's.
    note(unsafe { __libc_memalign(align, size) }, size)
}

pub unsafe fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<usize>()) {
        return libc::EINVAL;
    }
    // SAFETY: as the caller's.
    let block = unsafe { memalign(align, size) };
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's pointer to a result.
    unsafe { out.write(block) };
    0
}

pub unsafe fn realloc(old: *mut c_void, size: usize) -> *mut c_void {
    if old.is_null() {
        // SAFETY: as the caller's.
        return unsafe { malloc(size) };
    }
    if size == 0 {
        // SAFETY: as the caller's; glibc frees and returns null.
        unsafe { free(old) };
        return null_mut();
    }
    if refuse::is_refused(size) {
        return no_memory();
    }
    // A block keeps the tag it was made with, whoever grows it.
    let Some(old_size) = blocks::remove(old.addr()) else {
        // SAFETY: as the caller's.
        return unsafe { __libc_realloc(old, size) };
    };
    // SAFETY: as the caller's.
    let new = unsafe { __libc_realloc(old, size) };
    if new.is_null() {
        blocks::insert(old.addr(), old_size);
        return new;
    }
    blocks::insert(new.addr(), size);
    account(size as u64, old_size as u64, 0, 0);
    run_hook();
    new
}

pub unsafe fn free(block: *mut c_void) {
    if block.is_null() {
        return;
    }
    let size = blocks::remove(block.addr());
    // SAFETY: as the caller's.
    unsafe { __libc_free(block) };
    if let Some(size) = size {
        account(0, size as u64, 0, 0);
        run_hook();
    }
}

pub unsafe fn mmap(
    address: *mut c_void,
    length: usize,
    protection: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> *mut c_void {
    let anonymous = flags & libc::MAP_ANONYMOUS != 0;
    if anonymous && refuse::is_refused(length) {
        no_memory();
        return libc::MAP_FAILED;
    }
    let call = libc::SYS_mmap;
    // SAFETY: as the caller's.
    let result = unsafe { libc::syscall(call, address, length, protection, flags, fd, offset) };
    let start = address_of(result);
    if start == libc::MAP_FAILED {
        return start;
    }
    let bytes = maps::pages(length);
    // A fixed mapping takes the place of what was there.
    let replaced = if flags & libc::MAP_FIXED == 0 { 0 } else { maps::remove(start.addr(), bytes) };
    let added = if anonymous && is_tracking() { bytes } else { 0 };
    if added > 0 {
        maps::insert(start.addr(), bytes);
    }
    mapped(added, replaced);
    start
}

pub unsafe fn munmap(address: *mut c_void, length: usize) -> c_int {
    let removed = maps::remove(address.addr(), maps::pages(length));
    // SAFETY: as the caller's.
    let result = unsafe { libc::syscall(libc::SYS_munmap, address, length) };
    if result == 0 {
        mapped(0, removed);
    } else if removed > 0 {
        refuse::die(b"munmap of a tracked mapping failed\n");
    }
    if result == 0 { 0 } else { -1 }
}

pub unsafe fn mremap(
    old: *mut c_void,
    old_length: usize,
    new_length: usize,
    flags: c_int,
    new_address: *mut c_void,
) -> *mut c_void {
    let call = libc::SYS_mremap;
    // SAFETY: as the caller's.
    let result = unsafe { libc::syscall(call, old, old_length, new_length, flags, new_address) };
    let start = address_of(result);
    if start == libc::MAP_FAILED {
        return start;
    }
    let removed = maps::remove(old.addr(), maps::pages(old_length));
    let added = if removed > 0 { maps::pages(new_length) } else { 0 };
    if added > 0 {
        maps::insert(start.addr(), added);
    }
    mapped(added, removed);
    start
}

fn note(block: *mut c_void, size: usize) -> *mut c_void {
    if !block.is_null() && is_tracking() {
        blocks::insert(block.addr(), size);
        account(size as u64, 0, 0, 0);
        run_hook();
    }
    block
}

fn mapped(added: usize, removed: usize) {
    if added > 0 || removed > 0 {
        account(0, 0, added as u64, removed as u64);
        run_hook();
    }
}

fn address_of(result: c_long) -> *mut c_void {
    // -1 on failure, which is `MAP_FAILED`.
    std::ptr::with_exposed_provenance_mut(isize::try_from(result).unwrap_or(-1).cast_unsigned())
}

fn no_memory() -> *mut c_void {
    // SAFETY: the C library's own pointer to this thread's `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: valid for this thread.
    unsafe { errno.write(libc::ENOMEM) };
    null_mut()
}

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(align: usize, size: usize) -> *mut c_void;
    fn __libc_free(block: *mut c_void);
}

/// Defines malloc, mmap and their kin in the test binary that calls it, at its top level.
#[macro_export]
macro_rules! install_counting_allocator {
    () => {
        $crate::counting_functions! {
            malloc(size: usize) -> *mut std::ffi::c_void;
            calloc(count: usize, size: usize) -> *mut std::ffi::c_void;
            realloc(block: *mut std::ffi::c_void, size: usize) -> *mut std::ffi::c_void;
            memalign(align: usize, size: usize) -> *mut std::ffi::c_void;
            posix_memalign(out: *mut *mut std::ffi::c_void, align: usize, size: usize)
                -> std::ffi::c_int;
            free(block: *mut std::ffi::c_void) -> ();
            mmap(address: *mut std::ffi::c_void, length: usize, protection: std::ffi::c_int,
                flags: std::ffi::c_int, fd: std::ffi::c_int, offset: i64) -> *mut std::ffi::c_void;
            munmap(address: *mut std::ffi::c_void, length: usize) -> std::ffi::c_int;
            mremap(old: *mut std::ffi::c_void, old_length: usize, new_length: usize,
                flags: std::ffi::c_int, new_address: *mut std::ffi::c_void)
                -> *mut std::ffi::c_void;
        }
        mod counting_aliases {
            //! Second names of the same functions.
            #![expect(unsafe_code, reason = "the C library's names, defined for this binary")]
            use std::ffi::{c_int, c_void};

            #[unsafe(no_mangle)]
            unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
                // SAFETY: as the caller's.
                unsafe { $crate::alloc::entry::memalign(align, size) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn reallocarray(
                block: *mut c_void,
                count: usize,
                size: usize,
            ) -> *mut c_void {
                // SAFETY: as the caller's; an overflowing product is refused by the C library.
                unsafe { $crate::alloc::entry::realloc(block, count.saturating_mul(size)) }
            }

            #[unsafe(no_mangle)]
            unsafe extern "C" fn mmap64(
                address: *mut c_void,
                length: usize,
                protection: c_int,
                flags: c_int,
                fd: c_int,
                offset: i64,
            ) -> *mut c_void {
                // SAFETY: as the caller's.
                unsafe {
                    $crate::alloc::entry::mmap(address, length, protection, flags, fd, offset)
                }
            }
        }
    };
}

/// One C function of the binary for each of `entry`'s.
#[doc(hidden)]
#[macro_export]
macro_rules! counting_functions {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        mod counting_functions {
            //! The C library's names, defined for this binary.
            #![expect(unsafe_code, reason = "the C library's names, defined for this binary")]
            $(
                #[unsafe(no_mangle)]
                unsafe extern "C" fn $name($($argument: $type),*) -> $result {
                    // SAFETY: as the caller's.
                    unsafe { $crate::alloc::entry::$name($($argument),*) }
                }
            )*
        }
    };
}
