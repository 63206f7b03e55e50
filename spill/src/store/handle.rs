//! What a store hands out: open files and directories by descriptor, and the outcomes that are no
//! errors.
//!
//! A handle is held by value and closes when dropped. It shares the text of its place with the
//! directory it came from, so that an error names it without an allocation.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// An open file.
#[derive(Debug)]
pub struct StoreFile {
    fd: OwnedFd,
    place: Arc<str>,
}

impl StoreFile {
    /// For implementations of [`Store`](super::Store): a descriptor and the place errors name.
    pub const fn new(fd: OwnedFd, place: Arc<str>) -> Self {
        Self { fd, place }
    }

    /// The directory it was made or found in, for errors.
    pub const fn place(&self) -> &Arc<str> {
        &self.place
    }
}

impl AsFd for StoreFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// An open directory.
#[derive(Debug)]
pub struct StoreDir {
    fd: OwnedFd,
    path: Arc<str>,
}

impl StoreDir {
    /// For implementations of [`Store`](super::Store): a descriptor and the path errors name.
    pub const fn new(fd: OwnedFd, path: Arc<str>) -> Self {
        Self { fd, path }
    }

    /// The path it was opened by, for errors only: the descriptor is what is used.
    pub const fn path(&self) -> &Arc<str> {
        &self.path
    }
}

impl AsFd for StoreDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether a name that must be new was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Publish {
    /// The name is there now.
    Done,
    /// Something else has the name; nothing was changed.
    AlreadyExists,
}

/// What an open file may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading, writing and locking (a network filesystem wants it writable for a lock).
    ReadWrite,
}

/// The outcome of asking for a lock without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Lock {
    /// Ours until the file is closed.
    Acquired,
    /// Another open file, of this process or another one, holds it.
    HeldByAnother,
    /// The filesystem has no locks.
    Unsupported,
}
