//! LZ4 block format: a compressor of our own with a table that is charged once and reused, and
//! `lz4_flex`'s decompressor.

mod search;
#[cfg(test)]
mod tests;

use lz4_flex::block;

use self::search::Table;
use crate::Result;
use crate::memory::{Array, Consumer};

/// Bytes of a match at least.
const MATCH_BYTES_MIN: usize = 4;
/// Bytes at the end that are literals, by the format.
const END_LITERALS: usize = 5;
/// Bytes from the last place where a match may begin to the end, by the format.
const MATCH_START_END: usize = 12;
/// Lengths from here on go on after the token.
const LONG: usize = 15;

#[derive(Debug)]
pub(super) struct Compressor {
    table: Array<u16>,
}

impl Compressor {
    pub(super) fn bytes() -> u64 {
        Array::<u16>::bytes_for(size_of::<Table>() / size_of::<u16>())
    }

    pub(super) fn try_new(consumer: &Consumer) -> Result<Self> {
        Ok(Self { table: Array::try_new(consumer, size_of::<Table>() / size_of::<u16>())? })
    }

    /// The bytes that `source` takes in `target`, or nothing if it does not get smaller or has no room.
    pub(super) fn compress(&mut self, source: &[u8], target: &mut [u8]) -> Option<usize> {
        let table: &mut Table = self.table.first_chunk_mut()?;
        // What was in it would be found again only by chance; so the same bytes become the same frame.
        table.fill(0);
        let mut target = Target { bytes: target, used: 0 };
        let mut literals = 0;
        // A match has something before it.
        let mut from = 1;
        while let Some(found) = search::next(source, literals, from, table) {
            target.put_match(source, literals, found)?;
            literals = found.end;
            from = found.end;
            search::note(source, from - 2, table);
        }
        target.put_end(source, literals)?;
        Some(target.used)
    }
}

/// Where a frame goes, filled from the front.
struct Target<'a> {
    bytes: &'a mut [u8],
    used: usize,
}

impl Target<'_> {
    /// `source` from `literals` to the match, then the match.
    #[inline]
    fn put_match(&mut self, source: &[u8], literals: usize, found: search::Match) -> Option<()> {
        let literal_bytes = found.start - literals;
        let more = found.end - found.start - MATCH_BYTES_MIN;
        self.put_token(literal_bytes, more)?;
        self.put_literals(source, literals, found.start)?;
        let distance = self.bytes.get_mut(self.used..self.used + size_of::<u16>())?;
        distance.copy_from_slice(&found.distance.to_le_bytes());
        self.used += size_of::<u16>();
        if more >= LONG { self.put_long(more - LONG) } else { Some(()) }
    }

    /// `source` from `literals` on.
    fn put_end(&mut self, source: &[u8], literals: usize) -> Option<()> {
        self.put_token(source.len() - literals, 0)?;
        self.put_literals(source, literals, source.len())
    }

    #[inline]
    fn put_token(&mut self, literal_bytes: usize, more: usize) -> Option<()> {
        self.put_byte(literal_bytes.min(LONG) << 4 | more.min(LONG))?;
        if literal_bytes >= LONG { self.put_long(literal_bytes - LONG) } else { Some(()) }
    }

    #[inline]
    fn put_literals(&mut self, source: &[u8], start: usize, end: usize) -> Option<()> {
        const PIECE: usize = 16;
        let (first, len) = (self.used, end - start);
        self.used += len;
        if end + PIECE > source.len() || self.used + PIECE > self.bytes.len() {
            self.bytes.get_mut(first..self.used)?.copy_from_slice(&source[start..end]);
            return Some(());
        }
        // Whole pieces of a known length, the last one beyond the end: what follows is written over it.
        for at in (0..len).step_by(PIECE) {
            let piece: &[u8; PIECE] = source.get(start + at..)?.first_chunk()?;
            *self.bytes.get_mut(first + at..)?.first_chunk_mut()? = *piece;
        }
        Some(())
    }

    #[inline]
    fn put_long(&mut self, mut rest: usize) -> Option<()> {
        while rest >= 255 {
            self.put_byte(255)?;
            rest -= 255;
        }
        self.put_byte(rest)
    }

    /// `value` is below 256.
    #[inline]
    fn put_byte(&mut self, value: usize) -> Option<()> {
        let [low, ..] = value.to_le_bytes();
        *self.bytes.get_mut(self.used)? = low;
        self.used += 1;
        Some(())
    }
}

pub(super) fn compressed_bytes_max(len: usize) -> usize {
    block::get_maximum_output_size(len)
}

pub(super) fn decompress(source: &[u8], target: &mut [u8]) -> Option<usize> {
    block::decompress_into(source, target).ok()
}
