//! One file on its way into an output directory.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bywash_core::{Error, ErrorKind, Figure, Result};

use super::publish::{Outcome, PublishWay, verified};
use super::{OutputDir, SyncPolicy, Writing};
use crate::store::{Name, Publish, StoreFile, create_new_or_nothing, read_exact_at, write_all_at};

/// A file that is written, published under its name and kept, or leaves nothing.
///
/// Dropped before [`keep`](Self::keep) or [`commit`](Self::commit) it takes its name and quota away
/// again. Nothing it does needs memory. All calls block on the disk.
#[derive(Debug)]
pub struct OutputFile {
    out: Arc<OutputDir>,
    file: StoreFile,
    /// Its name in the session's directory, where it needs one.
    temporary: Option<Name>,
    state: State,
    reserved: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Unpublished,
    Published(Name),
    /// The system failed twice: the name may be there.
    InDoubt(Name),
    Kept,
    /// As in doubt, but the name may be the commit, which is never taken back.
    KeptInDoubt,
}

impl OutputFile {
    pub(super) fn create(out: &Arc<OutputDir>) -> Result<Self> {
        let writing = out.writing()?;
        writing.quota.check_room(FULL).map_err(|error| error.at(out.path()))?;
        let (file, temporary) = create_file(out, writing)?;
        let out = Arc::clone(out);
        Ok(Self { out, file, temporary, state: State::Unpublished, reserved: 0 })
    }

    /// Writes all of `bytes` at `offset`, after reserving quota for what makes the file longer.
    ///
    /// # Errors
    /// `Quota` before anything is written; `NoSpace` or `Io` from the system, when part of the
    /// bytes may have been written.
    pub fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let end = u64::try_from(bytes.len()).ok().and_then(|len| offset.checked_add(len));
        let end = end.ok_or_else(|| {
            Error::invalid("a file offset is at most 2^64 - 1").with(Figure::Offset, offset)
        })?;
        if let Some(more) = end.checked_sub(self.reserved).filter(|more| *more > 0) {
            let quota = &self.out.writing()?.quota;
            quota.reserve(more, FULL).map_err(|error| error.at(self.out.path()))?;
            self.reserved = end;
        }
        write_all_at(&*self.out.store, &self.file, bytes, offset)
    }

    /// Gives the file its name, synced before where the policy says so. Until
    /// [`keep`](Self::keep) the name goes away again with this object.
    ///
    /// # Errors
    /// `InvalidState` when it has been published; those of the system, when the name is not there
    /// (but see [`in_doubt`](Self::in_doubt)).
    pub fn publish(&mut self, name: &Name) -> Result<Publish> {
        let outcome = self.give_name(name);
        match &outcome {
            Outcome::Known(Ok(Publish::Done)) => self.state = State::Published(*name),
            Outcome::Known(_) => {}
            Outcome::InDoubt(_) => self.state = State::InDoubt(*name),
        }
        self.settled(outcome)
    }

    /// Gives the file its name for good: for a file that others act on as soon as they see it.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn commit(&mut self, name: &Name) -> Result<Publish> {
        let outcome = self.give_name(name);
        match &outcome {
            Outcome::Known(Ok(Publish::Done)) => self.state = State::Kept,
            Outcome::Known(_) => {}
            Outcome::InDoubt(_) => self.state = State::KeptInDoubt,
        }
        self.settled(outcome)
    }

    /// Leaves a published file where it is, for good.
    pub fn keep(mut self) {
        if matches!(self.state, State::Published(_) | State::InDoubt(_)) {
            self.state = State::Kept;
        }
    }

    /// Whether the last `publish` or `commit` failed in a way that may have given the name: what
    /// the name stands for must be left whole then.
    pub const fn in_doubt(&self) -> bool {
        matches!(self.state, State::InDoubt(_) | State::KeptInDoubt)
    }

    /// Fills `bytes` from `offset`.
    ///
    /// # Errors
    /// `Corrupt` when the file ends before; `Io` from the system.
    pub fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        read_exact_at(&*self.out.store, &self.file, bytes, offset)
    }

    fn give_name(&self, name: &Name) -> Outcome {
        let writing = match (self.state, self.out.writing()) {
            (State::Unpublished, Ok(writing)) => writing,
            (_, Err(error)) => return Outcome::Known(Err(error)),
            _ => return Outcome::Known(Err(PUBLISHED.at(self.out.path()))),
        };
        let (store, dir) = (&*self.out.store, &*self.out.dir);
        if self.out.sync == SyncPolicy::OnCommit
            && let Err(error) = store.sync_data(&self.file)
        {
            return Outcome::Known(Err(error));
        }
        let from = writing.session.dir();
        let reported = match (&self.temporary, writing.way) {
            (None, _) => store.link_unnamed(&self.file, dir, name),
            (Some(temporary), PublishWay::HardLink) => store.hard_link(from, temporary, dir, name),
            (Some(temporary), _) => store.rename_noreplace(from, temporary, dir, name),
        };
        verified(reported, || store.is_linked(&self.file, dir, name))
    }

    /// Takes the temporary name away from a file that has its own, and hands the outcome on.
    fn settled(&mut self, outcome: Outcome) -> Result<Publish> {
        let outcome = match outcome {
            Outcome::Known(outcome) => outcome,
            Outcome::InDoubt(error) => Err(error),
        };
        if matches!(outcome, Ok(Publish::Done))
            && let (Some(temporary), Some(writing)) = (&self.temporary, &self.out.writing)
        {
            let gone = match writing.way {
                PublishWay::HardLink => {
                    self.out.store.remove(writing.session.dir(), temporary).is_ok()
                }
                _ => true,
            };
            // A failure is no reason to take a whole file back; it is tried again at the end.
            if gone {
                self.temporary = None;
            }
        }
        outcome
    }
}

impl AsFd for OutputFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        let Some(writing) = &self.out.writing else {
            return;
        };
        let (store, dir) = (&*self.out.store, &*self.out.dir);
        // What cannot be removed here is left to the session's end or the next sweep.
        if let Some(temporary) = &self.temporary {
            drop(store.remove(writing.session.dir(), temporary));
        }
        match &self.state {
            // While unwinding nobody knows whether an index names it already: the sweep finds out.
            State::Published(_) | State::InDoubt(_) if std::thread::panicking() => return,
            State::Published(name) => {
                drop(store.remove(dir, name));
            }
            State::InDoubt(name) => {
                if let Ok(true) = store.is_linked(&self.file, dir, name) {
                    drop(store.remove(dir, name));
                }
            }
            State::Unpublished => {}
            State::Kept | State::KeptInDoubt => return,
        }
        writing.quota.release(self.reserved);
    }
}

fn create_file(out: &OutputDir, writing: &Writing) -> Result<(StoreFile, Option<Name>)> {
    if writing.way == PublishWay::LinkUnnamed {
        return out.store.create_unnamed(&out.dir).map(|file| (file, None));
    }
    let number = writing.file_next.fetch_add(1, Ordering::Relaxed);
    let name = Name::format(format_args!("out-{number}"))?;
    let file = create_new_or_nothing(&*out.store, writing.session.dir(), &name)?;
    let file = file.ok_or_else(|| NAME_TAKEN.at(writing.session.dir().path()))?;
    Ok((file, Some(name)))
}

const FULL: &str = "the quota of the output directory is used up; raise it";
const PUBLISHED: Error =
    Error::new(ErrorKind::InvalidState, "a file is published once; write another one");
const NAME_TAKEN: Error = Error::internal("a file of this session has the name of its next one");
