//! Encoded bytes gathered into large writes.

use bywash_core::Result;
use bywash_core::memory::{Array, Consumer};
use bywash_core::port::{BlockSink, ByteSink};

/// A charged buffer that is reused for every file a writer writes.
#[derive(Debug)]
pub(crate) struct WriteBuffer {
    bytes: Array<u8>,
    used: usize,
}

impl WriteBuffer {
    pub(crate) fn try_new(consumer: &Consumer, len: usize) -> Result<Self> {
        Ok(Self { bytes: Array::try_new(consumer, len)?, used: 0 })
    }

    /// What [`WriteBuffer::try_new`] reserves.
    pub(crate) fn bytes_for(len: usize) -> u64 {
        Array::<u8>::bytes_for(len)
    }

    /// Begins a file: everything from now on goes to `target`, from offset 0 on.
    pub(crate) fn begin<'a>(&'a mut self, target: &'a mut dyn ByteSink) -> FileSink<'a> {
        self.used = 0;
        FileSink { buffer: self, target, flushed: 0, segment_crc: 0, is_summed: true }
    }

    /// As [`WriteBuffer::begin`], for a file whose segments need no checksum beside those of its
    /// blocks.
    pub(crate) fn begin_run<'a>(&'a mut self, target: &'a mut dyn ByteSink) -> FileSink<'a> {
        FileSink { is_summed: false, ..self.begin(target) }
    }
}

/// One file being written through a [`WriteBuffer`].
pub(crate) struct FileSink<'a> {
    buffer: &'a mut WriteBuffer,
    target: &'a mut dyn ByteSink,
    flushed: u64,
    segment_crc: u32,
    is_summed: bool,
}

impl FileSink<'_> {
    /// Where the next byte goes.
    pub(crate) fn position(&self) -> u64 {
        self.flushed + self.buffer.used as u64
    }

    /// The CRC-32C of what was appended since the last call.
    pub(crate) fn take_segment_crc(&mut self) -> u32 {
        std::mem::take(&mut self.segment_crc)
    }

    /// Appends bytes that lie elsewhere.
    pub(crate) fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let space = self.space(1)?;
            let len = space.len().min(bytes.len());
            let (now, later) = bytes.split_at(len);
            space[..len].copy_from_slice(now);
            self.advance(len);
            bytes = later;
        }
        Ok(())
    }

    /// Writes out what is still in the buffer.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.buffer.used > 0 {
            let used = &self.buffer.bytes[..self.buffer.used];
            self.target.write_all_at(used, self.flushed)?;
            self.flushed += self.buffer.used as u64;
            self.buffer.used = 0;
        }
        Ok(())
    }
}

impl BlockSink for FileSink<'_> {
    fn space(&mut self, len: usize) -> Result<&mut [u8]> {
        debug_assert!(len <= self.buffer.bytes.len(), "the buffer holds any block");
        if self.buffer.bytes.len() - self.buffer.used < len {
            self.flush()?;
        }
        Ok(&mut self.buffer.bytes[self.buffer.used..])
    }

    fn advance(&mut self, len: usize) {
        let start = self.buffer.used;
        if self.is_summed {
            let bytes = &self.buffer.bytes[start..start + len];
            self.segment_crc = crc32c::crc32c_append(self.segment_crc, bytes);
        }
        self.buffer.used += len;
    }
}
