//! Heap memory that is charged and can become an Arrow buffer.

#![expect(unsafe_code, reason = "aligned heap memory whose owner is shared with Arrow")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use arrow_buffer::Buffer;

use super::consumer::Consumer;
use super::host::HostCharge;
use super::reservation::{Export, Reservation};
use crate::{Error, ErrorKind, Figure, Result};

/// The alignment Arrow recommends.
const ALIGN: usize = 64;

/// Who is charged for a buffer after it was handed to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChargeMode {
    /// Charged to the reader's task, then as exported, until the last Arrow reference is dropped.
    Ledger,
    /// The host's that lends the ledger its memory: told at the hand-over
    /// ([`MemoryParent::hand_over`](crate::port::MemoryParent::hand_over)) and when the last Arrow
    /// reference is dropped, on that thread. For a ledger of its own memory it is as `Ledger`.
    Host,
    /// The caller's from the hand-over on; the ledger forgets it.
    Detached,
}

/// Zeroed heap memory with its charge, aligned for Arrow.
#[derive(Debug)]
pub struct Block {
    memory: Memory,
    /// Dropped after the memory is freed.
    reservation: Reservation,
}

/// Keeps a block's memory, and its charge if it has one, until the last Arrow buffer is gone.
pub struct BlockOwner {
    memory: Memory,
    /// Dropped after the memory is freed.
    _charge: Charge,
}

/// Dropped when the memory is free again.
enum Charge {
    Ledger { _export: Export },
    Host { _charge: HostCharge },
    Nobody,
}

/// For an aligned address of no bytes.
#[repr(align(64))]
struct Aligned;

struct Memory {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns its memory; there is no interior mutability.
unsafe impl Send for Memory {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Memory {}

impl Block {
    /// Reserves `len` bytes and `extra` that others will allocate with it (array shells), then
    /// allocates.
    ///
    /// # Errors
    /// `MemoryLimit` if the ledger refuses or the heap has no memory.
    pub fn try_new(consumer: &Consumer, len: usize, extra: u64) -> Result<Self> {
        let bytes = (len as u64).saturating_add(extra);
        let mut reservation = consumer.reserve(bytes)?;
        reservation.set_live(bytes);
        let Some(memory) = Memory::zeroed(len) else {
            reservation.set_live(0);
            return Err(Error::new(ErrorKind::MemoryLimit, "the heap has no memory for a block")
                .with(Figure::Requested, len));
        };
        Ok(Self { memory, reservation })
    }

    /// Hands the memory over to be shared with Arrow.
    pub fn into_owner(self, mode: ChargeMode) -> Arc<BlockOwner> {
        let Self { memory, reservation } = self;
        let charge = match mode {
            ChargeMode::Ledger => Charge::Ledger { _export: reservation.into_export() },
            ChargeMode::Host => match reservation.into_host_charge() {
                Ok(charge) => Charge::Host { _charge: charge },
                Err(export) => Charge::Ledger { _export: export },
            },
            ChargeMode::Detached => Charge::Nobody,
        };
        Arc::new(BlockOwner { memory, _charge: charge })
    }
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.memory.bytes()
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: start..start+len is allocated, initialised and borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.memory.start.as_ptr(), self.memory.len) }
    }
}

impl BlockOwner {
    /// An Arrow buffer over part of the memory, or nothing if out of range.
    pub fn buffer(self: &Arc<Self>, offset: usize, len: usize) -> Option<Buffer> {
        let bytes = self.memory.bytes().get(offset..offset.checked_add(len)?)?;
        let start = NonNull::from(bytes).cast();
        let owner: Arc<Self> = Arc::clone(self);
        // SAFETY: the bytes are initialised, never written again, and stay where they are until
        // the owner, which the buffer holds, is dropped.
        Some(unsafe { Buffer::from_custom_allocation(start, len, owner) })
    }
}

impl fmt::Debug for BlockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockOwner").field("len", &self.memory.len).finish_non_exhaustive()
    }
}

impl Memory {
    fn zeroed(len: usize) -> Option<Self> {
        let Ok(layout) = Layout::from_size_align(len, ALIGN) else {
            return None;
        };
        if len == 0 {
            return Some(Self { start: NonNull::<Aligned>::dangling().cast(), len });
        }
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { start, len })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: start..start+len is allocated (or empty and aligned) and initialised.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.len > 0
            && let Ok(layout) = Layout::from_size_align(self.len, ALIGN)
        {
            // SAFETY: allocated in zeroed with this very layout.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} bytes)", self.len)
    }
}
