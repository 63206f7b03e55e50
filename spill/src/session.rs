//! A process's own sub-directory of a spill or output directory.
//!
//! It holds every file that must have a name while unfinished, and a file `lock` that stays locked
//! as long as the session lives; who obtains that lock knows the session is dead and may remove it.
//!
//! Being born beside a sweep: a sweep removes a directory without `lock` only while it is empty,
//! and one with `lock` only while holding it. So a session exists once its locked file is found
//! still linked; anything else on the way there means a sweep was faster, and another token is
//! tried. Dying: content first, `lock` last, so that what is left by a crash stays sweepable.

use std::sync::Arc;

use bywash_core::{Error, ErrorKind, Result};

use crate::names::{LOCK, Token};
use crate::store::{Lock, Name, Publish, Store, StoreDir, StoreFile};

/// A live session; dropping it removes its directory, as far as the system lets it.
#[derive(Debug)]
pub(crate) struct Session {
    store: Arc<dyn Store>,
    parent: Arc<StoreDir>,
    dir: StoreDir,
    name: Name,
    token: Token,
    /// Closed, and so unlocked, only after the directory is gone.
    lock: StoreFile,
}

impl Session {
    /// Makes a session in `parent`. Set-up: allocates.
    pub(crate) fn open(store: &Arc<dyn Store>, parent: &Arc<StoreDir>) -> Result<Self> {
        for _ in 0..BIRTHS_MAX {
            let token = Token::random()?;
            let name = token.session_name()?;
            if store.make_dir(parent, &name)? == Publish::AlreadyExists {
                continue;
            }
            match Self::lock_new(&**store, parent, &name) {
                Ok(Some((dir, lock))) => {
                    let (store, parent) = (Arc::clone(store), Arc::clone(parent));
                    return Ok(Self { store, parent, dir, name, token, lock });
                }
                Ok(None) => {}
                Err(error) => {
                    // Nothing but an empty directory or its lock can be there yet.
                    drop(abandon(&**store, parent, &name));
                    return Err(error);
                }
            }
        }
        Err(Error::new(
            ErrorKind::Unavailable,
            "a session directory was swept each time it was made",
        )
        .at(parent.path()))
    }

    /// The directory of the session's files.
    pub(crate) const fn dir(&self) -> &StoreDir {
        &self.dir
    }

    /// The directory the session is in.
    pub(crate) fn parent(&self) -> &StoreDir {
        &self.parent
    }

    /// Whether `parent` is the directory it is in, and it was not removed there.
    pub(crate) fn is_in(&self, parent: &StoreDir) -> Result<bool> {
        match found(self.store.open_subdir(parent, &self.name))? {
            Some(dir) => self.store.is_linked(&self.lock, &dir, &LOCK),
            None => Ok(false),
        }
    }

    /// What makes names of this session unique.
    pub(crate) const fn token(&self) -> Token {
        self.token
    }

    /// The open directory and its locked file, or nothing where a sweep was faster.
    fn lock_new(
        store: &dyn Store,
        parent: &StoreDir,
        name: &Name,
    ) -> Result<Option<(StoreDir, StoreFile)>> {
        let Some(dir) = found(store.open_subdir(parent, name))? else {
            return Ok(None);
        };
        let Some(lock) = found(store.create_new(&dir, &LOCK))?.flatten() else {
            return Ok(None);
        };
        if store.try_lock(&lock)? == Lock::HeldByAnother {
            return Ok(None);
        }
        Ok(store.is_linked(&lock, &dir, &LOCK)?.then_some((dir, lock)))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What stays behind is the next sweep's.
        drop(retire(&*self.store, &self.parent, &self.dir, &self.name));
    }
}

/// Removes a dead session: its files, its lock, itself. Returns how many files it held.
///
/// The caller holds its lock, or knows that nobody can.
pub(crate) fn retire(
    store: &dyn Store,
    parent: &StoreDir,
    dir: &StoreDir,
    name: &Name,
) -> Result<u64> {
    let mut files = 0;
    let listed = store.list(dir, &mut |entry| {
        if *entry != LOCK && found(store.remove(dir, entry))?.is_some() {
            files += 1;
        }
        Ok(())
    });
    // A directory that its owner removed meanwhile cannot be listed.
    found(listed)?;
    found(store.remove(dir, &LOCK))?;
    found(store.remove_dir(parent, name))?;
    Ok(files)
}

/// `None` for what is not there.
pub(crate) fn found<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn abandon(store: &dyn Store, parent: &StoreDir, name: &Name) -> Result<()> {
    if let Some(dir) = found(store.open_subdir(parent, name))? {
        found(store.remove(&dir, &LOCK))?;
    }
    found(store.remove_dir(parent, name)).map(drop)
}

/// Losing a race to a sweep this often in a row does not happen by chance.
const BIRTHS_MAX: usize = 16;
