//! What others implement or are handed: the seams between mechanism and the world.

use std::time::Duration;

use crate::Result;

/// A host that lends the memory of a [`MemoryLedger`](crate::memory::MemoryLedger): a JVM's task
/// memory manager, a query engine's pool.
///
/// Both are called from any thread that asks for or gives back memory, never with a lock of the
/// ledger held; while one of them runs the host may call
/// [`MemoryLedger::reclaim`](crate::memory::MemoryLedger::reclaim), on that thread or another.
pub trait MemoryParent: Send + Sync {
    /// Lends up to `bytes` and says how much; less is fine, also nothing. May block.
    ///
    /// More than asked for counts as what was asked for.
    ///
    /// # Errors
    /// What the one who asked for memory is to be told, when the host wants it to stop.
    fn acquire(&self, bytes: u64) -> Result<u64>;

    /// Takes `bytes` back of what was lent. Called on any thread, also where a buffer is dropped.
    fn release(&self, bytes: u64);

    /// Takes over the account of `bytes` that were lent: they are in a buffer handed to the host
    /// with [`ChargeMode::Host`](crate::memory::ChargeMode::Host), whose drop calls
    /// [`MemoryParent::release`].
    fn hand_over(&self, bytes: u64) {
        let _ = bytes;
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time since an origin of the clock's own. Never goes back.
    fn now(&self) -> Duration;
}

/// Where threads that wait for memory sleep: an event count.
pub trait Park: Send + Sync {
    /// How often [`Park::unpark_all`] has been called.
    fn epoch(&self) -> u64;

    /// Blocks the calling thread until the epoch is no longer `seen` or `timeout` has passed; may
    /// return early.
    fn park(&self, seen: u64, timeout: Option<Duration>);

    /// Raises the epoch and wakes all that sleep. Called with no lock held; does not block.
    fn unpark_all(&self);
}

/// Bytes that can be written at an offset: a spill file, an output file.
pub trait ByteSink {
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// What the medium fails with; part of the bytes may have been written.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()>;
}

/// Bytes that can be read at an offset: a map output's data, wherever it lies.
pub trait ByteSource: Send + Sync {
    /// Fills `bytes` from `offset`.
    ///
    /// # Errors
    /// `Corrupt` when the source ends before; what the medium fails with.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> Result<()>;
}

/// Where a shuffle's segments go when not to a file: a service that takes bytes by partition.
pub trait PartitionSink {
    /// Takes the next bytes of a partition's segment. Partitions come in ascending order, a segment
    /// in one or several calls, an empty one in none. The bytes are the caller's again when this
    /// returns.
    ///
    /// # Errors
    /// What the service fails with; the finish fails with it.
    fn write(&mut self, partition: u32, bytes: &[u8]) -> Result<()>;
}

/// Where encoded blocks go: room to encode in place, then told how much was used.
pub trait BlockSink {
    /// At least `len` bytes to write into; what was advanced over before is kept or already on its
    /// way.
    ///
    /// # Errors
    /// What writing earlier bytes out failed with.
    fn space(&mut self, len: usize) -> Result<&mut [u8]>;

    /// Keeps the first `len` bytes of the last [`BlockSink::space`].
    fn advance(&mut self, len: usize);
}
