//! A host that lends memory, through its callbacks.

#![expect(unsafe_code, reason = "callbacks and their context come from C")]

use std::ffi::c_void;
use std::mem::offset_of;

use bywash::{Error, MemoryParent, Result};

use crate::status::kind_of;

/// A host that lends memory: a table of callbacks, read once when a context is made.
///
/// Callbacks come from any thread that uses the context, with no lock of the library held; they may
/// call `bywash_context_reclaim`, and must not unwind.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct bywash_host {
    /// `sizeof(bywash_host)` as the host was compiled: later fields are not read.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Handed to every callback.
    pub context: *mut c_void,
    /// Lends up to `bytes`; returns how much (less or 0 is fine), or a negated status code. May block.
    pub acquire: Option<unsafe extern "C" fn(context: *mut c_void, bytes: u64) -> i64>,
    /// Takes `bytes` back of what was lent.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void, bytes: u64)>,
    /// Told when the last user of the table is gone; may be NULL.
    pub destroy: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// The callbacks as the ledger's parent.
pub(crate) struct HostMemory {
    context: *mut c_void,
    acquire: unsafe extern "C" fn(*mut c_void, u64) -> i64,
    release: unsafe extern "C" fn(*mut c_void, u64),
    destroy: Option<unsafe extern "C" fn(*mut c_void)>,
}

// SAFETY: the host promises that its callbacks and their context may be used from any thread.
unsafe impl Send for HostMemory {}
// SAFETY: as above.
unsafe impl Sync for HostMemory {}

impl HostMemory {
    /// Reads the table.
    ///
    /// # Errors
    /// `InvalidArgument` for a size that cannot be, or a missing callback.
    ///
    /// # Safety
    /// `host` points to `struct_size` bytes of a table.
    pub(crate) unsafe fn read(host: *const bywash_host) -> Result<Self> {
        // SAFETY: every table begins with its size.
        let size = unsafe { host.cast::<u32>().read() } as usize;
        if size < offset_of!(bywash_host, destroy) || size > 1 << 16 {
            return Err(Error::invalid(
                "struct_size of a host table is wrong; set it to sizeof(bywash_host)",
            )
            .with(bywash::Figure::Found, size));
        }
        // SAFETY: the table has at least the fields before destroy.
        let context = unsafe { (&raw const (*host).context).read() };
        // SAFETY: as above.
        let acquire = unsafe { (&raw const (*host).acquire).read() };
        // SAFETY: as above.
        let release = unsafe { (&raw const (*host).release).read() };
        let destroy = if size >= size_of::<bywash_host>() {
            // SAFETY: the table has this field too.
            unsafe { (&raw const (*host).destroy).read() }
        } else {
            None
        };
        let (Some(acquire), Some(release)) = (acquire, release) else {
            return Err(Error::invalid("a host table lacks acquire or release"));
        };
        Ok(Self { context, acquire, release, destroy })
    }
}

impl MemoryParent for HostMemory {
    fn acquire(&self, bytes: u64) -> Result<u64> {
        let asked = bytes.min(i64::MAX.unsigned_abs());
        // SAFETY: the host's callback with its context.
        let answer = unsafe { (self.acquire)(self.context, asked) };
        u64::try_from(answer).map_err(|_| {
            let code = i32::try_from(answer.saturating_neg()).unwrap_or(i32::MAX);
            Error::new(kind_of(code), "the host's acquire failed")
                .with(bywash::Figure::Requested, bytes)
        })
    }

    fn release(&self, bytes: u64) {
        // SAFETY: the host's callback with its context.
        unsafe { (self.release)(self.context, bytes) }
    }
}

impl Drop for HostMemory {
    fn drop(&mut self) {
        if let Some(destroy) = self.destroy {
            // SAFETY: the host's callback with its context, for the last time.
            unsafe { destroy(self.context) }
        }
    }
}
