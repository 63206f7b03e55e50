//! One spill directory: its session, what it is on, what it may use and what it has done.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bywash_core::memory::{Consumer, Reservation};
use bywash_core::{Error, ErrorKind, Result};
use bywash_node::Filesystem;

use super::options::no_memory;
use super::report::{DirCounters, DirReport};
use super::{DirCondition, DirIndex, MemoryBacked, SpillOptions};
use crate::quota::Quota;
use crate::session::Session;
use crate::store::Store;
use crate::sweep::sweep_sessions;

#[derive(Debug)]
pub(super) struct Dir {
    /// Its place in the order given to `open`.
    pub(super) index: DirIndex,
    pub(super) session: Session,
    pub(super) filesystem: Arc<Filesystem>,
    pub(super) quota: Quota,
    /// Who pays for the pages of its files, when they are memory.
    payer: Option<Consumer>,
    /// Whether the filesystem may have unnamed files.
    unnamed: AtomicBool,
    pub(super) counters: DirCounters,
}

impl Dir {
    /// Creates what is missing, finds out what it is on, sweeps and makes a session.
    pub(super) fn open(
        store: &Arc<dyn Store>,
        index: DirIndex,
        path: &Path,
        options: &SpillOptions,
    ) -> Result<Self> {
        store.make_dir_all(path)?;
        // From here on by descriptor: what it is on cannot change below us.
        let parent = Arc::new(store.open_dir(path)?);
        let filesystem = store.filesystem(&parent)?;
        let payer = options.memory_backed.admit(&filesystem)?;
        sweep_sessions(&**store, &parent, options.sweep)?;
        Ok(Self {
            index,
            session: Session::open(store, &parent)?,
            filesystem: Arc::new(filesystem),
            quota: Quota::new(options.quota_per_dir),
            payer,
            unnamed: AtomicBool::new(!options.named),
            counters: DirCounters::default(),
        })
    }

    /// An empty reservation for a file whose pages must be paid for.
    pub(super) fn charge(&self) -> Result<Option<Reservation>> {
        let Some(payer) = &self.payer else {
            return Ok(None);
        };
        let charge = payer.try_reserve(0).map_err(|refused| self.no_memory(&refused))?;
        Ok(Some(charge))
    }

    /// Pays for a file of `bytes`, in whole pages. Asks nobody and allocates nothing.
    pub(super) fn pay(&self, charge: &mut Reservation, bytes: u64) -> Result<()> {
        let pages = bytes.checked_next_multiple_of(self.filesystem.page_bytes());
        let more = pages.unwrap_or(u64::MAX).saturating_sub(charge.granted());
        if more > 0 {
            charge.try_grow(more).map_err(|refused| self.no_memory(&refused))?;
            charge.set_live(charge.granted());
            DirCounters::add(&self.counters.charged_bytes, more);
        }
        Ok(())
    }

    /// Counts an operation that did not succeed.
    pub(super) fn count(&self, error: &Error) {
        let counter = match error.kind() {
            ErrorKind::NoSpace | ErrorKind::Quota | ErrorKind::MemoryLimit => {
                &self.counters.refusals
            }
            _ => &self.counters.failures,
        };
        DirCounters::add(counter, 1);
    }

    pub(super) fn is_in_memory(&self) -> bool {
        self.filesystem.is_memory_backed()
    }

    pub(super) fn makes_unnamed(&self) -> bool {
        self.unnamed.load(Ordering::Relaxed)
    }

    pub(super) fn makes_no_unnamed(&self) {
        self.unnamed.store(false, Ordering::Relaxed);
    }

    pub(super) fn report(&self, condition: DirCondition) -> DirReport {
        let counters = &self.counters;
        DirReport {
            index: self.index,
            path: Arc::clone(self.session.parent().path()),
            filesystem: Arc::clone(&self.filesystem),
            condition,
            used_bytes: self.quota.used(),
            quota_bytes: self.quota.limit(),
            charged_bytes: DirCounters::get(&counters.charged_bytes),
            files: DirCounters::get(&counters.files),
            files_total: DirCounters::get(&counters.files_total),
            written_bytes_total: DirCounters::get(&counters.written_bytes),
            read_bytes_total: DirCounters::get(&counters.read_bytes),
            refusals_total: DirCounters::get(&counters.refusals),
            failures_total: DirCounters::get(&counters.failures),
        }
    }

    #[cold]
    fn no_memory(&self, refused: &Error) -> Error {
        no_memory(refused).at(self.session.parent().path())
    }
}

/// What a directory is on, if it can hold spills and is on a disk: it is opened like any other and
/// closed again. Set-up: allocates, and reads and writes the directory.
///
/// # Errors
/// Why it cannot; `InvalidArgument` for one in memory.
pub fn check_disk_backed(store: &Arc<dyn Store>, path: &Path) -> Result<Filesystem> {
    let options = SpillOptions { memory_backed: MemoryBacked::Refuse, ..SpillOptions::default() };
    let dir = Dir::open(store, DirIndex::FIRST, path, &options)?;
    Ok(dir.filesystem.as_ref().clone())
}
