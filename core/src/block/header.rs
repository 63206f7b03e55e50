//! The fixed header of a block, and the offsets of everything in it.

#![deny(clippy::indexing_slicing)]

use super::records::RECORDS_FINGERPRINT;
use crate::{Error, ErrorKind, Figure, Result};

/// The first four bytes of a block, "BWBK" in a file.
pub const MAGIC: u32 = u32::from_le_bytes(*b"BWBK");
/// The format version this library writes.
pub const VERSION: u8 = 1;
/// A block of columns.
pub const KIND_COLUMNS: u8 = 1;
/// A block of opaque records.
pub const KIND_RECORDS: u8 = 2;
/// The first block of a chain.
pub const FLAG_FIRST: u16 = 1;
/// A block of a chain that neither begins nor ends it.
pub const FLAG_MIDDLE: u16 = 2;
/// The last block of a chain.
pub const FLAG_LAST: u16 = 4;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// Every block's length is a multiple of this.
pub const BLOCK_ALIGN: usize = 8;
/// Bytes of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 12;
/// The most bytes a block's frames decompress to.
pub const RAW_BYTES_MAX: usize = 4 << 20;
/// The most bytes of a body: incompressible frames, their headers and the prefix.
pub const BODY_BYTES_MAX: usize = RAW_BYTES_MAX + (1 << 20);

/// Offsets of the header's fields.
pub mod offset {
    /// `u32` magic.
    pub const MAGIC: usize = 0;
    /// `u8` version.
    pub const VERSION: usize = MAGIC + 4;
    /// `u8` kind.
    pub const KIND: usize = VERSION + 1;
    /// `u16` flags.
    pub const FLAGS: usize = KIND + 1;
    /// `u32` partition id.
    pub const PARTITION: usize = FLAGS + 2;
    /// `u32` rows that begin in this block.
    pub const ROWS: usize = PARTITION + 4;
    /// `u32` bytes of the body, padding not counted.
    pub const BODY_BYTES: usize = ROWS + 4;
    /// `u32` bytes of all frames once decompressed.
    pub const RAW_BYTES: usize = BODY_BYTES + 4;
    /// `u64` schema fingerprint.
    pub const FINGERPRINT: usize = RAW_BYTES + 4;
    /// `u64` offset of a chained block's bytes in its row.
    pub const CHAIN_OFFSET: usize = FINGERPRINT + 8;
    /// `u64` bytes of a chained row, 0 outside chains.
    pub const CHAIN_BYTES: usize = CHAIN_OFFSET + 8;
    /// `u64` zero; kept for encryption.
    pub const RESERVED: usize = CHAIN_BYTES + 8;
    /// `u32` CRC-32C of the body.
    pub const BODY_CRC: usize = RESERVED + 8;
    /// `u32` CRC-32C of the header before this field.
    pub const HEADER_CRC: usize = BODY_CRC + 4;
    const _: () = assert!(HEADER_CRC + 4 == super::HEADER_BYTES);
}

/// Offsets of the fields of a frame's header; the stored bytes follow it.
pub mod frame_offset {
    /// `u8` codec tag.
    pub const TAG: usize = 0;
    /// `u8` zero.
    pub const ZERO: usize = TAG + 1;
    /// `u16` buffers in the frame, 0 in a chain.
    pub const BUFFERS: usize = ZERO + 1;
    /// `u32` bytes once decompressed.
    pub const RAW_BYTES: usize = BUFFERS + 2;
    /// `u32` bytes stored.
    pub const STORED_BYTES: usize = RAW_BYTES + 4;
    const _: () = assert!(STORED_BYTES + 4 == super::FRAME_HEADER_BYTES);
}

/// A header that was checked, or is about to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// [`KIND_COLUMNS`] or [`KIND_RECORDS`].
    pub kind: u8,
    /// 0, or the place in a chain.
    pub flags: u16,
    /// The partition all rows belong to.
    pub partition: u32,
    /// Rows that begin in this block.
    pub rows: u32,
    /// Bytes of the body, padding not counted.
    pub body_bytes: u32,
    /// Bytes of all frames once decompressed.
    pub raw_bytes: u32,
    /// The schema's fingerprint; [`RECORDS_FINGERPRINT`] for records.
    pub fingerprint: u64,
    /// Offset of a chained block's bytes in its row.
    pub chain_offset: u64,
    /// Bytes of a chained row, 0 outside chains.
    pub chain_bytes: u64,
    /// CRC-32C of the body.
    pub body_crc: u32,
}

impl Header {
    /// The header as bytes, with its checksum.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        put(&mut bytes, offset::MAGIC, MAGIC.to_le_bytes());
        put(&mut bytes, offset::VERSION, [VERSION]);
        put(&mut bytes, offset::KIND, [self.kind]);
        put(&mut bytes, offset::FLAGS, self.flags.to_le_bytes());
        put(&mut bytes, offset::PARTITION, self.partition.to_le_bytes());
        put(&mut bytes, offset::ROWS, self.rows.to_le_bytes());
        put(&mut bytes, offset::BODY_BYTES, self.body_bytes.to_le_bytes());
        put(&mut bytes, offset::RAW_BYTES, self.raw_bytes.to_le_bytes());
        put(&mut bytes, offset::FINGERPRINT, self.fingerprint.to_le_bytes());
        put(&mut bytes, offset::CHAIN_OFFSET, self.chain_offset.to_le_bytes());
        put(&mut bytes, offset::CHAIN_BYTES, self.chain_bytes.to_le_bytes());
        put(&mut bytes, offset::BODY_CRC, self.body_crc.to_le_bytes());
        let crc = crc32c::crc32c(bytes.get(..offset::HEADER_CRC).unwrap_or_default());
        put(&mut bytes, offset::HEADER_CRC, crc.to_le_bytes());
        bytes
    }

    /// Checks magic, version, checksum and limits before anything else is believed.
    ///
    /// # Errors
    /// `Corrupt`, or `Unsupported` for a newer version.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self> {
        if u32::from_le_bytes(take(bytes, offset::MAGIC)) != MAGIC {
            return Err(Error::corrupt("no block begins here"));
        }
        let crc = crc32c::crc32c(bytes.get(..offset::HEADER_CRC).unwrap_or_default());
        if u32::from_le_bytes(take(bytes, offset::HEADER_CRC)) != crc {
            return Err(Error::corrupt("a block's header does not match its checksum"));
        }
        let [version] = take(bytes, offset::VERSION);
        if version != VERSION {
            return Err(Error::new(ErrorKind::Unsupported, "a block of a newer format version")
                .with(Figure::Found, version));
        }
        if u64::from_le_bytes(take(bytes, offset::RESERVED)) != 0 {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a block uses a field that this version does not know",
            ));
        }
        let [kind] = take(bytes, offset::KIND);
        let header = Self {
            kind,
            flags: u16::from_le_bytes(take(bytes, offset::FLAGS)),
            partition: u32::from_le_bytes(take(bytes, offset::PARTITION)),
            rows: u32::from_le_bytes(take(bytes, offset::ROWS)),
            body_bytes: u32::from_le_bytes(take(bytes, offset::BODY_BYTES)),
            raw_bytes: u32::from_le_bytes(take(bytes, offset::RAW_BYTES)),
            fingerprint: u64::from_le_bytes(take(bytes, offset::FINGERPRINT)),
            chain_offset: u64::from_le_bytes(take(bytes, offset::CHAIN_OFFSET)),
            chain_bytes: u64::from_le_bytes(take(bytes, offset::CHAIN_BYTES)),
            body_crc: u32::from_le_bytes(take(bytes, offset::BODY_CRC)),
        };
        header.check()?;
        Ok(header)
    }

    /// Bytes of the whole block.
    pub const fn block_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + (self.body_bytes as u64).next_multiple_of(BLOCK_ALIGN as u64)
    }

    /// Whether this block is part of a chain.
    pub const fn is_chained(&self) -> bool {
        self.flags != 0
    }

    fn check(&self) -> Result<()> {
        let of_records = self.fingerprint == RECORDS_FINGERPRINT;
        match self.kind {
            KIND_COLUMNS if !of_records => {}
            KIND_RECORDS if of_records => {}
            KIND_COLUMNS | KIND_RECORDS => {
                return Err(Error::corrupt("a block's kind and its fingerprint disagree"));
            }
            _ => {
                return Err(Error::new(ErrorKind::Unsupported, "a block of an unknown kind")
                    .with(Figure::Found, self.kind));
            }
        }
        if self.body_bytes as usize > BODY_BYTES_MAX || self.raw_bytes as usize > RAW_BYTES_MAX {
            return Err(Error::corrupt("a block is larger than any block may be")
                .with(Figure::Length, self.body_bytes.max(self.raw_bytes)));
        }
        let end = self.chain_offset.checked_add(u64::from(self.raw_bytes));
        let sound = match self.flags {
            0 => self.chain_offset == 0 && self.chain_bytes == 0,
            FLAG_FIRST => {
                self.rows == 1
                    && self.chain_offset == 0
                    && end.is_some_and(|end| end < self.chain_bytes)
            }
            FLAG_MIDDLE => self.rows == 0 && end.is_some_and(|end| end < self.chain_bytes),
            FLAG_LAST => self.rows == 0 && end == Some(self.chain_bytes),
            _ => false,
        };
        if sound {
            Ok(())
        } else {
            Err(Error::corrupt("a block's place in a chain makes no sense"))
        }
    }
}

fn put<const N: usize>(bytes: &mut [u8; HEADER_BYTES], offset: usize, value: [u8; N]) {
    if let Some(target) = bytes.get_mut(offset..offset + N) {
        target.copy_from_slice(&value);
    }
}

fn take<const N: usize>(bytes: &[u8; HEADER_BYTES], offset: usize) -> [u8; N] {
    bytes.get(offset..offset + N).and_then(|field| field.try_into().ok()).unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        kind: KIND_COLUMNS,
        flags: 0,
        partition: 7,
        rows: 3,
        body_bytes: 100,
        raw_bytes: 200,
        fingerprint: 0x0123_4567_89ab_cdef,
        chain_offset: 0,
        chain_bytes: 0,
        body_crc: 5,
    };

    #[test]
    fn round_trips_and_notices_every_bit() {
        let bytes = HEADER.encode();
        assert_eq!(Header::decode(&bytes).unwrap(), HEADER);
        assert_eq!(HEADER.block_bytes(), 64 + 104);
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = bytes;
            if let Some(byte) = damaged.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
            assert!(Header::decode(&damaged).is_err(), "bit {bit}");
        }
    }

    /// A later version may give the reserved bytes a meaning, and must not be misread.
    #[test]
    fn refuses_reserved_bytes_in_use() {
        let mut bytes = HEADER.encode();
        put(&mut bytes, offset::RESERVED + 7, [1]);
        let crc = crc32c::crc32c(&bytes[..offset::HEADER_CRC]);
        put(&mut bytes, offset::HEADER_CRC, crc.to_le_bytes());
        let error = Header::decode(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn refuses_limits_and_chains_that_make_no_sense() {
        let wrong = [
            Header { body_bytes: u32::MAX, ..HEADER },
            Header { raw_bytes: 5 << 20, ..HEADER },
            Header { flags: 8, ..HEADER },
            Header { chain_bytes: 1, ..HEADER },
            Header { flags: FLAG_FIRST, chain_bytes: 200, rows: 1, ..HEADER },
            Header { flags: FLAG_LAST, chain_bytes: 201, rows: 0, ..HEADER },
            Header { flags: FLAG_MIDDLE, chain_offset: u64::MAX, rows: 0, ..HEADER },
            Header { kind: 9, ..HEADER },
            Header { kind: KIND_RECORDS, ..HEADER },
            Header { fingerprint: RECORDS_FINGERPRINT, ..HEADER },
        ];
        for header in wrong {
            assert!(Header::decode(&header.encode()).is_err(), "{header:?}");
        }
    }
}
