//! A segment's blocks, read through one buffer that is as large as its largest block.

use bywash_core::block::{
    BLOCK_ALIGN, FILLER_BYTES_MIN, HEADER_BYTES, Header, check_filler, filler_bytes,
};
use bywash_core::cast::to_usize;
use bywash_core::memory::{Block, Consumer};
use bywash_core::port::ByteSource;
use bywash_core::{Error, ErrorKind, Figure, Result};

/// Bytes of a read where blocks are smaller.
const READ_BYTES: usize = 128 << 10;

/// Reads blocks from `position` to `end`.
#[derive(Debug)]
pub(super) struct SegmentReader {
    consumer: Consumer,
    /// The next byte to read from the source, and the end of the segment.
    position: u64,
    end: u64,
    buffer: Option<Block>,
    /// The bytes read and not given out yet.
    filled: std::ops::Range<usize>,
    crc: u32,
}

impl SegmentReader {
    pub(super) const fn new(consumer: Consumer, start: u64, end: u64) -> Self {
        Self { consumer, position: start, end, buffer: None, filled: 0..0, crc: 0 }
    }

    /// CRC-32C of all bytes given out so far.
    pub(super) const fn crc(&self) -> u32 {
        self.crc
    }

    /// The next block's header, checked, and its body, unchecked.
    pub(super) fn next_block(
        &mut self,
        source: &dyn ByteSource,
    ) -> Result<Option<(Header, &[u8])>> {
        if self.filled.is_empty() && self.position == self.end {
            return Ok(None);
        }
        while self.skip_filler(source)? {}
        self.fill(source, HEADER_BYTES)?;
        let bytes = self.bytes().first_chunk::<HEADER_BYTES>().ok_or(ENDS_INSIDE)?;
        let header = Header::decode(bytes)?;
        let len = to_usize(header.block_bytes());
        debug_assert!(len.is_multiple_of(BLOCK_ALIGN), "blocks are padded");
        self.fill(source, len)?;
        let start = self.filled.start;
        self.filled.start += len;
        let block = self.buffer.as_deref().and_then(|buffer| buffer.get(start..start + len));
        let block = block.ok_or(ENDS_INSIDE)?;
        self.crc = crc32c::crc32c_append(self.crc, block);
        let body = HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize;
        Ok(Some((header, block.get(body).ok_or(ENDS_INSIDE)?)))
    }

    /// Skips a filler if one begins here. A block follows it, or the segment is damaged.
    fn skip_filler(&mut self, source: &dyn ByteSource) -> Result<bool> {
        self.fill(source, FILLER_BYTES_MIN)?;
        let start = self.bytes().first_chunk::<FILLER_BYTES_MIN>().ok_or(ENDS_INSIDE)?;
        let Some(len) = filler_bytes(*start)? else {
            return Ok(false);
        };
        self.fill(source, len)?;
        let filler = self.bytes().get(..len).ok_or(ENDS_INSIDE)?;
        check_filler(filler.get(FILLER_BYTES_MIN..).unwrap_or_default())?;
        self.crc = crc32c::crc32c_append(self.crc, filler);
        self.filled.start += len;
        Ok(true)
    }

    /// Makes at least `len` bytes ready, reading as much as the buffer holds.
    fn fill(&mut self, source: &dyn ByteSource, len: usize) -> Result<()> {
        let left = self.end - self.position;
        if self.filled.len() >= len {
            return Ok(());
        }
        if (self.filled.len() as u64).saturating_add(left) < len as u64 {
            return Err(ENDS_INSIDE.with(Figure::Offset, self.position));
        }
        self.make_room(len, left)?;
        let Some(buffer) = self.buffer.as_deref_mut() else {
            return Err(ENDS_INSIDE);
        };
        let room = buffer.len() - self.filled.end;
        let more = room.min(usize::try_from(left).unwrap_or(usize::MAX));
        let target = &mut buffer[self.filled.end..self.filled.end + more];
        source.read_exact_at(target, self.position)?;
        self.position += more as u64;
        self.filled.end += more;
        Ok(())
    }

    /// Moves what is ready to the front of a buffer that holds `len`.
    fn make_room(&mut self, len: usize, left: u64) -> Result<()> {
        let ready = self.filled.clone();
        if let Some(buffer) = self.buffer.as_deref_mut().filter(|buffer| buffer.len() >= len) {
            buffer.copy_within(ready.clone(), 0);
        } else {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).saturating_add(ready.len());
            let wanted = wanted.min(READ_BYTES).max(len);
            // A small budget reads in smaller steps.
            let mut larger = match Block::try_new(&self.consumer, wanted) {
                Err(error) if error.kind() == ErrorKind::MemoryLimit && wanted > len => {
                    Block::try_new(&self.consumer, len)
                }
                made => made,
            }
            .map_err(too_small)?;
            if let Some(buffer) = self.buffer.as_deref() {
                larger[..ready.len()].copy_from_slice(&buffer[ready.clone()]);
            }
            self.buffer = Some(larger);
        }
        self.filled = 0..ready.len();
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.as_deref().and_then(|buffer| buffer.get(self.filled.clone())).unwrap_or(&[])
    }
}

fn too_small(error: Error) -> Error {
    if error.kind() != ErrorKind::MemoryLimit {
        return error;
    }
    let figure = |name| error.figure(name).unwrap_or(0);
    Error::new(
        ErrorKind::MemoryLimit,
        "the reader's budget does not hold the next block; raise the budget",
    )
    .with(Figure::Requested, figure(Figure::Requested))
    .with(Figure::Available, figure(Figure::Available))
    .with(Figure::Budget, figure(Figure::Budget))
}

const ENDS_INSIDE: Error = Error::corrupt("a segment ends inside a block");
