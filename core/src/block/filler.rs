//! Filler records: bytes that mean nothing, so that the next block begins where it is wanted.
//!
//! ```text
//! | magic 4 | length 4 | 0 to 48 zeros |
//! ```
//! One may stand wherever a block may begin, and a block follows it. This library writes none yet;
//! its readers skip them, so that a later writer may (docs/FORMAT.md, "Fillers").

#![deny(clippy::indexing_slicing)]

use super::header::BLOCK_ALIGN;
use crate::{Error, Figure, Result};

/// The first four bytes of a filler, "BWFL" in a file.
pub const FILLER_MAGIC: u32 = u32::from_le_bytes(*b"BWFL");
/// Bytes of the smallest filler: magic and length.
pub const FILLER_BYTES_MIN: usize = 8;
/// Bytes of the largest filler: any block of a multiple of 8 can be moved to a multiple of 64.
pub const FILLER_BYTES_MAX: usize = 56;

/// Offsets of a filler's fields.
pub mod filler_offset {
    /// `u32` magic.
    pub const MAGIC: usize = 0;
    /// `u32` bytes of the whole filler.
    pub const LENGTH: usize = MAGIC + 4;
    /// Zeros up to the filler's end.
    pub const ZEROS: usize = LENGTH + 4;
    const _: () = assert!(ZEROS == super::FILLER_BYTES_MIN);
}

/// The length of the filler that begins with these bytes; nothing if a filler does not.
///
/// # Errors
/// `Corrupt` for a length that no filler has.
pub fn filler_bytes(start: [u8; FILLER_BYTES_MIN]) -> Result<Option<usize>> {
    let [m0, m1, m2, m3, l0, l1, l2, l3] = start;
    if u32::from_le_bytes([m0, m1, m2, m3]) != FILLER_MAGIC {
        return Ok(None);
    }
    let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let possible = (FILLER_BYTES_MIN..=FILLER_BYTES_MAX).contains(&len);
    if !possible || !len.is_multiple_of(BLOCK_ALIGN) {
        return Err(
            Error::corrupt("a filler has a length that no filler has").with(Figure::Length, len)
        );
    }
    Ok(Some(len))
}

/// Checks what follows a filler's length, or a part of it.
///
/// # Errors
/// `Corrupt` unless all of it is zero.
pub fn check_filler(zeros: &[u8]) -> Result<()> {
    if zeros.iter().any(|&byte| byte != 0) {
        return Err(Error::corrupt("a filler is not filled with zeros"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(len: u32) -> [u8; 8] {
        let mut bytes = *b"BWFL\0\0\0\0";
        bytes[filler_offset::LENGTH..].copy_from_slice(&len.to_le_bytes());
        bytes
    }

    #[test]
    fn only_whole_lengths_up_to_a_cache_line_are_fillers() {
        for len in 0..200 {
            let expected = (8..=56).contains(&len) && len % 8 == 0;
            let found = filler_bytes(start(len)).ok().flatten();
            assert_eq!(found, expected.then_some(len as usize), "{len}");
        }
        assert!(filler_bytes(start(u32::MAX - 7)).is_err());
        assert_eq!(filler_bytes(*b"BWBK\x08\0\0\0").unwrap(), None);
        assert!(check_filler(&[0; 48]).is_ok());
        assert!(check_filler(&[0, 1]).is_err());
    }
}
