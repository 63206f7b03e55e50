//! A host that lends memory, through its callbacks.

#![expect(unsafe_code, reason = "callbacks and their context come from C")]

use std::ffi::{c_char, c_void};
use std::mem::offset_of;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bywash::{Error, ErrorKind, Figure, MemoryParent, Result};

use crate::call::{injected, tell};
use crate::error::c_string;
use crate::fork::ForkMark;
use crate::status::kind_of;

/// A line for the host's log that somebody should look into: a spill directory that is not used.
pub const BYWASH_LOG_WARNING: i32 = 2;

/// A host that lends memory: a table of callbacks, copied when a context is made.
///
/// Callbacks come from any thread that uses the context or what was made of it. A writer that is spilling is
/// locked meanwhile, so a callback neither pushes to, finishes or frees a writer of its context, nor waits for
/// a thread that does (with a lock of the host's, say). It may call `bywash_reclaim`, `bywash_explain` and what
/// only looks. It must not unwind. In a forked child none is called.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct bywash_host {
    /// `sizeof(bywash_host)` as the host was compiled: later fields are not read.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Handed to every callback.
    pub context: *mut c_void,
    /// Lends up to `bytes`; returns how much (less or 0 is fine), or a negated status code, for which the
    /// call that needed memory fails: with `MEMORY_LIMIT` or `CANCELLED`, with `UNAVAILABLE` for any other. May block. NULL, like `release`, for a host that lends nothing: then
    /// memory is the process's own, up to `memory.capacity`.
    pub acquire: Option<unsafe extern "C" fn(context: *mut c_void, bytes: u64) -> i64>,
    /// Takes `bytes` back of what was lent.
    pub release: Option<unsafe extern "C" fn(context: *mut c_void, bytes: u64)>,
    /// Told when nobody uses the table any more; not where making the context failed. May be NULL.
    pub destroy: Option<unsafe extern "C" fn(context: *mut c_void)>,
    /// Takes a line for the host's log, NUL-terminated and the library's again when it returns; `level` is
    /// one of `BYWASH_LOG_*`. May be NULL.
    pub log: Option<unsafe extern "C" fn(context: *mut c_void, level: i32, message: *const c_char)>,
}

/// The callbacks of a context, shared by all that was made of it.
#[derive(Debug)]
pub(crate) struct Host {
    table: bywash_host,
    mark: Arc<ForkMark>,
    /// Whether the context was made: only then `destroy` is called.
    owned: AtomicBool,
}

// SAFETY: the host promises that its callbacks and their context may be used from any thread.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    /// Reads the table.
    ///
    /// # Errors
    /// `InvalidArgument` for a size that cannot be, or one of two callbacks that go together.
    ///
    /// # Safety
    /// `host` points to `struct_size` bytes of a table.
    pub(crate) unsafe fn read(host: *const bywash_host, mark: &Arc<ForkMark>) -> Result<Self> {
        // SAFETY: every table begins with its size.
        let size = unsafe { host.cast::<u32>().read_unaligned() } as usize;
        if !(SIZE_MIN..=SIZE_MAX).contains(&size) || !host.is_aligned() {
            return Err(Error::invalid(
                "struct_size of a host table is wrong; set it to sizeof(bywash_host)",
            )
            .with(Figure::Expected, size_of::<bywash_host>())
            .with(Figure::Found, size));
        }
        let mut table = bywash_host {
            struct_size: 0,
            reserved: 0,
            context: std::ptr::null_mut(),
            acquire: None,
            release: None,
            destroy: None,
            log: None,
        };
        let known = size.min(size_of::<bywash_host>());
        let to: *mut u8 = (&raw mut table).cast();
        // SAFETY: both have that many bytes; callbacks that are cut off stay NULL, as None is.
        unsafe { to.copy_from_nonoverlapping(host.cast(), known - known % size_of::<usize>()) };
        if table.acquire.is_some() != table.release.is_some() {
            return Err(Error::invalid(
                "a host table has one of acquire and release; give both, or neither",
            ));
        }
        Ok(Self { table, mark: Arc::clone(mark), owned: AtomicBool::new(false) })
    }

    /// From now on the host is told of the end.
    pub(crate) fn own(&self) {
        self.owned.store(true, Ordering::Relaxed);
    }

    pub(crate) fn log(&self, level: i32, message: &str) {
        if let Some(log) = self.table.log {
            tell("log", || {
                let message = c_string(message);
                // SAFETY: the host's callback with its context and a string that lives through the call.
                unsafe { log(self.table.context, level, message.as_ptr()) }
            });
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let owned = *self.owned.get_mut() && !self.mark.is_in_child();
        if let Some(destroy) = self.table.destroy.filter(|_| owned) {
            // SAFETY: the host's callback with its context, for the last time.
            tell("destroy", || unsafe { destroy(self.table.context) });
        }
    }
}

/// A host's memory as the ledger's parent.
pub(crate) struct HostMemory {
    host: Arc<Host>,
    acquire: unsafe extern "C" fn(*mut c_void, u64) -> i64,
    release: unsafe extern "C" fn(*mut c_void, u64),
}

impl HostMemory {
    /// Nothing for a host that lends nothing.
    pub(crate) fn of(host: &Arc<Host>) -> Option<Self> {
        let (acquire, release) = host.table.acquire.zip(host.table.release)?;
        Some(Self { host: Arc::clone(host), acquire, release })
    }
}

impl MemoryParent for HostMemory {
    fn acquire(&self, bytes: u64) -> Result<u64> {
        injected::panic_if_asked("acquire");
        let asked = bytes.min(i64::MAX.unsigned_abs());
        // SAFETY: the host's callback with its context.
        let answer = unsafe { (self.acquire)(self.host.table.context, asked) };
        let lent = u64::try_from(answer).map_err(|_| {
            let code = i32::try_from(answer.saturating_neg()).unwrap_or(i32::MAX);
            // That a call of ours was wrong, a handle broken or a file damaged is not for a lender to say: the
            // last would have a whole map output made again.
            let kind = match kind_of(code) {
                kind @ (ErrorKind::MemoryLimit | ErrorKind::Cancelled) => kind,
                _ => ErrorKind::Unavailable,
            };
            Error::new(kind, "the host's acquire failed").with(Figure::Requested, bytes)
        })?;
        // A host that lends whole pages has the rest back at once: it would never be asked for.
        if lent > asked {
            self.release(lent - asked);
        }
        Ok(lent.min(asked))
    }

    fn release(&self, bytes: u64) {
        if !self.host.mark.is_in_child() {
            // SAFETY: the host's callback with its context.
            tell("release", || unsafe { (self.release)(self.host.table.context, bytes) });
        }
    }
}

/// Up to `release`: what the first version had to have.
const SIZE_MIN: usize = offset_of!(bywash_host, destroy);
const SIZE_MAX: usize = 1 << 16;
