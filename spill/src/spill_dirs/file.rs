//! One file in a spill directory.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use bywash_core::memory::Reservation;
use bywash_core::{Error, Figure, Result};

use super::dir::Dir;
use super::report::DirCounters;
use super::{DIR_FULL, DirIndex, SpillDirs, TOTAL_FULL};
use crate::store::{Name, StoreFile, read_exact_at, write_all_at};

/// A file of spilled bytes, gone with its quota and what it was charged when dropped.
///
/// Nothing it does needs memory. All calls block on the disk.
#[derive(Debug)]
pub struct SpillFile {
    dirs: Arc<SpillDirs>,
    /// Its place among the usable directories.
    at: usize,
    dir: DirIndex,
    file: StoreFile,
    /// Present while the file has a name in the session's directory.
    name: Option<Name>,
    /// What its pages are charged, where they are memory. Below the file, so that it is given back
    /// only after the file is closed and its pages are free.
    charge: Option<Reservation>,
    /// Its quota, given back after the file is closed and its bytes are gone.
    reserved: Reserved,
}

/// Quota of a directory and of all together.
#[derive(Debug)]
struct Reserved {
    dirs: Arc<SpillDirs>,
    at: usize,
    bytes: u64,
    /// What a failed write gives back was not enough for it.
    write_failed: bool,
}

impl SpillFile {
    pub(super) fn new(
        dirs: &Arc<SpillDirs>,
        (at, dir): (usize, &Dir),
        (file, name): (StoreFile, Option<Name>),
        charge: Option<Reservation>,
    ) -> Self {
        DirCounters::add(&dir.counters.files, 1);
        DirCounters::add(&dir.counters.files_total, 1);
        let (dirs, dir) = (Arc::clone(dirs), dir.index);
        let reserved = Reserved { dirs: Arc::clone(&dirs), at, bytes: 0, write_failed: false };
        Self { dirs, at, dir, file, name, charge, reserved }
    }

    /// Writes all of `bytes` at `offset`, after reserving quota for what makes the file longer, and
    /// memory where its pages are memory.
    ///
    /// # Errors
    /// `Quota` and `MemoryLimit` before anything is written; `NoSpace` or `Io` from the system, when part of the
    /// bytes may have been written. Later files avoid the directory either way.
    pub fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let written =
            self.reserve(bytes.len(), offset).and_then(|()| self.write_reserved(bytes, offset));
        self.reserved.write_failed |= written.is_err();
        written
    }

    /// The directory it is in, for [`DirMask::with`](super::DirMask::with).
    pub const fn dir(&self) -> DirIndex {
        self.dir
    }

    /// Fills `bytes` from `offset`.
    ///
    /// # Errors
    /// `Corrupt` when the file ends before; `Io` from the system.
    pub fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        let read = read_exact_at(&*self.dirs.store, &self.file, bytes, offset);
        if let Some(dir) = self.dirs.dirs.get(self.at) {
            match &read {
                Ok(()) => DirCounters::add(&dir.counters.read_bytes, bytes.len() as u64),
                Err(error) => dir.count(error),
            }
        }
        read
    }

    /// The bytes reserved for it: the furthest end of a write.
    pub const fn reserved_bytes(&self) -> u64 {
        self.reserved.bytes
    }

    fn reserve(&mut self, len: usize, offset: u64) -> Result<()> {
        let end = u64::try_from(len).ok().and_then(|len| offset.checked_add(len));
        let end = end.ok_or_else(|| {
            Error::invalid("a file offset is at most 2^64 - 1").with(Figure::Offset, offset)
        })?;
        let Some(more) = end.checked_sub(self.reserved.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        let Some(dir) = self.dirs.dirs.get(self.at) else {
            return Ok(());
        };
        if let Err(error) = dir.quota.reserve(more, DIR_FULL) {
            self.dirs.note(dir, &error);
            return Err(error.at(self.file.place()));
        }
        if let Err(error) = self.dirs.total.reserve(more, TOTAL_FULL) {
            dir.quota.release(more);
            return Err(error);
        }
        if let Some(charge) = &mut self.charge
            && let Err(error) = dir.pay(charge, end)
        {
            dir.quota.release(more);
            self.dirs.total.release(more);
            self.dirs.note(dir, &error);
            return Err(error);
        }
        self.reserved.bytes = end;
        Ok(())
    }

    fn write_reserved(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = write_all_at(&*self.dirs.store, &self.file, bytes, offset);
        if let Some(dir) = self.dirs.dirs.get(self.at) {
            match &written {
                Ok(()) => DirCounters::add(&dir.counters.written_bytes, bytes.len() as u64),
                Err(error) => self.dirs.note(dir, error),
            }
        }
        written
    }
}

impl AsFd for SpillFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        let Some(dir) = self.dirs.dirs.get(self.at) else {
            return;
        };
        if let Some(name) = &self.name {
            // What cannot be removed goes with the session.
            drop(self.dirs.store.remove(dir.session.dir(), name));
        }
        if let Some(charge) = &self.charge {
            DirCounters::take(&dir.counters.charged_bytes, charge.granted());
        }
        DirCounters::take(&dir.counters.files, 1);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let Some(dir) = self.dirs.dirs.get(self.at) else {
            return;
        };
        dir.quota.release(self.bytes);
        self.dirs.total.release(self.bytes);
        if self.bytes > 0 && !self.write_failed {
            self.dirs.conditions.emptied(dir.index);
        }
    }
}
