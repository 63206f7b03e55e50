//! A store that counts its operations, and fails, cuts short, pauses or kills at the one it is told.
//!
//! It wraps any store, so that what did not fail really happened. Between [`FaultStore::arm`] and
//! the fault it allocates nothing, so that a run under refused memory can use it; the record of
//! operations has a fixed capacity and drops what goes beyond it (the count does not).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bywash::node::{Filesystem, FilesystemKind};
use bywash_core::{Error, ErrorKind, Result};
use bywash_spill::{Access, Lock, Name, Publish, Store, StoreDir, StoreFile, StoreOp};
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error number and does nothing.
    Error(i32),
    /// It is done, and reported as failed with this error number.
    ErrorAfter(i32),
    /// A read or write does half of its bytes, and the next one of its kind fails with this error
    /// number; any other operation fails at once.
    Short(i32),
    /// The process is killed instead of it.
    Kill,
    /// The process is killed once it is done.
    KillAfter,
    /// It waits until [`FaultStore::resume`].
    Pause,
    /// It panics, as a store of somebody else's may.
    Panic,
}

impl Fault {
    /// A failing disk.
    pub const IO: Self = Self::Error(Errno::IO.raw_os_error());
    /// A full disk.
    pub const NO_SPACE: Self = Self::Error(Errno::NOSPC.raw_os_error());
    /// Half the bytes, then a failing disk.
    pub const SHORT: Self = Self::Short(Errno::IO.raw_os_error());
    /// Done, but the answer is an error.
    pub const IO_AFTER: Self = Self::ErrorAfter(Errno::IO.raw_os_error());
}

/// How often an armed fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// At the chosen operation only.
    Once,
    /// At the chosen operation and all after it.
    Forever,
}

/// What a double counts and fails; everything by default.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Operations in this directory and below only.
    pub under: Option<PathBuf>,
    /// These operations only.
    pub only: Option<Vec<StoreOp>>,
}

/// The double. See the module.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn Store>,
    /// What this filesystem is to lack, for good.
    lacking: Vec<StoreOp>,
    /// What directories in the path are said to be on.
    pretended: Option<(PathBuf, FilesystemKind)>,
    scope: Scope,
    plan: Mutex<Plan>,
    changed: Condvar,
}

#[derive(Debug)]
struct Plan {
    armed: Option<(u64, Fault, Repeat)>,
    /// The kind of operation that fails next, after a short one.
    cut: Option<(StoreOp, i32)>,
    count: u64,
    record: Vec<StoreOp>,
    fired: Option<StoreOp>,
    pause: Pause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    Running,
    Paused,
    Ended,
}

impl FaultStore {
    /// A store that passes everything on and counts.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self::lacking(inner, &[])
    }

    /// A store on a filesystem that does not know these operations: they are answered
    /// `Unsupported`.
    pub fn lacking(inner: Arc<dyn Store>, operations: &[StoreOp]) -> Self {
        Self::scoped(inner, operations, Scope::default())
    }

    /// The same, counting and failing only some operations.
    pub fn scoped(inner: Arc<dyn Store>, operations: &[StoreOp], scope: Scope) -> Self {
        let plan = Plan {
            armed: None,
            cut: None,
            count: 0,
            record: Vec::with_capacity(RECORD_MAX),
            fired: None,
            pause: Pause::Running,
        };
        let (plan, changed) = (Mutex::new(plan), Condvar::new());
        Self { inner, lacking: operations.to_vec(), pretended: None, scope, plan, changed }
    }

    /// The same store, saying that directories in `under` are on a filesystem of this kind.
    #[must_use]
    pub fn pretending(self, under: &Path, kind: FilesystemKind) -> Self {
        Self { pretended: Some((under.to_path_buf(), kind)), ..self }
    }

    /// Counts from zero again and lets `fault` happen at operation `at`, the next one being 0.
    pub fn arm(&self, at: u64, fault: Fault, repeat: Repeat) {
        self.reset(Some((at, fault, repeat)));
    }

    /// Counts from zero again, and lets everything pass.
    pub fn disarm(&self) {
        self.reset(None);
    }

    /// Waits until an operation is paused; false when [`FaultStore::end`] came first.
    pub fn wait_paused(&self) -> bool {
        let plan = self
            .changed
            .wait_while(self.plan(), |plan| plan.pause == Pause::Running)
            .unwrap_or_else(PoisonError::into_inner);
        plan.pause == Pause::Paused
    }

    /// Lets the paused operation go on, and all after it.
    pub fn resume(&self) {
        let mut plan = self.plan();
        plan.armed = None;
        plan.pause = Pause::Running;
        self.changed.notify_all();
    }

    /// Says that the work under test is over, to one who waits for it to pause.
    pub fn end(&self) {
        self.plan().pause = Pause::Ended;
        self.changed.notify_all();
    }

    /// Operations since the last arming.
    pub fn count(&self) -> u64 {
        self.plan().count
    }

    /// The operations since the last arming, in order.
    pub fn record(&self) -> Vec<StoreOp> {
        self.plan().record.clone()
    }

    /// The operation that the armed fault first happened at; `None` says that all of the work has
    /// fewer operations.
    pub fn fired(&self) -> Option<StoreOp> {
        self.plan().fired
    }

    fn reset(&self, armed: Option<(u64, Fault, Repeat)>) {
        let mut plan = self.plan();
        plan.record.clear();
        plan.armed = armed;
        plan.cut = None;
        plan.count = 0;
        plan.fired = None;
        plan.pause = Pause::Running;
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation and says what is to happen to it.
    fn begin(&self, op: StoreOp, place: &str) -> Option<Fault> {
        if !self.scope.covers(op, place) {
            return None;
        }
        let mut plan = self.plan();
        let at = plan.count;
        plan.count += 1;
        if plan.record.len() < RECORD_MAX {
            plan.record.push(op);
        }
        if let Some((_, errno)) = plan.cut.take_if(|(cut, _)| *cut == op) {
            return Some(Fault::Error(errno));
        }
        let (chosen, fault, repeat) = plan.armed?;
        let due = at == chosen || (at > chosen && repeat == Repeat::Forever);
        if !due {
            return None;
        }
        plan.fired.get_or_insert(op);
        match fault {
            Fault::Kill => die(),
            // A second panic would end the process.
            Fault::Panic if std::thread::panicking() => None,
            Fault::Panic => {
                drop(plan);
                panic!("a store panics at {op:?}");
            }
            Fault::Pause => {
                plan.pause = Pause::Paused;
                self.changed.notify_all();
                let resumed = self.changed.wait_while(plan, |plan| plan.pause == Pause::Paused);
                drop(resumed);
                None
            }
            other => Some(other),
        }
    }

    fn run<T>(
        &self,
        op: StoreOp,
        place: &Arc<str>,
        operation: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let fault = self.begin(op, place);
        if self.lacking.contains(&op) {
            if fault == Some(Fault::KillAfter) {
                die();
            }
            return Err(LACKING.at(place));
        }
        match fault {
            None | Some(Fault::Kill | Fault::Pause | Fault::Panic) => operation(),
            Some(Fault::Error(errno) | Fault::Short(errno)) => Err(op.error(errno).at(place)),
            Some(Fault::ErrorAfter(errno)) => {
                operation()?;
                Err(op.error(errno).at(place))
            }
            Some(Fault::KillAfter) => {
                drop(operation());
                die()
            }
        }
    }

    /// A read or write of `len` bytes, of which `operation` is told how many to do.
    fn transfer(
        &self,
        op: StoreOp,
        place: &Arc<str>,
        len: usize,
        operation: impl FnOnce(usize) -> Result<usize>,
    ) -> Result<usize> {
        match self.begin(op, place) {
            None | Some(Fault::Kill | Fault::Pause | Fault::Panic) => operation(len),
            Some(Fault::Short(errno)) if len > 1 => {
                self.plan().cut = Some((op, errno));
                operation(len / 2)
            }
            Some(Fault::Error(errno) | Fault::Short(errno)) => Err(op.error(errno).at(place)),
            Some(Fault::ErrorAfter(errno)) => {
                operation(len)?;
                Err(op.error(errno).at(place))
            }
            Some(Fault::KillAfter) => {
                drop(operation(len));
                die()
            }
        }
    }
}

impl Store for FaultStore {
    fn make_dir_all(&self, path: &Path) -> Result<()> {
        self.run(StoreOp::MakeDirAll, &text_of(path), || self.inner.make_dir_all(path))
    }

    fn open_dir(&self, path: &Path) -> Result<StoreDir> {
        self.run(StoreOp::OpenDir, &text_of(path), || self.inner.open_dir(path))
    }

    fn open_subdir(&self, dir: &StoreDir, name: &Name) -> Result<StoreDir> {
        self.run(StoreOp::OpenSubdir, dir.path(), || self.inner.open_subdir(dir, name))
    }

    fn filesystem(&self, dir: &StoreDir) -> Result<Filesystem> {
        self.run(StoreOp::Filesystem, dir.path(), || match &self.pretended {
            Some((under, kind)) if Path::new(&**dir.path()).starts_with(under) => {
                Ok(Filesystem::of_kind(*kind))
            }
            _ => self.inner.filesystem(dir),
        })
    }

    fn list(&self, dir: &StoreDir, visit: &mut dyn FnMut(&Name) -> Result<()>) -> Result<()> {
        self.run(StoreOp::List, dir.path(), || self.inner.list(dir, visit))
    }

    fn make_dir(&self, dir: &StoreDir, name: &Name) -> Result<Publish> {
        self.run(StoreOp::MakeDir, dir.path(), || self.inner.make_dir(dir, name))
    }

    fn create_unnamed(&self, dir: &StoreDir) -> Result<StoreFile> {
        self.run(StoreOp::CreateUnnamed, dir.path(), || self.inner.create_unnamed(dir))
    }

    fn create_new(&self, dir: &StoreDir, name: &Name) -> Result<Option<StoreFile>> {
        self.run(StoreOp::CreateNew, dir.path(), || self.inner.create_new(dir, name))
    }

    fn open(&self, dir: &StoreDir, name: &Name, access: Access) -> Result<StoreFile> {
        self.run(StoreOp::Open, dir.path(), || self.inner.open(dir, name, access))
    }

    fn len(&self, file: &StoreFile) -> Result<u64> {
        self.run(StoreOp::Len, file.place(), || self.inner.len(file))
    }

    fn read_at(&self, file: &StoreFile, bytes: &mut [u8], offset: u64) -> Result<usize> {
        self.transfer(StoreOp::ReadAt, file.place(), bytes.len(), |len| {
            self.inner.read_at(file, bytes.get_mut(..len).unwrap_or_default(), offset)
        })
    }

    fn write_at(&self, file: &StoreFile, bytes: &[u8], offset: u64) -> Result<usize> {
        self.transfer(StoreOp::WriteAt, file.place(), bytes.len(), |len| {
            self.inner.write_at(file, bytes.get(..len).unwrap_or_default(), offset)
        })
    }

    fn sync_data(&self, file: &StoreFile) -> Result<()> {
        self.run(StoreOp::SyncData, file.place(), || self.inner.sync_data(file))
    }

    fn sync_dir(&self, dir: &StoreDir) -> Result<()> {
        self.run(StoreOp::SyncDir, dir.path(), || self.inner.sync_dir(dir))
    }

    fn link_unnamed(&self, file: &StoreFile, dir: &StoreDir, name: &Name) -> Result<Publish> {
        self.run(StoreOp::LinkUnnamed, dir.path(), || self.inner.link_unnamed(file, dir, name))
    }

    fn rename_noreplace(
        &self,
        from_dir: &StoreDir,
        from: &Name,
        to_dir: &StoreDir,
        to: &Name,
    ) -> Result<Publish> {
        self.run(StoreOp::RenameNoreplace, to_dir.path(), || {
            self.inner.rename_noreplace(from_dir, from, to_dir, to)
        })
    }

    fn hard_link(
        &self,
        from_dir: &StoreDir,
        from: &Name,
        to_dir: &StoreDir,
        to: &Name,
    ) -> Result<Publish> {
        self.run(StoreOp::HardLink, to_dir.path(), || {
            self.inner.hard_link(from_dir, from, to_dir, to)
        })
    }

    fn is_linked(&self, file: &StoreFile, dir: &StoreDir, name: &Name) -> Result<bool> {
        self.run(StoreOp::IsLinked, dir.path(), || self.inner.is_linked(file, dir, name))
    }

    fn remove(&self, dir: &StoreDir, name: &Name) -> Result<()> {
        self.run(StoreOp::Remove, dir.path(), || self.inner.remove(dir, name))
    }

    fn remove_dir(&self, dir: &StoreDir, name: &Name) -> Result<()> {
        self.run(StoreOp::RemoveDir, dir.path(), || self.inner.remove_dir(dir, name))
    }

    fn try_lock(&self, file: &StoreFile) -> Result<Lock> {
        let locked = self.run(StoreOp::TryLock, file.place(), || self.inner.try_lock(file));
        match locked {
            Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Lock::Unsupported),
            other => other,
        }
    }
}

impl Scope {
    fn covers(&self, op: StoreOp, place: &str) -> bool {
        let under = self.under.as_deref();
        let only = self.only.as_deref();
        under.is_none_or(|under| Path::new(place).starts_with(under))
            && only.is_none_or(|only| only.contains(&op))
    }
}

/// Ends the process as `kill -9` does: nothing is dropped, flushed or handled.
fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        std::thread::park();
    }
}

fn text_of(path: &Path) -> Arc<str> {
    Arc::from(path.to_string_lossy().as_ref())
}

const LACKING: Error =
    Error::new(ErrorKind::Unsupported, "this filesystem is told to lack an operation");

/// Operations remembered by kind; more are only counted.
const RECORD_MAX: usize = 1 << 16;
