//! Taking a name away from one very file: what lets a damaged index be replaced.
//!
//! No system call removes a name only while it is a certain file's: between looking and removing,
//! another attempt may have removed the same damaged file and committed a whole one. So whoever wants
//! a name gone locks the file itself and then looks again. Every remover of that file needs the same
//! lock, so while it is held the name cannot become another file's; and who gets the lock too late
//! finds the name changed. The lock goes with the descriptor: a crash leaves nothing locked.

use std::time::Duration;

use bywash_core::{Error, ErrorKind, Result};

use super::OutputDir;
use crate::session::found;
use crate::store::{Access, Lock, Name, StoreFile};

/// What came of taking a name away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withdrawn {
    /// The file has lost its name.
    Done,
    /// It had lost it before.
    Gone,
    /// Another is about to take it away.
    Busy,
    /// The filesystem has no locks: nothing was done.
    WithoutLock,
}

impl OutputDir {
    /// Opens a file whose name may have to go; `None` when there is none.
    pub(crate) fn open_to_withdraw(&self, name: &Name) -> Result<Option<StoreFile>> {
        // Locks of network filesystems want a file that is open for writing.
        found(self.store.open(&self.dir, name, Access::ReadWrite))
    }

    /// Takes `name` away from `file`, if it still has it. Never waits; needs no memory.
    pub(crate) fn withdraw(&self, name: &Name, file: &StoreFile) -> Result<Withdrawn> {
        match self.store.try_lock(file)? {
            Lock::Acquired => self.withdraw_unlocked(name, file),
            Lock::HeldByAnother => Ok(Withdrawn::Busy),
            Lock::Unsupported => Ok(Withdrawn::WithoutLock),
        }
    }

    /// As [`withdraw`](Self::withdraw) without the lock: the caller knows that nobody else is at it.
    pub(crate) fn withdraw_unlocked(&self, name: &Name, file: &StoreFile) -> Result<Withdrawn> {
        if !self.store.is_linked(file, &self.dir, name)? {
            return Ok(Withdrawn::Gone);
        }
        match found(self.store.remove(&self.dir, name)) {
            Ok(_) => Ok(Withdrawn::Done),
            // A network filesystem may have done it and lost the answer.
            Err(error) => match self.store.is_linked(file, &self.dir, name) {
                Ok(false) => Ok(Withdrawn::Done),
                _ => Err(error),
            },
        }
    }
}

/// Tries again a bounded time while another is taking a name away, which is a matter of two system
/// calls.
#[derive(Debug, Default)]
pub(crate) struct Rounds(u32);

impl Rounds {
    /// Waits a little before the next round.
    ///
    /// # Errors
    /// `Unavailable` when another has taken too long.
    pub(crate) fn wait(&mut self) -> Result<()> {
        std::thread::sleep(PAUSE);
        self.next()
    }

    /// Counts a round.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub(crate) fn next(&mut self) -> Result<()> {
        self.0 += 1;
        if self.0 > ROUNDS_MAX { Err(TAKES_LONG) } else { Ok(()) }
    }
}

const PAUSE: Duration = Duration::from_millis(1);
const ROUNDS_MAX: u32 = 200;
const TAKES_LONG: Error = Error::new(
    ErrorKind::Unavailable,
    "another attempt is removing this map's output and does not get done; retry the task",
);
