//! Checks blocks as their bytes stream by, so that a merge copies nothing damaged.

#![deny(clippy::indexing_slicing)]

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
            } else {
                let (now, later) = split(bytes, (HEADER_BYTES - self.header_filled) as u64);
                let end = self.header_filled + now.len();
                if let Some(target) = self.header.get_mut(self.header_filled..end) {
                    target.copy_from_slice(now);
                }
                self.header_filled = end;
                bytes = later;
                if end == HEADER_BYTES {
                    self.begin_block()?;
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
        if self.body_left + self.padding_left > 0 || self.header_filled > 0 {
            return Err(Error::corrupt("a segment ends inside a block")
                .with(Figure::Partition, self.partition));
        }
        Ok(self.rows)
    }

    fn begin_block(&mut self) -> Result<()> {
        let header = Header::decode(&self.header)?;
        if header.partition != self.partition {
            return Err(
                Error::corrupt("a segment holds a block of another partition")
                    .with(Figure::Expected, self.partition)
                    .with(Figure::Found, header.partition),
            );
        }
        if header.fingerprint != self.fingerprint {
            return Err(Error::corrupt("a block has another schema"));
        }
        self.header_filled = 0;
        self.body_crc = 0;
        self.expected_crc = header.body_crc;
        self.body_left = u64::from(header.body_bytes);
        self.padding_left = header.block_bytes() - HEADER_BYTES as u64 - self.body_left;
        self.rows += u64::from(header.rows);
        if self.body_left == 0 {
            self.check_body()
        } else {
            Ok(())
        }
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
