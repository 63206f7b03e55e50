//! The spill directories: where a run's file goes, and what it may use.
//!
//! Owns: one session per directory, the quotas, the choice of directory, and that what is written
//! to one in memory is refused or paid for. Does not own: the layout
//! of a run, and starting one again elsewhere after a failure; for that the caller says which
//! directories it has tried.
//!
//! Files have no name where the filesystem allows it, else they lose it at once, unless the caller
//! wants them named. Creating, writing, reading and closing one needs no memory.

mod choice;
mod dir;
mod file;
mod options;
mod report;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bywash_core::{Error, ErrorKind, Figure, Result};

use crate::quota::Quota;
use crate::store::{Name, Store, StoreFile, create_new_or_nothing};
use choice::Conditions;
use dir::Dir;

pub use choice::{DirCondition, DirIndex, DirMask};
pub use dir::check_disk_backed;
pub use file::SpillFile;
pub use options::{MemoryBacked, SpillOptions};
pub use report::{DirReport, UnusedDir};

/// The spill directories of a process.
///
/// A directory that failed or is full is passed over while another one is usable, and one in memory
/// while one on a disk is; one that was full is usable again when a file in it has been closed.
#[derive(Debug)]
pub struct SpillDirs {
    store: Arc<dyn Store>,
    dirs: Box<[Dir]>,
    unused: Box<[UnusedDir]>,
    total: Quota,
    named: bool,
    conditions: Conditions,
    dir_next: AtomicUsize,
    file_next: AtomicU64,
}

impl SpillDirs {
    /// Creates what is missing, finds out what each directory is on, sweeps it and makes a session
    /// in it. Set-up: allocates.
    ///
    /// Directories that cannot be used, or are in memory and refused, are left out:
    /// [`SpillDirs::unused`] says why. What a directory is on is asked of the open directory, which
    /// stays open: neither links nor later mounts change it.
    ///
    /// # Errors
    /// `InvalidArgument` for none or more than 64; when no directory is usable an error that names
    /// them all.
    #[expect(clippy::needless_pass_by_value, reason = "a consumer in the options is handed over")]
    pub fn open(
        store: Arc<dyn Store>,
        dirs: &[PathBuf],
        options: SpillOptions,
    ) -> Result<Arc<Self>> {
        if dirs.is_empty() || dirs.len() > DirMask::DIRS_MAX {
            return Err(Error::invalid("the number of spill directories is 1 to 64")
                .with(Figure::Found, dirs.len()));
        }
        let mut usable = Vec::with_capacity(dirs.len());
        let mut unused = Vec::new();
        for (index, path) in DirIndex::all().zip(dirs) {
            match Dir::open(&store, index, path, &options) {
                Ok(dir) => usable.push(dir),
                Err(error) => unused.push(UnusedDir { path: path.clone(), error }),
            }
        }
        if let (true, Some(first)) = (usable.is_empty(), unused.first()) {
            let each: Vec<String> = unused
                .iter()
                .map(|UnusedDir { path, error }| format!("{}: {error}", path.display()))
                .collect();
            return Err(Error::new(first.error.kind(), "no spill directory can be used")
                .with_detail(each.join("; ")));
        }
        Ok(Arc::new(Self {
            store,
            dirs: usable.into_boxed_slice(),
            unused: unused.into_boxed_slice(),
            total: Quota::new(options.quota_total),
            named: options.named,
            conditions: Conditions::default(),
            dir_next: AtomicUsize::new(0),
            file_next: AtomicU64::new(0),
        }))
    }

    /// A new empty file in a directory that is not in `exclude`. Needs no memory.
    ///
    /// # Errors
    /// `Quota` when a quota leaves no room anywhere; `MemoryLimit` from a directory in memory; the system's error where creating failed in
    /// every directory tried; `Unavailable` when all are excluded (a caller that excluded them
    /// because of an error reports that one).
    pub fn create(self: &Arc<Self>, exclude: DirMask) -> Result<SpillFile> {
        self.total.check_room(TOTAL_FULL)?;
        let mut tried = exclude;
        let mut refused = None;
        let start = self.dir_next.fetch_add(1, Ordering::Relaxed) % self.dirs.len();
        for (condition, in_memory) in PREFERENCE {
            for at in (start..self.dirs.len()).chain(0..start) {
                let Some(dir) = self.dirs.get(at) else {
                    continue;
                };
                let wanted = (condition, in_memory) == (self.condition(dir), dir.is_in_memory());
                if tried.contains(dir.index) || !wanted {
                    continue;
                }
                tried = tried.with(dir.index);
                let created = dir
                    .quota
                    .check_room(DIR_FULL)
                    .map_err(|error| error.at(dir.session.parent().path()))
                    .and_then(|()| Ok((dir.charge()?, self.create_in(dir)?)));
                match created {
                    Ok((charge, made)) => {
                        return Ok(SpillFile::new(self, (at, dir), made, charge));
                    }
                    Err(error) => {
                        self.note(dir, &error);
                        refused = Some(error);
                    }
                }
            }
        }
        Err(refused.unwrap_or(NONE_LEFT))
    }

    /// Moves the quota of all directories together; `None` is no limit. Below what is used, new
    /// bytes are refused until enough files are gone; what is there stays.
    pub fn set_quota_total(&self, bytes: Option<u64>) {
        self.total.set_limit(bytes);
    }

    /// Moves the quota of one directory, as [`SpillDirs::set_quota_total`] does that of all.
    ///
    /// # Errors
    /// `InvalidArgument` for a directory that is not in use.
    pub fn set_quota_per_dir(&self, dir: DirIndex, bytes: Option<u64>) -> Result<()> {
        let found = self.dirs.iter().find(|found| found.index == dir);
        let found = found.ok_or_else(|| NOT_IN_USE.with(Figure::Dir, dir.get()))?;
        found.quota.set_limit(bytes);
        // There may be room now; if not, the next write says so.
        self.conditions.emptied(dir);
        Ok(())
    }

    /// Bytes reserved by open files.
    pub fn used_bytes(&self) -> u64 {
        self.total.used()
    }

    /// The most bytes that open files had reserved at one moment since the directories were opened.
    pub fn peak_used_bytes(&self) -> u64 {
        self.total.peak()
    }

    /// The quota of all directories together.
    pub fn quota_total(&self) -> Option<u64> {
        self.total.limit()
    }

    /// The directories in use, by their place in the order given to [`SpillDirs::open`].
    pub fn usable(&self) -> impl Iterator<Item = DirIndex> {
        self.dirs.iter().map(|dir| dir.index)
    }

    /// Each directory in use, with its figures. Allocates.
    pub fn dirs(&self) -> Vec<DirReport> {
        self.dirs.iter().map(|dir| dir.report(self.condition(dir))).collect()
    }

    /// The directories that were given and are not used, and why.
    pub fn unused(&self) -> &[UnusedDir] {
        &self.unused
    }

    fn condition(&self, dir: &Dir) -> DirCondition {
        self.conditions.of(dir.index)
    }

    /// Remembers and counts what an error says about a directory.
    fn note(&self, dir: &Dir, error: &Error) {
        self.conditions.note(dir.index, error);
        dir.count(error);
    }

    fn create_in(&self, dir: &Dir) -> Result<(StoreFile, Option<Name>)> {
        if dir.makes_unnamed() {
            match self.store.create_unnamed(dir.session.dir()) {
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    dir.makes_no_unnamed();
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

/// Which directories are tried first: sound ones, and of those the ones on a disk.
const PREFERENCE: [(DirCondition, bool); 6] = [
    (DirCondition::Usable, false),
    (DirCondition::Usable, true),
    (DirCondition::Full, false),
    (DirCondition::Full, true),
    (DirCondition::Failing, false),
    (DirCondition::Failing, true),
];

const TOTAL_FULL: &str = "the quota of all spill directories is used up; raise it";
const DIR_FULL: &str = "the quota of a spill directory is used up; raise it or add a directory";
const NONE_LEFT: Error =
    Error::new(ErrorKind::Unavailable, "no spill directory is left to try; add one");
const NOT_IN_USE: Error = Error::invalid("this spill directory is not in use; see the unused ones");
const NAME_TAKEN: Error = Error::internal("a file of this session has the name of its next one");
