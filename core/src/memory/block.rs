//! Memory that is charged and can become an Arrow buffer.
//!
//! Blocks of less than a page come from the heap, larger ones are mapped: a heap keeps what is freed, by default
//! without a bound and for each thread, so that blocks given back to the ledger would stay resident
//! beside what the ledger grants next.

#![expect(unsafe_code, reason = "aligned memory whose owner is shared with Arrow")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;

use arrow_buffer::Buffer;

use super::area::{page_bytes, system};
use super::consumer::Consumer;
use super::host::HostCharge;
use super::reservation::{Export, Reservation};
use crate::{Error, ErrorKind, Figure, Result};

/// The alignment Arrow recommends.
const ALIGN: usize = 64;
/// Working memory is mapped from this size up: few blocks, gone with their reader.
const WORK_MAPPED_BYTES: usize = 64 << 10;

/// Who is charged for a buffer after it was handed to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChargeMode {
    /// Charged to the reader's task, then as exported, until the last Arrow reference is dropped.
    Ledger,
    /// The host's that lends the ledger its memory: told at the hand-over
    /// ([`MemoryParent::hand_over`](crate::port::MemoryParent::hand_over)) and when the last Arrow
    /// reference is dropped, on that thread. Readers refuse it for a ledger of its own memory.
    Host,
    /// The caller's from the hand-over on; the ledger forgets it.
    Detached,
}

impl ChargeMode {
    /// Whether what is read can be charged so, with a host that lends the memory or without one.
    pub(super) const fn check(self, has_host: bool) -> Result<()> {
        match self {
            Self::Host if !has_host => Err(NO_HOST),
            _ => Ok(()),
        }
    }
}

/// Zeroed memory with its charge, aligned for Arrow.
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
    charge: Charge,
}

/// Dropped when the memory is free again.
enum Charge {
    Ledger { export: Export },
    Host { _charge: HostCharge },
    Nobody,
}

/// For an aligned address of no bytes.
#[repr(align(64))]
struct Aligned;

struct Memory {
    start: NonNull<u8>,
    len: usize,
    /// The length of the mapping; none for a block of the heap.
    mapped: Option<usize>,
}

// SAFETY: it owns its memory; there is no interior mutability.
unsafe impl Send for Memory {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Memory {}

impl Block {
    /// Reserves and allocates `len` bytes of working memory.
    ///
    /// # Errors
    /// `MemoryLimit` if the ledger refuses or the system has no memory.
    pub fn try_new(consumer: &Consumer, len: usize) -> Result<Self> {
        Self::allocate(consumer, len, mapped_len(len, WORK_MAPPED_BYTES), 0)
    }

    /// Reserves `len` bytes that a caller will keep and `extra` that others will allocate with it
    /// (array shells), then allocates. From one page up it is mapped.
    ///
    /// # Errors
    /// As [`Block::try_new`].
    pub fn try_new_to_keep(consumer: &Consumer, len: usize, extra: u64) -> Result<Self> {
        Self::allocate(consumer, len, mapped_len(len, page_bytes()), extra)
    }

    /// What [`Block::try_new_to_keep`] reserves.
    pub fn bytes_to_keep(len: usize, extra: u64) -> u64 {
        (mapped_len(len, page_bytes()).unwrap_or(len) as u64).saturating_add(extra)
    }

    /// As [`Block::try_new_to_keep`], out of what `room` holds. On an error it holds it still.
    ///
    /// # Errors
    /// `MemoryLimit` if it holds less, or the system has no memory.
    pub fn try_new_in(room: &mut Reservation, len: usize, extra: u64) -> Result<Self> {
        let bytes = Self::bytes_to_keep(len, extra);
        let left = room.granted() - room.live();
        let short = || NOT_HELD.with(Figure::Requested, bytes).with(Figure::Available, left);
        let reservation = room.split(bytes).ok_or_else(short)?;
        Self::fill(reservation, len, mapped_len(len, page_bytes())).map_err(|reservation| {
            room.join(reservation);
            NO_MEMORY.with(Figure::Requested, len)
        })
    }

    fn allocate(
        consumer: &Consumer,
        len: usize,
        mapped: Option<usize>,
        extra: u64,
    ) -> Result<Self> {
        let bytes = (mapped.unwrap_or(len) as u64).saturating_add(extra);
        let filled = Self::fill(consumer.reserve(bytes)?, len, mapped);
        filled.map_err(|_| NO_MEMORY.with(Figure::Requested, len))
    }

    /// Allocates in all of `reservation`, which comes back if the system has no memory.
    fn fill(
        mut reservation: Reservation,
        len: usize,
        mapped: Option<usize>,
    ) -> Result<Self, Reservation> {
        reservation.set_live(reservation.granted());
        let Some(memory) = Memory::zeroed(len, mapped) else {
            reservation.set_live(0);
            return Err(reservation);
        };
        Ok(Self { memory, reservation })
    }

    /// Hands the memory over to be shared with Arrow, as the caller's own; what it was charged stays
    /// granted.
    pub fn into_detached(self) -> (Arc<BlockOwner>, Reservation) {
        let Self { memory, mut reservation } = self;
        reservation.set_live(0);
        (Arc::new(BlockOwner { memory, charge: Charge::Nobody }), reservation)
    }

    /// Hands the memory over to be shared with Arrow.
    pub fn into_owner(self, mode: ChargeMode) -> Arc<BlockOwner> {
        let Self { memory, reservation } = self;
        let charge = match mode {
            ChargeMode::Ledger => Charge::Ledger { export: reservation.into_export() },
            ChargeMode::Host => match reservation.into_host_charge() {
                Ok(charge) => Charge::Host { _charge: charge },
                Err(export) => Charge::Ledger { export },
            },
            ChargeMode::Detached => Charge::Nobody,
        };
        Arc::new(BlockOwner { memory, charge })
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
        self.memory.bytes_mut()
    }
}

impl BlockOwner {
    /// Frees the memory if nobody else holds it and it is charged to the task of `consumer`, to which
    /// the charge is granted.
    ///
    /// # Errors
    /// Else the owner as it is.
    pub fn into_reservation(
        self: Arc<Self>,
        consumer: &Consumer,
    ) -> Result<Reservation, Arc<Self>> {
        let Self { memory, charge } = Arc::try_unwrap(self)?;
        let Charge::Ledger { export } = charge else {
            return Err(Arc::new(Self { memory, charge }));
        };
        match export.into_reservation(consumer) {
            Ok(mut reservation) => {
                drop(memory);
                reservation.set_live(0);
                Ok(reservation)
            }
            Err(export) => Err(Arc::new(Self { memory, charge: Charge::Ledger { export } })),
        }
    }

    /// All of the memory.
    pub fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }

    /// The memory once more, if nobody else holds it: every buffer over it is gone.
    pub fn bytes_mut(self: &mut Arc<Self>) -> Option<&mut [u8]> {
        Arc::get_mut(self).map(|owner| owner.memory.bytes_mut())
    }

    /// Bytes of the memory.
    pub const fn len(&self) -> usize {
        self.memory.len
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.memory.len == 0
    }

    /// An Arrow buffer over part of the memory, or nothing if out of range.
    pub fn buffer(self: &Arc<Self>, offset: usize, len: usize) -> Option<Buffer> {
        let bytes = self.memory.bytes().get(offset..offset.checked_add(len)?)?;
        let start = NonNull::from(bytes).cast();
        let owner: Arc<Self> = Arc::clone(self);
        // SAFETY: the bytes are initialised, not written while the buffer holds the owner (bytes_mut
        // needs it alone), and stay where they are until the owner is dropped.
        Some(unsafe { Buffer::from_custom_allocation(start, len, owner) })
    }
}

impl fmt::Debug for BlockOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockOwner").field("len", &self.memory.len).finish_non_exhaustive()
    }
}

impl Memory {
    fn zeroed(len: usize, mapped: Option<usize>) -> Option<Self> {
        if let Some(mapped_len) = mapped {
            let start = system::map_populated(mapped_len).ok()?;
            return Some(Self { start, len, mapped });
        }
        let Ok(layout) = Layout::from_size_align(len, ALIGN) else {
            return None;
        };
        if len == 0 {
            return Some(Self { start: NonNull::<Aligned>::dangling().cast(), len, mapped });
        }
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { start, len, mapped })
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: start..start+len is allocated (or empty and aligned), initialised and borrowed
        // exclusively.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: start..start+len is allocated (or empty and aligned) and initialised.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(mapped) = self.mapped {
            system::unmap(self.start, mapped);
        } else if self.len > 0
            && let Ok(layout) = Layout::from_size_align(self.len, ALIGN)
        {
            // SAFETY: allocated in zeroed with this very layout.
            unsafe { dealloc(self.start.as_ptr(), layout) }
        }
    }
}

/// The length of a mapping for `len` bytes; none below `least`.
fn mapped_len(len: usize, least: usize) -> Option<usize> {
    let pages = || len.checked_next_multiple_of(page_bytes()).unwrap_or(usize::MAX);
    (len >= least).then(pages)
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} bytes)", self.len)
    }
}

const NO_MEMORY: Error = Error::new(ErrorKind::MemoryLimit, "the system has no memory for a block");
const NOT_HELD: Error =
    Error::new(ErrorKind::MemoryLimit, "the memory set aside does not hold a block");
const NO_HOST: Error = Error::invalid(
    "batches can be charged to the host only if it lends the ledger its memory; give the ledger a \
     parent, or read with another charge mode",
);
