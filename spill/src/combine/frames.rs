//! Records on disk: the frames of a segment, written and read in order.
//!
//! ```text
//! frame    | magic 4 | raw bytes 4 | stored bytes 4 | codec 1, zeros 3 | body CRC 4 | header CRC 4 | body
//! raw      | key length 4 | accumulator length 4 | key | accumulator | ...
//! ```
//!
//! A segment is a stream of records cut into frames without regard to where records end; a frame
//! never holds bytes of two segments. These files live as long as their combiner and are read by
//! nobody else.
//!
//! Not blocks of records, which is what a shuffle's runs are made of, for three reasons. A record here
//! is two slices, and a block knows one. A block ends where a record does, and one that is larger is a
//! chain of blocks as long as it, where what is here goes on into the next frame: whoever merges 16 runs
//! by key in a floor of 256 KiB has a buffer of a frame for each and nothing else, and needs one record
//! at a time. And a block's list of lengths comes behind its records, so that it can only be read as a
//! whole into memory of its own. The offsets of a few dozen parts are in memory from birth, so
//! that a run needs no table at its end either.

use bywash_core::cast::to_u32;
use bywash_core::codec::{Codec, Compressor, Decompressor};
use bywash_core::memory::{Array, Consumer};
use bywash_core::port::BlockSink;
use bywash_core::{Error, Figure, Result};

use crate::spill_dirs::SpillFile;
use crate::writer::FileSink;

/// Bytes of a record before its key.
pub(super) const RECORD_HEADER_BYTES: usize = 8;
const FRAME_HEADER_BYTES: usize = 24;
const MAGIC: u32 = u32::from_le_bytes(*b"BYCF");

/// Cuts records into frames. Allocates only when made.
#[derive(Debug)]
pub(super) struct FrameWriter {
    raw: Array<u8>,
    used: usize,
    compressor: Compressor,
}

/// A part of a file that is read from its start to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) position: u64,
    pub(super) end: u64,
}

/// Reads frames; one window for all that are read in turn.
#[derive(Debug)]
pub(super) struct FrameReader {
    window: Array<u8>,
    /// What the window holds: of which reader, from where, how much.
    owner: usize,
    start: u64,
    len: usize,
    decompressor: Decompressor,
}

/// Where a reader of records is in its buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordReader {
    /// Tells readers apart that share a window.
    pub(super) id: usize,
    pub(super) segment: Segment,
    start: usize,
    end: usize,
    /// Bytes of the longest record of the file.
    pub(super) record_max: usize,
}

/// Where a record lies in its reader's buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordAt {
    start: usize,
    key_len: usize,
    accumulator_len: usize,
}

impl FrameWriter {
    pub(super) fn try_new(consumer: &Consumer, codec: Codec, frame_bytes: usize) -> Result<Self> {
        Ok(Self {
            raw: Array::try_new(consumer, frame_bytes)?,
            used: 0,
            compressor: Compressor::try_new(consumer, codec, frame_bytes)?,
        })
    }

    pub(super) fn bytes_for(codec: Codec, frame_bytes: usize) -> Result<u64> {
        Ok(Array::<u8>::bytes_for(frame_bytes) + Compressor::bytes_for(codec, frame_bytes)?)
    }

    /// Bytes of a frame on disk at most.
    pub(super) fn stored_bytes_max(codec: Codec, frame_bytes: usize) -> usize {
        FRAME_HEADER_BYTES + Compressor::compressed_bytes_max(codec, frame_bytes)
    }

    /// Forgets what a failed file was to hold.
    pub(super) const fn begin(&mut self) {
        self.used = 0;
    }

    /// Appends a record; returns its bytes.
    pub(super) fn record(
        &mut self,
        key: &[u8],
        accumulator: &[u8],
        sink: &mut FileSink<'_>,
    ) -> Result<usize> {
        let mut header = [0; RECORD_HEADER_BYTES];
        header[..4].copy_from_slice(&to_u32(key.len()).to_le_bytes());
        header[4..].copy_from_slice(&to_u32(accumulator.len()).to_le_bytes());
        let bytes = header.len() + key.len() + accumulator.len();
        if self.raw.len() - self.used >= bytes {
            let (start, raw) = (self.used, &mut self.raw[..]);
            let key_start = start + header.len();
            raw[start..key_start].copy_from_slice(&header);
            raw[key_start..key_start + key.len()].copy_from_slice(key);
            raw[key_start + key.len()..start + bytes].copy_from_slice(accumulator);
            self.used += bytes;
            return Ok(bytes);
        }
        self.append(&header, sink)?;
        self.append(key, sink)?;
        self.append(accumulator, sink)?;
        Ok(bytes)
    }

    /// Writes what is left of a segment.
    pub(super) fn end_segment(&mut self, sink: &mut FileSink<'_>) -> Result<()> {
        if self.used == 0 {
            return Ok(());
        }
        let raw = &self.raw[..self.used];
        let most = Self::stored_bytes_max(self.compressor.codec(), raw.len());
        let space = sink.space(most)?;
        let (header, body) = space.split_at_mut(FRAME_HEADER_BYTES);
        let (tag, stored) = self.compressor.compress(raw, body);
        header[..4].copy_from_slice(&MAGIC.to_le_bytes());
        header[4..8].copy_from_slice(&to_u32(raw.len()).to_le_bytes());
        header[8..12].copy_from_slice(&to_u32(stored).to_le_bytes());
        header[12..16].copy_from_slice(&[tag, 0, 0, 0]);
        header[16..20].copy_from_slice(&crc32c::crc32c(&body[..stored]).to_le_bytes());
        let crc = crc32c::crc32c(&header[..20]);
        header[20..24].copy_from_slice(&crc.to_le_bytes());
        sink.advance(FRAME_HEADER_BYTES + stored);
        self.used = 0;
        Ok(())
    }

    fn append(&mut self, mut bytes: &[u8], sink: &mut FileSink<'_>) -> Result<()> {
        while !bytes.is_empty() {
            if self.used == self.raw.len() {
                self.end_segment(sink)?;
            }
            let len = bytes.len().min(self.raw.len() - self.used);
            let (now, later) = bytes.split_at(len);
            self.raw[self.used..self.used + len].copy_from_slice(now);
            self.used += len;
            bytes = later;
        }
        Ok(())
    }
}

/// The header of a frame that was checked.
struct Frame {
    raw: usize,
    stored: usize,
    tag: u8,
    crc: u32,
}

impl FrameReader {
    /// A reader of frames of at most `frame_bytes`.
    pub(super) fn try_new(consumer: &Consumer, codec: Codec, frame_bytes: usize) -> Result<Self> {
        let window = Array::try_new(consumer, Self::window_bytes(codec, frame_bytes))?;
        let decompressor = Decompressor::try_new_for(consumer, codec)?;
        Ok(Self { window, owner: NOBODY, start: 0, len: 0, decompressor })
    }

    pub(super) fn bytes_for(codec: Codec, frame_bytes: usize) -> u64 {
        Array::<u8>::bytes_for(Self::window_bytes(codec, frame_bytes))
            + Decompressor::bytes_for(codec)
    }

    /// Forgets what the window holds: its file is gone, or about to be another one.
    pub(super) const fn forget(&mut self) {
        self.owner = NOBODY;
    }

    /// Decodes the next frame into the start of `target`; returns its bytes.
    fn decode(
        &mut self,
        id: usize,
        file: &SpillFile,
        segment: &mut Segment,
        target: &mut [u8],
    ) -> Result<usize> {
        let (header, body) = self.next(id, file, segment)?;
        let target = target.get_mut(..header.raw).ok_or(DAMAGED)?;
        let body = &self.window[body..body + header.stored];
        if crc32c::crc32c(body) != header.crc {
            return Err(DAMAGED.with(Figure::Offset, segment.position));
        }
        self.decompressor.decompress(header.tag, body, target)?;
        segment.position += (FRAME_HEADER_BYTES + header.stored) as u64;
        Ok(header.raw)
    }

    /// Copies a segment to another file, frame by frame, each checked.
    pub(super) fn copy(
        &mut self,
        file: &SpillFile,
        mut segment: Segment,
        sink: &mut FileSink<'_>,
    ) -> Result<()> {
        self.forget();
        while segment.position < segment.end {
            let (header, body) = self.next(COPIER, file, &segment)?;
            if crc32c::crc32c(&self.window[body..body + header.stored]) != header.crc {
                return Err(DAMAGED.with(Figure::Offset, segment.position));
            }
            sink.append(&self.window[body - FRAME_HEADER_BYTES..body + header.stored])?;
            segment.position += (FRAME_HEADER_BYTES + header.stored) as u64;
        }
        Ok(())
    }

    /// Brings the next frame into the window; its header, and where its body lies there.
    fn next(&mut self, id: usize, file: &SpillFile, segment: &Segment) -> Result<(Frame, usize)> {
        let damaged = || DAMAGED.with(Figure::Offset, segment.position);
        let at = self.fill(id, file, segment, FRAME_HEADER_BYTES)?;
        let header = &self.window[at..at + FRAME_HEADER_BYTES];
        let word = |at: usize| header[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
        if word(0) != MAGIC || word(20) != crc32c::crc32c(&header[..20]) {
            return Err(damaged());
        }
        let (raw, stored) = (word(4) as usize, word(8) as usize);
        let frame = Frame { raw, stored, tag: header[12], crc: word(16) };
        if raw == 0 || FRAME_HEADER_BYTES + stored > self.window.len() {
            return Err(damaged());
        }
        let at = self.fill(id, file, segment, FRAME_HEADER_BYTES + stored)?;
        Ok((frame, at + FRAME_HEADER_BYTES))
    }

    /// Makes the window hold `needed` bytes from the segment's position; where they begin.
    fn fill(
        &mut self,
        id: usize,
        file: &SpillFile,
        segment: &Segment,
        needed: usize,
    ) -> Result<usize> {
        let left = segment.end.saturating_sub(segment.position);
        if left < needed as u64 {
            return Err(DAMAGED.with(Figure::Offset, segment.position));
        }
        let known = self.owner == id
            && segment.position >= self.start
            && segment.position <= self.start + self.len as u64;
        let skipped = if known {
            usize::try_from(segment.position - self.start).unwrap_or(self.len)
        } else {
            (self.owner, self.len) = (id, 0);
            0
        };
        if known && self.len - skipped >= needed {
            return Ok(skipped);
        }
        self.window.copy_within(skipped..self.len, 0);
        let kept = self.len - skipped;
        let more =
            (self.window.len() - kept).min(usize::try_from(left).unwrap_or(usize::MAX) - kept);
        self.owner = NOBODY;
        let target = &mut self.window[kept..kept + more];
        file.read_exact_at(target, segment.position + kept as u64)?;
        (self.owner, self.start, self.len) = (id, segment.position, kept + more);
        Ok(0)
    }

    /// The largest frame and something of the next.
    fn window_bytes(codec: Codec, frame_bytes: usize) -> usize {
        let stored = FrameWriter::stored_bytes_max(codec, frame_bytes);
        (stored + stored / 2).next_multiple_of(4096)
    }
}

impl RecordReader {
    pub(super) const fn new(id: usize, segment: Segment, record_max: usize) -> Self {
        Self { id, segment, start: 0, end: 0, record_max }
    }

    /// Room that its buffer needs for records of at most `record_max` bytes.
    pub(super) const fn buffer_bytes(frame_bytes: usize, record_max: usize) -> usize {
        frame_bytes + record_max
    }

    /// The next record, in `buffer`; nothing after the last. It stays the next one until
    /// [`RecordReader::advance`].
    pub(super) fn peek(
        &mut self,
        frames: &mut FrameReader,
        file: &SpillFile,
        buffer: &mut [u8],
    ) -> Result<Option<RecordAt>> {
        loop {
            let held = &buffer[self.start..self.end];
            let mut needed = RECORD_HEADER_BYTES;
            if held.len() >= needed {
                let word = |at: usize| held[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
                let (key_len, accumulator_len) = (word(0) as usize, word(4) as usize);
                needed += key_len + accumulator_len;
                if needed > self.record_max {
                    return Err(DAMAGED.with(Figure::Length, needed));
                }
                if held.len() >= needed {
                    let start = self.start + RECORD_HEADER_BYTES;
                    return Ok(Some(RecordAt { start, key_len, accumulator_len }));
                }
            }
            if self.segment.position >= self.segment.end {
                return if held.is_empty() { Ok(None) } else { Err(DAMAGED) };
            }
            buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let target = &mut buffer[self.end..];
            self.end += frames.decode(self.id, file, &mut self.segment, target)?;
        }
    }

    /// Goes on to the record after this one.
    pub(super) const fn advance(&mut self, record: RecordAt) {
        self.start = record.start + record.key_len + record.accumulator_len;
    }
}

impl RecordAt {
    pub(super) fn key(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start..self.start + self.key_len]
    }

    pub(super) fn accumulator(self, buffer: &[u8]) -> &[u8] {
        let start = self.start + self.key_len;
        &buffer[start..start + self.accumulator_len]
    }
}

const NOBODY: usize = usize::MAX;
const COPIER: usize = usize::MAX - 1;

const DAMAGED: Error = Error::corrupt("a spilled run of records is damaged");
