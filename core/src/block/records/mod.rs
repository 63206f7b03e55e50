//! Blocks of opaque records (docs/FORMAT.md, "Records").
//!
//! ```text
//! | width 1 | zeros 3 | length 4 | frame | frame |
//! `---------- prefix ----------'
//! ```
//!
//! The buffers are the records' bytes, one after another, and then their lengths, each in as few
//! bytes as the longest needs: none where all are equal, for then the prefix says the length. A
//! record larger than a block is a chain, whose image is the record.

mod batch;
mod decode;
mod encode;

pub use batch::Records;
pub use decode::RecordDecoder;
pub use encode::RecordEncoder;

use super::header::RAW_BYTES_MAX;

/// Stands where blocks of columns have the fingerprint of their schema: "BWRECORD" in a file.
pub const RECORDS_FINGERPRINT: u64 = u64::from_le_bytes(*b"BWRECORD");
/// Bytes of the prefix.
pub const RECORD_PREFIX_BYTES: usize = 8;
/// The most records of a block.
pub const BLOCK_RECORDS_MAX: usize = RAW_BYTES_MAX / 4;

/// Offsets of the prefix's fields.
pub mod record_prefix_offset {
    /// `u8` bytes of each length in the lengths buffer: 0, 1, 2 or 4.
    pub const WIDTH: usize = 0;
    /// 3 bytes of zeros.
    pub const ZEROS: usize = WIDTH + 1;
    /// `u32` length of every record if the width is 0, else 0.
    pub const LENGTH: usize = ZEROS + 3;
    const _: () = assert!(LENGTH + 4 == super::RECORD_PREFIX_BYTES);
}
