//! Resident memory of this process that could not be dropped: anonymous and shared.
//!
//! Read from `/proc/self/status` through one open file into a fixed buffer, so that looking changes
//! nothing. Kernels before 6.17 may be off by some pages for each core.

use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt;

/// The open file.
#[derive(Debug)]
pub struct Resident {
    status: File,
}

impl Resident {
    /// Opens it.
    ///
    /// # Errors
    /// The system's.
    pub fn open() -> Result<Self> {
        let status = File::open("/proc/self/status")?;
        Ok(Self { status })
    }

    /// `RssAnon` + `RssShmem` in bytes.
    ///
    /// # Errors
    /// The system's, or that it does not say.
    pub fn bytes(&self) -> Result<u64> {
        let mut text = [0; 4096];
        let length = self.status.read_at(&mut text, 0)?;
        let text = text.get(..length).unwrap_or_default();
        let anonymous = field(text, b"RssAnon:");
        let shared = field(text, b"RssShmem:");
        match (anonymous, shared) {
            (Some(anonymous), Some(shared)) => Ok((anonymous + shared) << 10),
            _ => Err(Error::other("/proc/self/status has no RssAnon and RssShmem")),
        }
    }
}

/// A figure in KiB.
fn field(text: &[u8], name: &[u8]) -> Option<u64> {
    let mut lines = text.split(|&byte| byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(name))?;
    let digits = line.trim_ascii().split(|byte| !byte.is_ascii_digit()).next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Gives free heap memory back to the system, so that what set-up freed is no reserve of the library's.
pub fn trim_heap() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "a function of the C library without a safe wrapper")]
    // SAFETY: it takes a number and no pointer, and may be called at any time.
    let _released = unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_memory_that_is_touched() {
        let resident = Resident::open().unwrap();
        let before = resident.bytes().unwrap();
        let touched = vec![1u8; 32 << 20];
        assert!(resident.bytes().unwrap() >= before + (31 << 20));
        drop(touched);
        assert_eq!(field(b"A:\t 1 kB\nRssAnon:\t   12 kB\n", b"RssAnon:"), Some(12));
        assert_eq!(field(b"A:\t 1 kB\n", b"RssAnon:"), None);
    }
}
