//! Sorted runs: blocks in order, read back once by a merge.

use arrow_array::RecordBatch;
use bywash_core::block::{
    BlockDecoder, BlockVerifier, ChunkDecoder, Decoded, HEADER_BYTES, Header,
};
use bywash_core::chunk::SortedChunk;
use bywash_core::codec::Codec;
use bywash_core::column::Layout;
use bywash_core::memory::{Array, Consumer};
use bywash_core::port::BlockSink;
use bywash_core::{Error, Figure, Result};

use crate::run::Run;
use crate::writer::FileSink;

/// One spilled file of rows in order.
#[derive(Debug)]
pub(crate) struct SortedRun {
    run: Run,
    rows: u64,
    /// Merges its bytes went through.
    depth: u32,
    /// Where the next block begins, its header if that was read, and the rows before it.
    position: u64,
    next: Option<Header>,
    rows_read: u64,
    /// Where the chain at hand ends, if the next row is one.
    wide_end: u64,
    /// Where to go back to.
    mark: Place,
}

/// A place of a run: where a block begins, and the rows before it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Place {
    position: u64,
    rows_read: u64,
}

/// What came of asking a run for its next rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// A block, decoded.
    Block,
    /// One row that is a chain of blocks.
    Wide,
    /// Nothing: all rows were read.
    End,
}

/// What reads blocks: a buffer and a decoder for all runs of a merge.
#[derive(Debug)]
pub(crate) struct BlockReader {
    pub(super) decoder: ChunkDecoder,
    pub(super) bytes: Array<u8>,
}

impl BlockReader {
    /// For blocks of up to `raw_bytes` before compression and `block_bytes` stored.
    pub(crate) fn try_new(
        consumer: &Consumer,
        layout: &Layout,
        codec: Codec,
        (raw_bytes, block_bytes): (usize, usize),
    ) -> Result<Self> {
        Ok(Self {
            decoder: ChunkDecoder::try_new(consumer, layout, codec, raw_bytes)?,
            bytes: Array::try_new(consumer, block_bytes + HEADER_BYTES)?,
        })
    }

    pub(crate) fn bytes_for(codec: Codec, (raw_bytes, block_bytes): (usize, usize)) -> u64 {
        ChunkDecoder::bytes_for(codec, raw_bytes)
            + Array::<u8>::bytes_for(block_bytes + HEADER_BYTES)
    }
}

impl SortedRun {
    pub(crate) const fn new(run: Run, rows: u64, depth: u32) -> Self {
        Self {
            run,
            rows,
            depth,
            position: 0,
            next: None,
            rows_read: 0,
            wide_end: 0,
            mark: Place { position: 0, rows_read: 0 },
        }
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.run.file_bytes()
    }

    pub(crate) const fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) const fn depth(&self) -> u32 {
        self.depth
    }

    /// Where its next block begins.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Its next block.
    pub(crate) const fn place(&self) -> Place {
        Place { position: self.position, rows_read: self.rows_read }
    }

    /// Remembers a place to go back to.
    pub(crate) const fn set_mark(&mut self, place: Place) {
        self.mark = place;
    }

    /// Rows from the place that was remembered on.
    pub(crate) const fn rows_from_mark(&self) -> u64 {
        self.rows - self.mark.rows_read
    }

    /// Reads on from the place that was remembered.
    pub(crate) const fn go_back_to_mark(&mut self) {
        (self.position, self.rows_read) = (self.mark.position, self.mark.rows_read);
        self.next = None;
    }

    /// Begins to read.
    pub(crate) const fn rewind(&mut self) {
        (self.position, self.rows_read) = (0, 0);
        self.next = None;
    }

    /// Decodes the next block into `chunk`.
    pub(crate) fn load(
        &mut self,
        layout: &Layout,
        reader: &mut BlockReader,
        chunk: &mut SortedChunk,
    ) -> Result<Loaded> {
        let end = self.run.file_bytes();
        if self.position >= end {
            if self.rows_read != self.rows {
                return Err(LOST_ROWS
                    .with(Figure::Expected, self.rows)
                    .with(Figure::Found, self.rows_read));
            }
            return Ok(Loaded::End);
        }
        let header = match self.next.take() {
            Some(header) => header,
            None => self.header_at(self.position)?,
        };
        if header.is_chained() {
            self.next = Some(header);
            self.wide_end = self.scan_chain(layout, reader)?;
            return Ok(Loaded::Wide);
        }
        // The next block's header comes with this one's body.
        let after = self.position + header.block_bytes();
        let more = if after < end { HEADER_BYTES as u64 } else { 0 };
        let len = header.block_bytes() - HEADER_BYTES as u64 + more;
        if after > end {
            return Err(CUT.with(Figure::Offset, self.position));
        }
        let BlockReader { decoder, bytes } = reader;
        let place = self.position + HEADER_BYTES as u64;
        let bytes_max = usize::try_from(len).unwrap_or(usize::MAX);
        let next = if let Some(space) = decoder.space_in_place(layout, &header, chunk, bytes_max) {
            self.read(space, place)?;
            let next = space.last_chunk::<HEADER_BYTES>().copied();
            decoder.decode_in_place(layout, &header, chunk)?;
            next
        } else {
            let space = bytes.get_mut(..bytes_max);
            let space = space.ok_or_else(|| TOO_LARGE.with(Figure::Length, len))?;
            self.read(space, place)?;
            let body = space.get(..header.body_bytes as usize).unwrap_or_default();
            decoder.decode(layout, &header, body, chunk)?;
            space.last_chunk::<HEADER_BYTES>().copied()
        };
        if more > 0 {
            self.next = match next {
                Some(next) => Some(Header::decode(&next)?),
                None => None,
            };
        }
        self.position = after;
        self.rows_read += u64::from(header.rows);
        Ok(Loaded::Block)
    }

    /// Goes past the chain at hand.
    pub(crate) const fn skip_wide(&mut self) {
        self.position = self.wide_end;
        self.rows_read += 1;
        self.next = None;
    }

    /// Copies the chain at hand, checking it once more.
    pub(crate) fn copy_wide(&self, fingerprint: u64, sink: &mut FileSink<'_>) -> Result<()> {
        let end = self.wide_end;
        let mut verifier = BlockVerifier::new(0, fingerprint);
        let mut position = self.position;
        while position < end {
            let left = usize::try_from(end - position).unwrap_or(usize::MAX);
            let space = sink.space(left.min(COPY_BYTES_MIN))?;
            let len = left.min(space.len());
            self.read(&mut space[..len], position)?;
            verifier.feed(&space[..len])?;
            sink.advance(len);
            position += len as u64;
        }
        verifier.finish().map(drop)
    }

    /// Decodes the chain at hand into a batch of one row.
    pub(crate) fn decode_wide(
        &self,
        reader: &mut BlockReader,
        decoder: &mut BlockDecoder,
    ) -> Result<RecordBatch> {
        let mut position = self.position;
        while position < self.wide_end {
            let header = self.header_at(position)?;
            let body = reader.bytes.get_mut(..header.body_bytes as usize);
            let body = body.ok_or_else(|| TOO_LARGE.with(Figure::Length, header.body_bytes))?;
            self.read(body, position + HEADER_BYTES as u64)?;
            if let Decoded::Batch(batch) = decoder.decode(&header, body)? {
                return Ok(batch);
            }
            position += header.block_bytes();
        }
        Err(CUT.with(Figure::Offset, position))
    }

    pub(crate) fn header_at(&self, position: u64) -> Result<Header> {
        let mut bytes = [0; HEADER_BYTES];
        self.read(&mut bytes, position)?;
        Header::decode(&bytes)
    }

    pub(crate) fn read(&self, bytes: &mut [u8], position: u64) -> Result<()> {
        self.run.read_exact_at(bytes, position)
    }

    /// Checks the chain at hand; returns where it ends.
    fn scan_chain(&self, layout: &Layout, reader: &mut BlockReader) -> Result<u64> {
        let mut verifier = BlockVerifier::new(0, layout.fingerprint());
        let (mut position, mut received) = (self.position, 0);
        loop {
            let header = self.header_at(position)?;
            verifier.feed(&header.encode())?;
            let mut left = header.block_bytes() - HEADER_BYTES as u64;
            position += HEADER_BYTES as u64;
            while left > 0 {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(reader.bytes.len());
                let bytes = &mut reader.bytes[..len];
                self.read(bytes, position)?;
                verifier.feed(bytes)?;
                position += len as u64;
                left -= len as u64;
            }
            received += u64::from(header.raw_bytes);
            if !header.is_chained() || received >= header.chain_bytes {
                return verifier.finish().map(|_| position);
            }
        }
    }
}

/// Room asked for before bytes of a chain are read.
const COPY_BYTES_MIN: usize = 16 << 10;
const LOST_ROWS: Error = Error::corrupt("a spilled run has lost rows");
const TOO_LARGE: Error = Error::corrupt("a spilled block is larger than its writer makes one");
const CUT: Error = Error::corrupt("a spilled run ends inside a block");
