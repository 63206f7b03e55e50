//! Where segments go when not to files: the host's callback.

#![expect(unsafe_code, reason = "callbacks and their context come from C")]

use std::ffi::c_void;
use std::mem::offset_of;

use bywash::{Error, ErrorKind, Figure, PartitionSink, Result};

use crate::call::injected;
use crate::status::{BYWASH_OK, kind_of};

/// A service that takes the bytes of partitions.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct bywash_sink {
    /// `sizeof(bywash_sink)` as the host was compiled.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Handed to the callback.
    pub context: *mut c_void,
    /// Takes the next bytes of a partition's segment; returns `BYWASH_OK` or a status code, with which the
    /// finish fails (`UNAVAILABLE` for those that are the library's to say: `INVALID_ARGUMENT`,
    /// `INVALID_STATE`, `POISONED`, `INTERNAL`, `BUDGET_HELD_BY_CALLER`). Partitions come in ascending order, an empty one not at all. Called on the thread
    /// that finishes; the bytes are the library's again when it returns. Must not unwind.
    pub write: Option<
        unsafe extern "C" fn(
            context: *mut c_void,
            partition: u32,
            bytes: *const u8,
            len: usize,
        ) -> i32,
    >,
}

/// The callback as the library's sink.
pub(crate) struct HostSink {
    context: *mut c_void,
    write: unsafe extern "C" fn(*mut c_void, u32, *const u8, usize) -> i32,
}

impl HostSink {
    /// # Safety
    /// `sink` is NULL or points to `struct_size` bytes of a table.
    pub(crate) unsafe fn read(sink: *const bywash_sink) -> Result<Self> {
        if sink.is_null() {
            return Err(Error::invalid("a sink is NULL"));
        }
        // SAFETY: every table begins with its size.
        let size = unsafe { sink.cast::<u32>().read_unaligned() } as usize;
        if !sink.is_aligned()
            || size < offset_of!(bywash_sink, write) + size_of::<usize>()
            || size > 1 << 16
        {
            return Err(Error::invalid(
                "struct_size of a sink is wrong; set it to sizeof(bywash_sink)",
            )
            .with(Figure::Found, size));
        }
        // SAFETY: the table has all fields.
        let bywash_sink { context, write, .. } = unsafe { sink.read() };
        let write = write.ok_or(Error::invalid("a sink lacks write"))?;
        Ok(Self { context, write })
    }
}

impl PartitionSink for HostSink {
    fn write(&mut self, partition: u32, bytes: &[u8]) -> Result<()> {
        injected::panic_if_asked("write of a sink");
        // SAFETY: the host's callback with its context and bytes that live through the call.
        match unsafe { (self.write)(self.context, partition, bytes.as_ptr(), bytes.len()) } {
            BYWASH_OK => Ok(()),
            code => {
                // That a call of ours was wrong, or a handle broken, is not for a sink to say.
                let kind = match kind_of(code) {
                    ErrorKind::InvalidArgument
                    | ErrorKind::InvalidState
                    | ErrorKind::Poisoned
                    | ErrorKind::Internal
                    | ErrorKind::BudgetHeldByCaller => ErrorKind::Unavailable,
                    kind => kind,
                };
                Err(Error::new(kind, "the host's sink failed").with(Figure::Partition, partition))
            }
        }
    }
}
