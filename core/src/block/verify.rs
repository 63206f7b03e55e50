//! Checks blocks as their bytes stream by, so that a merge copies nothing damaged.

#![deny(clippy::indexing_slicing)]

use super::filler::{FILLER_BYTES_MIN, check_filler, filler_bytes};
use super::header::{HEADER_BYTES, Header};
use crate::{Error, Figure, Result};

/// Follows the blocks of one segment through pieces of any size.
#[derive(Debug)]
pub struct BlockVerifier {
    partition: u32,
    fingerprint: u64,
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    body_crc: u32,
    expected_crc: u32,
    body_left: u64,
    padding_left: u64,
    /// Zeros of a filler still to come, and whether a filler was the last that came.
    filler_left: u64,
    after_filler: bool,
    rows: u64,
}

impl BlockVerifier {
    /// For a segment of `partition` with blocks of one schema.
    pub const fn new(partition: u32, fingerprint: u64) -> Self {
        Self {
            partition,
            fingerprint,
            header: [0; HEADER_BYTES],
            header_filled: 0,
            body_crc: 0,
            expected_crc: 0,
            body_left: 0,
            padding_left: 0,
            filler_left: 0,
            after_filler: false,
            rows: 0,
        }
    }

    /// Takes the next bytes of the segment.
    ///
    /// # Errors
    /// `Corrupt` as soon as a header or a body is not what was written.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            if self.body_left > 0 {
                let (now, later) = split(bytes, self.body_left);
                self.body_crc = crc32c::crc32c_append(self.body_crc, now);
                self.body_left -= now.len() as u64;
                bytes = later;
                if self.body_left == 0 {
                    self.check_body()?;
                }
            } else if self.padding_left > 0 {
                let (now, later) = split(bytes, self.padding_left);
                self.padding_left -= now.len() as u64;
                bytes = later;
            } else if self.filler_left > 0 {
                let (now, later) = split(bytes, self.filler_left);
                check_filler(now)?;
                self.filler_left -= now.len() as u64;
                bytes = later;
            } else {
                // The first bytes say whether a block or a filler begins.
                let wanted = if self.header_filled < FILLER_BYTES_MIN {
                    FILLER_BYTES_MIN
                } else {
                    HEADER_BYTES
                };
                let (now, later) = split(bytes, (wanted - self.header_filled) as u64);
                let end = self.header_filled + now.len();
                if let Some(target) = self.header.get_mut(self.header_filled..end) {
                    target.copy_from_slice(now);
                }
                self.header_filled = end;
                bytes = later;
                match end {
                    FILLER_BYTES_MIN => self.begin_filler()?,
                    HEADER_BYTES => self.begin_block()?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Ends the segment; returns its rows.
    ///
    /// # Errors
    /// `Corrupt` in the middle of a block.
    pub fn finish(self) -> Result<u64> {
        let inside = self.body_left + self.padding_left + self.filler_left > 0;
        if inside || self.header_filled > 0 || self.after_filler {
            return Err(Error::corrupt("a segment ends inside a block")
                .with(Figure::Partition, self.partition));
        }
        Ok(self.rows)
    }

    fn begin_filler(&mut self) -> Result<()> {
        let Some(start) = self.header.first_chunk::<FILLER_BYTES_MIN>() else {
            return Ok(());
        };
        if let Some(len) = filler_bytes(*start)? {
            self.header_filled = 0;
            self.filler_left = (len - FILLER_BYTES_MIN) as u64;
            self.after_filler = true;
        }
        Ok(())
    }

    fn begin_block(&mut self) -> Result<()> {
        let header = Header::decode(&self.header)?;
        if header.partition != self.partition {
            return Err(Error::corrupt("a segment holds a block of another partition")
                .with(Figure::Expected, self.partition)
                .with(Figure::Found, header.partition));
        }
        if header.fingerprint != self.fingerprint {
            return Err(Error::corrupt("a block has another schema"));
        }
        self.header_filled = 0;
        self.after_filler = false;
        self.body_crc = 0;
        self.expected_crc = header.body_crc;
        self.body_left = u64::from(header.body_bytes);
        self.padding_left = header.block_bytes() - HEADER_BYTES as u64 - self.body_left;
        self.rows += u64::from(header.rows);
        if self.body_left == 0 { self.check_body() } else { Ok(()) }
    }

    fn check_body(&self) -> Result<()> {
        if self.body_crc == self.expected_crc {
            return Ok(());
        }
        Err(Error::corrupt("a block's body does not match its checksum")
            .with(Figure::Partition, self.partition))
    }
}

fn split(bytes: &[u8], len: u64) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.len().min(usize::try_from(len).unwrap_or(usize::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::KIND_COLUMNS;

    /// Two blocks with fillers before them, in pieces of any size.
    #[test]
    fn skips_fillers_and_nothing_else() {
        let body = [7; 20];
        let header = Header {
            kind: KIND_COLUMNS,
            flags: 0,
            partition: 3,
            rows: 2,
            body_bytes: 20,
            raw_bytes: 20,
            fingerprint: 9,
            chain_offset: 0,
            chain_bytes: 0,
            body_crc: crc32c::crc32c(&body),
        };
        let mut block = header.encode().to_vec();
        block.extend(body);
        block.extend([0; 4]);
        let filler = |len: u32| {
            let mut bytes = b"BWFL".to_vec();
            bytes.extend(len.to_le_bytes());
            bytes.resize(len as usize, 0);
            bytes
        };
        let verify = |segment: &[u8], piece: usize| {
            let mut verifier = BlockVerifier::new(3, 9);
            for bytes in segment.chunks(piece) {
                verifier.feed(bytes)?;
            }
            verifier.finish()
        };
        let segment = [filler(56), block.clone(), filler(8), filler(16), block.clone()].concat();
        for piece in [1, 3, 8, 64, 1000] {
            assert_eq!(verify(&segment, piece).unwrap(), 4);
            let at_the_end = [block.clone(), filler(8)].concat();
            assert!(verify(&at_the_end, piece).is_err());
            assert!(verify(&filler(8), piece).is_err());
            let mut not_zero = filler(56);
            not_zero.pop();
            not_zero.push(1);
            assert!(verify(&[not_zero, block.clone()].concat(), piece).is_err());
            let (inside_filler, _) = segment.split_at(12);
            assert!(verify(inside_filler, piece).is_err());
        }
    }
}
