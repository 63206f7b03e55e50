//! Anonymous memory straight from the system, charged by the page before it is mapped.
//!
//! The one module that maps memory. Areas start zeroed, go back to the system when dropped, and
//! from 4 MiB up ask for huge pages: their first touch runs at memory speed.

#![expect(unsafe_code, reason = "mapping memory is a system call with raw pointers")]

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::OnceLock;

use bytemuck::Pod;

use super::consumer::Consumer;
use super::reservation::Reservation;
use crate::{Error, ErrorKind, Figure, Result};

const HUGE_PAGE_BYTES: usize = 2 << 20;
const HUGE_PAGE_AREA_BYTES: usize = 4 << 20;

/// Mapped memory with its charge. Its length is a multiple of [`page_bytes`].
#[derive(Debug)]
pub struct Area {
    start: NonNull<u8>,
    len: usize,
    /// Dropped after the memory is unmapped.
    reservation: Reservation,
}

// SAFETY: an area owns its memory; there is no interior mutability.
unsafe impl Send for Area {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Area {}

impl Area {
    /// Reserves and maps at least `len` bytes, zeroed.
    ///
    /// # Errors
    /// As [`Consumer::reserve`]; `MemoryLimit` also if the system has no memory.
    pub fn try_new(consumer: &Consumer, len: usize) -> Result<Self> {
        let len = Self::len_for(len);
        Self::map(consumer.reserve(len as u64)?, len)
    }

    /// As [`Area::try_new`], but does not wait and never allocates.
    ///
    /// # Errors
    /// As [`Area::try_new`].
    pub fn try_new_now(consumer: &Consumer, len: usize) -> Result<Self> {
        let len = Self::len_for(len);
        Self::map(consumer.reserve_now(len as u64)?, len)
    }

    /// As [`Area::try_new_now`], but asks nobody to spill.
    pub fn try_new_if_free(consumer: &Consumer, len: usize) -> Result<Self> {
        let len = Self::len_for(len);
        Self::map(consumer.try_reserve(len as u64)?, len)
    }

    /// What an area for `len` bytes is charged.
    pub fn len_for(len: usize) -> usize {
        let granule = if len >= HUGE_PAGE_AREA_BYTES {
            HUGE_PAGE_BYTES.max(page_bytes())
        } else {
            page_bytes()
        };
        len.max(1).checked_next_multiple_of(granule).unwrap_or(usize::MAX & !(granule - 1))
    }

    /// Frees the memory; what it was charged stays granted.
    pub fn into_reservation(mut self) -> Reservation {
        system::unmap(self.start, self.len);
        self.len = 0;
        self.reservation.set_live(0);
        self.reservation.take()
    }

    fn map(mut reservation: Reservation, len: usize) -> Result<Self> {
        reservation.set_live(len as u64);
        match system::map(len) {
            Ok(start) => {
                if len >= HUGE_PAGE_AREA_BYTES {
                    system::advise_huge_pages(start, len);
                }
                Ok(Self { start, len, reservation })
            }
            Err(errno) => {
                reservation.set_live(0);
                Err(Error::new(ErrorKind::MemoryLimit, "the system has no memory for an area")
                    .with(Figure::Requested, len)
                    .with_os_error(errno))
            }
        }
    }
}

impl Deref for Area {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: start..start+len is mapped, zeroed at first and owned by self.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Area {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in deref, and self is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        if self.len > 0 {
            system::unmap(self.start, self.len);
        }
        self.reservation.set_live(0);
    }
}

/// A fixed number of plain values in an [`Area`], zero at first.
#[derive(Debug)]
pub struct Array<T> {
    area: Area,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Pod> Array<T> {
    /// Reserves and maps `len` zeroed values.
    ///
    /// # Errors
    /// As [`Area::try_new`].
    pub fn try_new(consumer: &Consumer, len: usize) -> Result<Self> {
        const { assert!(align_of::<T>() <= 4096, "pages are aligned to their size") };
        let bytes = len.saturating_mul(size_of::<T>());
        Ok(Self { area: Area::try_new(consumer, bytes)?, len, values: PhantomData })
    }

    /// What an array of `len` values is charged.
    pub fn bytes_for(len: usize) -> u64 {
        Area::len_for(len.saturating_mul(size_of::<T>())) as u64
    }
}

impl<T: Pod> Deref for Array<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        bytemuck::cast_slice(&self.area[..self.len * size_of::<T>()])
    }
}

impl<T: Pod> DerefMut for Array<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        bytemuck::cast_slice_mut(&mut self.area[..self.len * size_of::<T>()])
    }
}

/// The system's page size in bytes.
pub fn page_bytes() -> usize {
    static PAGE: OnceLock<usize> = OnceLock::new();
    *PAGE.get_or_init(system::page_bytes)
}

#[cfg(unix)]
pub(super) mod system {
    use std::ptr::{self, NonNull};

    pub(in super::super) fn map(len: usize) -> Result<NonNull<u8>, i32> {
        map_with(len, 0)
    }

    /// As [`map`], all pages in place at once: cheaper than a fault for each when all are written.
    pub(in super::super) fn map_populated(len: usize) -> Result<NonNull<u8>, i32> {
        #[cfg(target_os = "linux")]
        return map_with(len, libc::MAP_POPULATE);
        #[cfg(not(target_os = "linux"))]
        map_with(len, 0)
    }

    fn map_with(len: usize, flags: libc::c_int) -> Result<NonNull<u8>, i32> {
        // SAFETY: a new private anonymous mapping touches no existing memory.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::ENOMEM));
        }
        NonNull::new(start.cast()).ok_or(libc::ENOMEM)
    }

    pub(in super::super) fn unmap(start: NonNull<u8>, len: usize) {
        // SAFETY: the owner of this mapping is being dropped; nobody refers to it any more.
        let outcome = unsafe { libc::munmap(start.as_ptr().cast(), len) };
        debug_assert_eq!(outcome, 0, "an area is unmapped once");
    }

    pub(super) fn advise_huge_pages(start: NonNull<u8>, len: usize) {
        #[cfg(target_os = "linux")]
        // SAFETY: advice on a mapping we own; it changes no contents.
        let _advice_only =
            unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
        #[cfg(not(target_os = "linux"))]
        let _ = (start, len);
    }

    pub(super) fn page_bytes() -> usize {
        // SAFETY: sysconf only reads a constant of the system.
        let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(bytes).unwrap_or(4096).max(4096)
    }
}

#[cfg(not(unix))]
pub(super) mod system {
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::ptr::NonNull;

    const PAGE: usize = 4096;

    pub(in super::super) fn map(len: usize) -> Result<NonNull<u8>, i32> {
        let layout = Layout::from_size_align(len, PAGE).map_err(|_| 12)?;
        // SAFETY: an area's length is at least one page, so the layout is not empty.
        NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(12)
    }

    pub(in super::super) fn map_populated(len: usize) -> Result<NonNull<u8>, i32> {
        map(len)
    }

    pub(in super::super) fn unmap(start: NonNull<u8>, len: usize) {
        if let Ok(layout) = Layout::from_size_align(len, PAGE) {
            // SAFETY: allocated in map with this very layout.
            unsafe { dealloc(start.as_ptr(), layout) }
        }
    }

    pub(super) fn advise_huge_pages(_: NonNull<u8>, _: usize) {}

    pub(super) fn page_bytes() -> usize {
        PAGE
    }
}
