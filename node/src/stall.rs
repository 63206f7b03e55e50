//! Time lost for want of memory (PSI), from a `memory.pressure` file.
//!
//! Kernels without PSI, or with it switched off, have no such file or refuse to read it, and some
//! containers may not look: then there is no figure, and that is no error.

use bywash_core::Result;
use rustix::io::Errno;

use crate::source::Source;
use crate::text::{Odd, hundredths, number};

/// How much time tasks waited for memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stall {
    /// At least one task waited: share of the last 10 s, in hundredths of a percent.
    pub some_avg10: u64,
    /// All tasks waited at once: share of the last 10 s, in hundredths of a percent.
    pub full_avg10: u64,
    /// Microseconds since boot in which at least one waited.
    pub some_total_us: u64,
    /// Microseconds since boot in which all waited.
    pub full_total_us: u64,
}

impl Stall {
    /// `None` if the file is not there or not for us to read.
    pub(crate) fn read(source: &Source) -> Result<Option<Self>> {
        let mut stall = Self::default();
        let mut some = false;
        let there = source.lines(|line| {
            let mut words = line.split(|&byte| byte == b' ');
            match words.next() {
                Some(b"some") => {
                    some = true;
                    (stall.some_avg10, stall.some_total_us) = figures(words)?;
                }
                Some(b"full") => (stall.full_avg10, stall.full_total_us) = figures(words)?,
                _ => return Err(Odd("a pressure file has a line that is not some or full")),
            }
            Ok(())
        });
        match there {
            Ok(true) if !some => Err(source.lacks("a pressure file has no line for some")),
            Ok(there) => Ok(there.then_some(stall)),
            Err(error) if error.os_error().is_some_and(is_forbidden) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn is_forbidden(errno: i32) -> bool {
    [Errno::ACCESS, Errno::PERM].iter().any(|e| e.raw_os_error() == errno)
}

fn figures<'a>(words: impl Iterator<Item = &'a [u8]>) -> Result<(u64, u64), Odd> {
    let (mut avg10, mut total) = (None, None);
    for word in words {
        if let Some(value) = word.strip_prefix(b"avg10=") {
            avg10 = Some(hundredths(value)?);
        } else if let Some(value) = word.strip_prefix(b"total=") {
            total = Some(number(value)?);
        }
    }
    avg10.zip(total).ok_or(Odd("a pressure line has no avg10 or no total"))
}
