//! File names held inline, made without memory.
//!
//! A [`Name`] is one path component of at most [`Name::LEN_MAX`] bytes out of `0-9 A-Z a-z . _ -`,
//! never `.` or `..`, with its NUL at hand, so that it goes to the system as it is and can neither
//! leave its directory nor need an allocation on a path that must not make one.

use std::ffi::CStr;
use std::fmt;

use bywash_core::{Error, Result};

/// One file name: at most 63 bytes of `0-9 A-Z a-z . _ -`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// NUL from `len` on.
    bytes: [u8; Self::LEN_MAX + 1],
    len: u8,
}

impl Name {
    /// The longest name in bytes.
    pub const LEN_MAX: usize = 63;

    /// A name from text.
    ///
    /// # Errors
    /// `InvalidArgument` when it is empty, longer than [`Name::LEN_MAX`], `.`, `..` or holds a byte
    /// outside `0-9 A-Z a-z . _ -`.
    pub fn new(text: &str) -> Result<Self> {
        Self::from_bytes(text.as_bytes())
    }

    /// A name from `format_args!`; the formatting is done in place.
    ///
    /// # Errors
    /// As [`Name::new`].
    pub fn format(args: fmt::Arguments<'_>) -> Result<Self> {
        let mut text = Inline { bytes: [0; Self::LEN_MAX], len: 0 };
        if fmt::write(&mut text, args).is_err() {
            return Err(INVALID);
        }
        Self::from_bytes(text.filled())
    }

    /// A name from the bytes of a directory entry or a format.
    ///
    /// # Errors
    /// As [`Name::new`].
    pub fn from_bytes(text: &[u8]) -> Result<Self> {
        Self::parse(text).ok_or(INVALID)
    }

    /// A name known when the program is compiled; a wrong one stops the compilation.
    pub(crate) const fn literal(text: &'static str) -> Self {
        let name = Self::parse(text.as_bytes());
        assert!(name.is_some(), "a literal name is valid");
        match name {
            Some(name) => name,
            None => Self { bytes: [0; Self::LEN_MAX + 1], len: 0 },
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The name as bytes, without its NUL.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// The name as the system takes it.
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or_default()
    }

    const fn parse(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > Self::LEN_MAX || matches!(text, b"." | b"..") {
            return None;
        }
        let mut bytes = [0; Self::LEN_MAX + 1];
        let mut at = 0;
        while at < text.len() {
            if !matches!(text[at], b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'.' | b'_' | b'-') {
                return None;
            }
            bytes[at] = text[at];
            at += 1;
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most 63, checked above")]
        let len = text.len() as u8;
        Some(Self { bytes, len })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Text formatted into the stack; more than fits is an error.
pub(crate) struct Inline<const N: usize> {
    pub(crate) bytes: [u8; N],
    pub(crate) len: usize,
}

impl<const N: usize> Inline<N> {
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl<const N: usize> fmt::Write for Inline<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.len..).ok_or(fmt::Error)?;
        room.get_mut(..text.len()).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

const INVALID: Error =
    Error::invalid("a file name is 1 to 63 bytes of 0-9 A-Z a-z . _ - and not . or ..");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_fits_and_nothing_else() {
        let longest = "x".repeat(Name::LEN_MAX);
        for good in ["a", "...", ".bywash-0", "A_b-9.data", longest.as_str()] {
            let name = Name::new(good).unwrap();
            assert_eq!(name.as_str(), good);
            assert_eq!(name.as_c_str().to_bytes(), good.as_bytes());
            assert_eq!(Name::format(format_args!("{good}")).unwrap(), name);
        }
        let too_long = "x".repeat(Name::LEN_MAX + 1);
        for bad in ["", ".", "..", "a/b", "a b", "a\0", "\u{e4}", too_long.as_str()] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
            assert!(Name::format(format_args!("{bad}")).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn formats_piece_by_piece() {
        let name = Name::format(format_args!("{}.{:04x}.data", 7, 0xab)).unwrap();
        assert_eq!(name.to_string(), "7.00ab.data");
    }
}
