//! What others implement or are handed: the seams between mechanism and the world.

use crate::Result;

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
