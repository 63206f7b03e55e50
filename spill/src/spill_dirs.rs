//! The spill directories: where a run's file goes, and what it may use.
//!
//! Owns: one session per directory, the quotas, the choice of directory. Does not own: the layout
//! of a run, and starting one again elsewhere after a failure; for that the caller says which
//! directories it has tried.
//!
//! Files have no name where the filesystem allows it, else they lose it at once, unless the caller
//! wants them named. Creating, writing, reading and closing one needs no memory.

mod choice;
mod file;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bywash_core::{Error, ErrorKind, Figure, Result};

use crate::quota::Quota;
use crate::session::Session;
use crate::store::{Name, Store, StoreFile, create_new_or_nothing};
use crate::sweep::{SweepMode, sweep_sessions};
use choice::{Condition, Conditions};

pub use choice::{DirIndex, DirMask};
pub use file::SpillFile;

/// How spill directories are used.
#[derive(Debug, Clone, Copy, Default)]
pub struct SpillOptions {
    /// Whether files keep their name until they are closed, for operators to see. Default: no.
    pub named: bool,
    /// The most bytes in one directory. Default: no limit.
    pub quota_per_dir: Option<u64>,
    /// The most bytes in all directories together. Default: no limit.
    pub quota_total: Option<u64>,
    /// What opening removes of what dead processes left. Default: what is proven dead.
    pub sweep: SweepMode,
}

/// The spill directories of a process.
///
/// A directory that failed or is full is passed over while another one is usable; one that was full
/// is usable again when a file in it has been closed.
#[derive(Debug)]
pub struct SpillDirs {
    store: Arc<dyn Store>,
    dirs: Box<[Dir]>,
    total: Quota,
    named: bool,
    conditions: Conditions,
    dir_next: AtomicUsize,
    file_next: AtomicU64,
}

#[derive(Debug)]
struct Dir {
    /// Its place in the order given to `open`.
    index: DirIndex,
    session: Session,
    quota: Quota,
    /// Whether the filesystem may have unnamed files.
    unnamed: AtomicBool,
}

impl SpillDirs {
    /// Creates what is missing, sweeps each directory and makes a session in it. Set-up: allocates.
    ///
    /// Directories that cannot be used are left out.
    ///
    /// # Errors
    /// `InvalidArgument` for none or more than 64; when no directory is usable an error that names
    /// them all.
    pub fn open(
        store: Arc<dyn Store>,
        dirs: &[PathBuf],
        options: SpillOptions,
    ) -> Result<Arc<Self>> {
        if dirs.is_empty() || dirs.len() > DirMask::DIRS_MAX {
            return Err(Error::invalid("the number of spill directories is 1 to 64")
                .with(Figure::Found, dirs.len()));
        }
        let SpillOptions { named, quota_per_dir, quota_total, sweep } = options;
        let mut usable = Vec::with_capacity(dirs.len());
        let mut refused = Vec::new();
        for (index, path) in DirIndex::all().zip(dirs) {
            let session = store
                .make_dir_all(path)
                .and_then(|()| store.open_dir(path))
                .and_then(|dir| sweep_sessions(&*store, &dir, sweep).map(|_| Arc::new(dir)))
                .and_then(|dir| Session::open(&store, &dir));
            match session {
                Ok(session) => usable.push(Dir {
                    index,
                    session,
                    quota: Quota::new(quota_per_dir),
                    unnamed: AtomicBool::new(!named),
                }),
                Err(error) => refused.push((path, error)),
            }
        }
        if let (true, Some((_, first))) = (usable.is_empty(), refused.first()) {
            let each: Vec<String> = refused
                .iter()
                .map(|(path, error)| format!("{}: {error}", path.display()))
                .collect();
            return Err(Error::new(first.kind(), "no spill directory can be used")
                .with_detail(each.join("; ")));
        }
        Ok(Arc::new(Self {
            store,
            dirs: usable.into_boxed_slice(),
            total: Quota::new(quota_total),
            named,
            conditions: Conditions::default(),
            dir_next: AtomicUsize::new(0),
            file_next: AtomicU64::new(0),
        }))
    }

    /// A new empty file in a directory that is not in `exclude`. Needs no memory.
    ///
    /// # Errors
    /// `Quota` when a quota leaves no room anywhere; the system's error where creating failed in
    /// every directory tried; `Unavailable` when all are excluded (a caller that excluded them
    /// because of an error reports that one).
    pub fn create(self: &Arc<Self>, exclude: DirMask) -> Result<SpillFile> {
        self.total.check_room(TOTAL_FULL)?;
        let mut tried = exclude;
        let mut refused = None;
        let start = self.dir_next.fetch_add(1, Ordering::Relaxed) % self.dirs.len();
        for condition in [Condition::Usable, Condition::Full, Condition::Failing] {
            for at in (start..self.dirs.len()).chain(0..start) {
                let Some(dir) = self.dirs.get(at) else {
                    continue;
                };
                if tried.contains(dir.index) || self.conditions.of(dir.index) != condition {
                    continue;
                }
                tried = tried.with(dir.index);
                let created = dir
                    .quota
                    .check_room(DIR_FULL)
                    .map_err(|error| error.at(dir.session.parent().path()))
                    .and_then(|()| self.create_in(dir));
                match created {
                    Ok(made) => return Ok(SpillFile::new(self, (at, dir.index), made)),
                    Err(error) => {
                        self.conditions.note(dir.index, &error);
                        refused = Some(error);
                    }
                }
            }
        }
        Err(refused.unwrap_or(NONE_LEFT))
    }

    /// Bytes reserved by open files.
    pub fn used_bytes(&self) -> u64 {
        self.total.used()
    }

    /// The directories in use, by their place in the order given to [`SpillDirs::open`].
    pub fn usable(&self) -> impl Iterator<Item = DirIndex> {
        self.dirs.iter().map(|dir| dir.index)
    }

    fn create_in(&self, dir: &Dir) -> Result<(StoreFile, Option<Name>)> {
        if dir.unnamed.load(Ordering::Relaxed) {
            match self.store.create_unnamed(dir.session.dir()) {
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    dir.unnamed.store(false, Ordering::Relaxed);
                }
                created => return created.map(|file| (file, None)),
            }
        }
        let number = self.file_next.fetch_add(1, Ordering::Relaxed);
        let name = Name::format(format_args!("run-{number}"))?;
        let file = create_new_or_nothing(&*self.store, dir.session.dir(), &name)?;
        let file = file.ok_or_else(|| NAME_TAKEN.at(dir.session.dir().path()))?;
        if self.named {
            return Ok((file, Some(name)));
        }
        match self.store.remove(dir.session.dir(), &name) {
            Ok(()) => Ok((file, None)),
            Err(error) => {
                // Once more, since nobody will know of the name; else it is the session's to remove.
                drop(self.store.remove(dir.session.dir(), &name));
                Err(error)
            }
        }
    }
}

const TOTAL_FULL: &str = "the quota of all spill directories is used up; raise it";
const DIR_FULL: &str = "the quota of a spill directory is used up; raise it or add a directory";
const NONE_LEFT: Error =
    Error::new(ErrorKind::Unavailable, "no spill directory is left to try; add one");
const NAME_TAKEN: Error = Error::internal("a file of this session has the name of its next one");
