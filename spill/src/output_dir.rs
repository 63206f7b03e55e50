//! The directory of map outputs: files that appear whole, under a name that was free.
//!
//! Owns: the session for what is unfinished, the way a finished file gets its name, the quota and
//! the sync policy. Does not own: what the files hold, nor the order of a commit.
//!
//! A file gets its name by linking an unnamed file, else by a rename that never replaces, else by a
//! second link to a file of the session; which of them works is found out at opening. After opening
//! nothing here needs memory.

mod file;
mod publish;
mod withdraw;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bywash_core::{AttemptId, Error, ErrorKind, MapId, Result};
use bywash_node::Filesystem;

use crate::map_output::data_file_named_by;
use crate::names::DataName;
use crate::quota::Quota;
use crate::session::{Session, found};
use crate::store::{Access, Name, Store, StoreDir, StoreFile};
use crate::sweep::{IndexNames, SweepMode, sweep_outputs};
use publish::PublishWay;

pub use file::OutputFile;
pub(crate) use withdraw::{Rounds, Withdrawn};

/// When map outputs are synced to their disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// The system writes them when it likes: after a power cut outputs may be missing or torn
    /// (their checksums say so). Shuffle data is seldom worth more.
    #[default]
    Never,
    /// Each file before it gets its name, the directory when asked.
    OnCommit,
}

/// How an output directory is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutputOptions {
    /// When files are synced. Default: never; then a power cut may leave a torn index, which the
    /// next attempt of its map replaces.
    pub sync: SyncPolicy,
    /// The most bytes written through this object and kept. Default: no limit.
    pub quota: Option<u64>,
    /// What opening removes of what dead processes left. Default: what is proven dead.
    pub sweep: SweepMode,
}

/// A directory of map outputs.
#[derive(Debug)]
pub struct OutputDir {
    store: Arc<dyn Store>,
    dir: Arc<StoreDir>,
    sync: SyncPolicy,
    /// Absent in a directory opened for reading.
    writing: Option<Writing>,
}

#[derive(Debug)]
struct Writing {
    session: Session,
    way: PublishWay,
    quota: Quota,
    file_next: AtomicU64,
}

impl OutputDir {
    /// Creates the directory if it is missing, sweeps it, makes a session in it and finds out how
    /// files get their names. Set-up: allocates.
    ///
    /// # Errors
    /// `Unsupported` for a filesystem that can give a name in no way that never replaces.
    pub fn open(store: Arc<dyn Store>, path: &Path, options: OutputOptions) -> Result<Arc<Self>> {
        Self::open_with_indexes(store, path, options, data_file_named_by)
    }

    /// As [`OutputDir::open`], for a directory whose indexes are not in our own layout:
    /// `index_names` says which data file one names, so that the sweep keeps it.
    ///
    /// # Errors
    /// As [`OutputDir::open`].
    pub fn open_with_indexes(
        store: Arc<dyn Store>,
        path: &Path,
        options: OutputOptions,
        index_names: IndexNames,
    ) -> Result<Arc<Self>> {
        let OutputOptions { sync, quota, sweep } = options;
        store.make_dir_all(path)?;
        let dir = Arc::new(store.open_dir(path)?);
        sweep_outputs(&*store, &dir, sweep, index_names)?;
        let session = Session::open(&store, &dir)?;
        let way = PublishWay::probe(&*store, &session)?;
        let quota = Quota::new(quota);
        let writing = Writing { session, way, quota, file_next: AtomicU64::new(0) };
        Ok(Arc::new(Self { store, dir, sync, writing: Some(writing) }))
    }

    /// Whether it is still what `path` leads to, with its session in it: not removed, nor another
    /// directory of that name. Always false for one opened for reading.
    pub(crate) fn is_in_place(&self, path: &Path) -> Result<bool> {
        let Some(writing) = &self.writing else {
            return Ok(false);
        };
        match found(self.store.open_dir(path))? {
            Some(dir) => writing.session.is_in(&dir),
            None => Ok(false),
        }
    }

    /// Opens a directory to read from: nothing in it is changed. Set-up: allocates.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub fn open_existing(store: Arc<dyn Store>, path: &Path) -> Result<Arc<Self>> {
        Self::open_existing_to_remove(store, path, SyncPolicy::Never)
    }

    /// As [`OutputDir::open_existing`], to [remove outputs](Self::remove_output): `sync` says whether their end
    /// is made to last.
    ///
    /// # Errors
    /// As [`OutputDir::open_existing`].
    pub fn open_existing_to_remove(
        store: Arc<dyn Store>,
        path: &Path,
        sync: SyncPolicy,
    ) -> Result<Arc<Self>> {
        let dir = Arc::new(store.open_dir(path)?);
        Ok(Arc::new(Self { store, dir, sync, writing: None }))
    }

    /// A new empty file, without a name in the directory.
    ///
    /// # Errors
    /// `InvalidState` in a directory opened for reading; `Quota` when nothing is left of it.
    pub fn create(self: &Arc<Self>) -> Result<OutputFile> {
        OutputFile::create(self)
    }

    /// The name of an attempt's data file, unique to this object.
    ///
    /// # Errors
    /// `InvalidState` in a directory opened for reading.
    pub fn data_name(&self, map: MapId, attempt: AttemptId) -> Result<Name> {
        DataName { map, attempt, token: self.writing()?.session.token() }.name()
    }

    /// Opens a file for reading; `NotFound` when there is none.
    pub fn open_read(&self, name: &Name) -> Result<StoreFile> {
        self.store.open(&self.dir, name, Access::Read)
    }

    /// Whether there is a file of that name.
    pub fn exists(&self, name: &Name) -> Result<bool> {
        found(self.open_read(name)).map(|file| file.is_some())
    }

    /// Removes a file; `NotFound` when there is none. Quota comes back only with an [`OutputFile`].
    pub fn remove(&self, name: &Name) -> Result<()> {
        self.store.remove(&self.dir, name)
    }

    /// Gives back the quota of a file that is gone, if it was made through this object.
    pub(crate) fn give_back(&self, data: &Name, bytes: u64) {
        if let Some(writing) = &self.writing
            && DataName::parse(data).is_some_and(|name| name.token == writing.session.token())
        {
            writing.quota.release(bytes);
        }
    }

    /// Waits until the names in the directory are on its disk, where the policy asks for that.
    pub fn sync(&self) -> Result<()> {
        match self.sync {
            SyncPolicy::OnCommit => self.store.sync_dir(&self.dir),
            SyncPolicy::Never => Ok(()),
        }
    }

    /// The store it was opened with.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// What it is on, as the open directory tells it. Reads a few small files and allocates.
    ///
    /// # Errors
    /// `Io` when the system does not say.
    pub fn filesystem(&self) -> Result<Filesystem> {
        self.store.filesystem(&self.dir)
    }

    /// The path it was opened by, for errors.
    pub fn path(&self) -> &Arc<str> {
        self.dir.path()
    }

    fn writing(&self) -> Result<&Writing> {
        self.writing.as_ref().ok_or_else(|| READ_ONLY.at(self.dir.path()))
    }
}

const READ_ONLY: Error = Error::new(
    ErrorKind::InvalidState,
    "the output directory was opened for reading; open it for writing",
);
