//! Removing what dead processes left behind, beside live ones.
//!
//! Proof of death is the session's lock: obtained (through an open file of our own, so that a
//! session of this very process counts as live too), or its directory gone. A data file is removed
//! only after its session is proven dead and, looked up after that, no index names it: a session
//! commits before it ends, so no index can appear later. Tokens are never used again.

use bywash_core::{ErrorKind, Result};

use crate::names::{DataName, LOCK, Token, index_name};
use crate::session::{found, retire};
use crate::store::{Access, Lock, Name, Store, StoreDir};

/// What opening a directory removes of what dead processes left there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SweepMode {
    /// Nothing.
    Off,
    /// What is proven dead by its lock; nothing on a filesystem without locks.
    #[default]
    Locked,
    /// On a filesystem without locks everything unfinished, the files of live processes included;
    /// elsewhere as `Locked`, and sessions that lost their lock file. The caller knows that nobody
    /// else uses the directory.
    Forced,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SweepReport {
    /// Session directories removed.
    pub sessions: u64,
    /// Files removed.
    pub files: u64,
    /// Sessions of live processes, left alone.
    pub live: u64,
    /// Sessions left alone because the filesystem has no locks.
    pub without_lock: u64,
    /// Things that could not be removed.
    pub failed: u64,
}

/// The data file that an index names.
///
/// `None` or a `NotFound` error: there is no index. Any other error: an index that cannot be read,
/// and every data file of its map is kept.
pub type IndexNames = fn(&dyn Store, &StoreDir, &Name) -> Result<Option<Name>>;

/// Removes the sessions of dead processes in `dir`.
///
/// # Errors
/// Only when `dir` cannot be listed; what cannot be removed is counted.
pub fn sweep_sessions(store: &dyn Store, dir: &StoreDir, mode: SweepMode) -> Result<SweepReport> {
    let mut report = SweepReport::default();
    if mode == SweepMode::Off {
        return Ok(report);
    }
    store.list(dir, &mut |name| {
        if Token::of_session(name).is_some() {
            match sweep_session(store, dir, name, mode) {
                Ok(Some((Life::Dead, files))) => {
                    report.sessions += 1;
                    report.files += files;
                }
                Ok(Some((Life::Live, _))) => report.live += 1,
                Ok(Some((Life::Unknown, _))) => report.without_lock += 1,
                Ok(None) => {}
                Err(_) => report.failed += 1,
            }
        }
        Ok(())
    })?;
    Ok(report)
}

/// Removes from an output directory the sessions of dead processes and the data files that they
/// never committed.
///
/// # Errors
/// Only when `dir` cannot be listed; what cannot be removed is counted.
pub fn sweep_outputs(
    store: &dyn Store,
    dir: &StoreDir,
    mode: SweepMode,
    index_names: IndexNames,
) -> Result<SweepReport> {
    let mut report = sweep_sessions(store, dir, mode)?;
    if mode == SweepMode::Off {
        return Ok(report);
    }
    // The files of one session often follow each other.
    let mut last: Option<(Token, bool)> = None;
    store.list(dir, &mut |name| {
        let Some(data) = DataName::parse(name) else {
            return Ok(());
        };
        let dead = match last {
            Some((token, dead)) if token == data.token => Ok(dead),
            _ => is_dead(store, dir, data.token, mode),
        };
        last = dead.as_ref().ok().map(|dead| (data.token, *dead));
        match dead.and_then(|dead| Ok(dead && is_orphan(store, dir, name, data, index_names)?)) {
            Ok(false) => {}
            Ok(true) => match found(store.remove(dir, name)) {
                Ok(removed) => report.files += u64::from(removed.is_some()),
                Err(_) => report.failed += 1,
            },
            Err(_) => report.failed += 1,
        }
        Ok(())
    })?;
    Ok(report)
}

/// What is known of a session's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Dead,
    Live,
    /// The filesystem has no locks.
    Unknown,
}

/// Removes one session if it is dead; `None` when someone else removed it meanwhile.
fn sweep_session(
    store: &dyn Store,
    parent: &StoreDir,
    name: &Name,
    mode: SweepMode,
) -> Result<Option<(Life, u64)>> {
    let Some(dir) = found(store.open_subdir(parent, name))? else {
        return Ok(None);
    };
    let mut lock = None;
    let mut refused = None;
    // Its owner may make and remove the lock between two looks: look again, a bounded time.
    for _ in 0..LOOKS_MAX {
        lock = found(store.open(&dir, &LOCK, Access::ReadWrite))?;
        if lock.is_some() {
            break;
        }
        // Not yet locked, or half retired: both are empty, and only an empty one is removed.
        match found(store.remove_dir(parent, name)) {
            Ok(removed) => return Ok(removed.map(|()| (Life::Dead, 0))),
            Err(error) if error.os_error() == Some(NOT_EMPTY) => refused = Some(error),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    if let (None, Some(error)) = (&lock, refused)
        && mode != SweepMode::Forced
    {
        return Err(error);
    }
    // Held until the session is gone.
    let life = match &lock {
        Some(lock) => life_of(store.try_lock(lock)?, mode),
        None => Life::Dead,
    };
    let files = if life == Life::Dead { retire(store, parent, &dir, name)? } else { 0 };
    Ok(Some((life, files)))
}

/// Whether the process that wrote files with this token can do nothing more.
fn is_dead(store: &dyn Store, parent: &StoreDir, token: Token, mode: SweepMode) -> Result<bool> {
    let Some(dir) = found(store.open_subdir(parent, &token.session_name()?))? else {
        return Ok(true);
    };
    match found(store.open(&dir, &LOCK, Access::ReadWrite))? {
        Some(lock) => Ok(life_of(store.try_lock(&lock)?, mode) == Life::Dead),
        None => Ok(mode == SweepMode::Forced),
    }
}

const fn life_of(lock: Lock, mode: SweepMode) -> Life {
    match lock {
        Lock::Acquired => Life::Dead,
        Lock::HeldByAnother => Life::Live,
        Lock::Unsupported if matches!(mode, SweepMode::Forced) => Life::Dead,
        Lock::Unsupported => Life::Unknown,
    }
}

/// Whether no index names the data file of a dead session.
fn is_orphan(
    store: &dyn Store,
    dir: &StoreDir,
    name: &Name,
    data: DataName,
    index_names: IndexNames,
) -> Result<bool> {
    match index_names(store, dir, &index_name(data.map)?) {
        Ok(named) => Ok(named != Some(*name)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        // An index we cannot read may be a newer version's, and whole.
        Err(_) => Ok(false),
    }
}

/// Looks at a session that is neither locked nor empty before it counts as one that cannot be removed.
const LOOKS_MAX: usize = 4;
const NOT_EMPTY: i32 = rustix::io::Errno::NOTEMPTY.raw_os_error();
