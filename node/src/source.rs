//! Reading small system files without growing memory: one buffer on the stack, line by line.
//!
//! A [`Source`] is found once, with the text that errors name it by; reading it later opens it
//! relative to its directory and allocates nothing, also when it fails. A file that is not there is
//! no error here: which figures a kernel gives differs by version and setup.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use bywash_core::{Error, ErrorKind, Result};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use crate::text::Odd;

/// An open directory of system files.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: Arc<str>,
}

/// One file in a [`Dir`], which may be absent.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    dir: Arc<Dir>,
    name: &'static CStr,
    place: Arc<str>,
}

/// What becomes of a line that the buffer does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LongLine {
    /// It is an error.
    Refused,
    /// It is passed over: it cannot be one of those looked for.
    Skipped,
}

impl Dir {
    /// Opens the directory at `path`.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>> {
        let text: Arc<str> = Arc::from(path.to_string_lossy());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty())) {
            Ok(fd) => Ok(Arc::new(Self { fd, path: text })),
            Err(errno) => {
                Err(failed("a directory of system files cannot be opened", errno).at(&text))
            }
        }
    }

    /// Opens a directory at `path`; `None` where there is none.
    pub(crate) fn open_if_there(path: &Path) -> Result<Option<Arc<Self>>> {
        match Self::open(path) {
            Ok(dir) => Ok(Some(dir)),
            Err(error) if error.os_error().is_some_and(is_absent) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file `name`, a path relative to this directory.
    pub(crate) fn source(self: &Arc<Self>, name: &'static CStr) -> Source {
        let place = format!("{}/{}", self.path.trim_end_matches('/'), name.to_string_lossy());
        Source { dir: Arc::clone(self), name, place: Arc::from(place) }
    }
}

impl Source {
    /// Whether the file can be opened.
    pub(crate) fn exists(&self) -> Result<bool> {
        Ok(self.open()?.is_some())
    }

    /// Calls `visit` with each line; `false` if there is no such file.
    ///
    /// # Errors
    /// `Corrupt` naming the file for what `visit` finds odd, for a line above 16 KiB, a file above
    /// 16 MiB; `Io` for what the system answers.
    pub(crate) fn lines(&self, visit: impl FnMut(&[u8]) -> Result<(), Odd>) -> Result<bool> {
        self.lines_with(LongLine::Refused, visit)
    }

    /// As [`Source::lines`], with a choice about long ones.
    pub(crate) fn lines_with(
        &self,
        long: LongLine,
        visit: impl FnMut(&[u8]) -> Result<(), Odd>,
    ) -> Result<bool> {
        let Some(fd) = self.open()? else {
            return Ok(false);
        };
        let mut buffer = [0; BUFFER_BYTES];
        let read = |room: &mut [u8]| retry_on_intr(|| rustix::io::read(&fd, &mut *room));
        match split(&mut buffer, read, long, visit) {
            Ok(()) => Ok(true),
            Err(Fault::System(errno)) if is_absent(errno.raw_os_error()) => Ok(false),
            Err(Fault::System(errno)) => {
                Err(failed("a system file cannot be read", errno).at(&self.place))
            }
            Err(Fault::Odd(Odd(message))) => Err(Error::corrupt(message).at(&self.place)),
        }
    }

    /// The one line of a file with one value; `None` if there is no such file.
    pub(crate) fn value<T>(&self, parse: impl Fn(&[u8]) -> Result<T, Odd>) -> Result<Option<T>> {
        let mut found = None;
        let there = self.lines(|line| {
            if found.is_some() {
                return Err(Odd("a file of one value has more lines"));
            }
            found = Some(parse(line)?);
            Ok(())
        })?;
        match found {
            None if there => Err(Error::corrupt("a file of one value is empty").at(&self.place)),
            found => Ok(found),
        }
    }

    /// An error about a line that should be in this file.
    #[cold]
    pub(crate) fn lacks(&self, message: &'static str) -> Error {
        Error::corrupt(message).at(&self.place)
    }

    fn open(&self) -> Result<Option<OwnedFd>> {
        // Not blocking: what stands under a test's root may be a pipe.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        match retry_on_intr(|| rustix::fs::openat(&self.dir.fd, self.name, flags, Mode::empty())) {
            Ok(fd) => Ok(Some(fd)),
            Err(errno) if is_absent(errno.raw_os_error()) => Ok(None),
            Err(errno) => Err(failed("a system file cannot be opened", errno).at(&self.place)),
        }
    }
}

enum Fault {
    System(Errno),
    Odd(Odd),
}

/// Cuts what `read` gives into lines within `buffer`.
fn split(
    buffer: &mut [u8],
    mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
    long: LongLine,
    mut visit: impl FnMut(&[u8]) -> Result<(), Odd>,
) -> Result<(), Fault> {
    let (mut filled, mut total, mut skipping) = (0, 0usize, false);
    loop {
        let room = buffer.get_mut(filled..).unwrap_or_default();
        let count = read(room).map_err(Fault::System)?.min(room.len());
        if count == 0 {
            break;
        }
        total = total.saturating_add(count);
        if total > FILE_BYTES_MAX {
            return Err(Fault::Odd(Odd("a system file is above 16 MiB")));
        }
        filled += count;
        let mut start = 0;
        while let Some(rest) = buffer.get(start..filled) {
            let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
                break;
            };
            let (line, _) = rest.split_at(end);
            if !std::mem::take(&mut skipping) {
                visit(line).map_err(Fault::Odd)?;
            }
            start += end + 1;
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
        if filled == buffer.len() {
            if long == LongLine::Refused {
                return Err(Fault::Odd(Odd("a line is above 16 KiB")));
            }
            skipping = true;
            filled = 0;
        }
    }
    match buffer.get(..filled) {
        Some(last) if filled > 0 && !skipping => visit(last).map_err(Fault::Odd),
        _ => Ok(()),
    }
}

/// Not there, or switched off in this kernel (pressure files answer so).
fn is_absent(errno: i32) -> bool {
    [Errno::NOENT, Errno::NOTDIR, Errno::OPNOTSUPP].iter().any(|e| e.raw_os_error() == errno)
}

#[cold]
fn failed(message: &'static str, errno: Errno) -> Error {
    Error::new(ErrorKind::Io, message).with_os_error(errno.raw_os_error())
}

const BUFFER_BYTES: usize = 16 << 10;
const FILE_BYTES_MAX: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines_of(text: &[u8], buffer: usize, step: usize) -> Result<Vec<Vec<u8>>, ()> {
        let (mut buffer, mut rest, mut found) = (vec![0; buffer], text, Vec::new());
        let read = |room: &mut [u8]| {
            let (now, later) = rest.split_at(step.min(room.len()).min(rest.len()));
            room[..now.len()].copy_from_slice(now);
            rest = later;
            Ok(now.len())
        };
        let visit = |line: &[u8]| {
            found.push(line.to_vec());
            Ok(())
        };
        split(&mut buffer, read, LongLine::Skipped, visit).map_err(|_| ())?;
        Ok(found)
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_text_that_fit(
            words in proptest::collection::vec("[a-c]{0,12}", 0..20),
            ends in any::<bool>(),
            buffer in 1usize..16,
            step in 1usize..8,
        ) {
            let mut text = words.join("\n");
            if ends && !text.is_empty() {
                text.push('\n');
            }
            // A line fits if it and the byte that ends it do; the last needs none.
            let mut naive: Vec<_> = text.split('\n').map(str::as_bytes).collect();
            let last = naive.pop().unwrap_or_default();
            let mut naive: Vec<_> = naive.into_iter().filter(|l| l.len() < buffer).collect();
            if !last.is_empty() && last.len() < buffer {
                naive.push(last);
            }
            prop_assert_eq!(lines_of(text.as_bytes(), buffer, step).unwrap(), naive);
        }
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let mut buffer = [0; 64];
        let endless = |room: &mut [u8]| Ok(room.len());
        let outcome = split(&mut buffer, endless, LongLine::Skipped, |_| Ok(()));
        assert!(matches!(outcome, Err(Fault::Odd(_))));
    }
}
