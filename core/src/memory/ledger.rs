//! The executor's account: the state machine behind a lock, its two figures beside it as atomics.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pressure;
use super::state::{Acquire, LedgerState, Patience, Shortfall, TaskId, Tick};
use super::task::{TaskMemory, TaskShared};
use crate::{Error, Figure, Result};

/// The memory account of one executor. Cheap to clone; all clones are one account.
///
/// The figures may be read from anywhere, even inside an allocator: reading takes no lock.
#[derive(Clone)]
pub struct MemoryLedger {
    shared: Arc<LedgerShared>,
    _handle: Arc<Handle>,
}

/// Dropped with the last clone of a ledger: from then on no task is admitted.
struct Handle {
    shared: Arc<LedgerShared>,
}

pub(super) struct LedgerShared {
    inner: Mutex<Inner>,
    capacity: u64,
    granted: AtomicU64,
    live: AtomicU64,
    peak_granted: AtomicU64,
    peak_live: AtomicU64,
}

struct Inner {
    state: LedgerState,
    /// Every task that still holds something, ended ones too.
    tasks: Vec<Arc<TaskShared>>,
    /// Whether no task will be admitted any more.
    closed: bool,
}

/// What one consumer holds, for reports and error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HolderReport {
    /// The consumer's name.
    pub name: &'static str,
    /// Bytes granted to it.
    pub granted: u64,
    /// Bytes it has really allocated.
    pub live: u64,
    /// Bytes a spill would give back now.
    pub reclaimable: u64,
}

impl MemoryLedger {
    /// An account of `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        let shared = Arc::new(LedgerShared {
            inner: Mutex::new(Inner {
                state: LedgerState::new(capacity),
                tasks: Vec::new(),
                closed: false,
            }),
            capacity,
            granted: AtomicU64::new(0),
            live: AtomicU64::new(0),
            peak_granted: AtomicU64::new(0),
            peak_live: AtomicU64::new(0),
        });
        Self { _handle: Arc::new(Handle { shared: Arc::clone(&shared) }), shared }
    }

    /// An account that counts and never refuses.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// Admits `count` tasks together, each with `minimum` bytes promised to it; all or none.
    ///
    /// # Errors
    /// `MemoryLimit` if the minimums do not fit or a share (capacity / tasks) would be below one;
    /// `InvalidArgument` for more than 65,536 tasks.
    pub fn admit(&self, count: usize, minimum: u64) -> Result<Vec<TaskMemory>> {
        let count =
            u32::try_from(count).ok().filter(|count| *count <= TASKS_MAX).ok_or_else(|| {
                Error::invalid("at most 65536 tasks are admitted at once")
                    .with(Figure::Found, count)
            })?;
        let mut inner = self.shared.lock();
        inner.collect_returned();
        let admitted = inner.state.admit(count, minimum)?;
        Ok(admitted
            .into_iter()
            .map(|id| {
                let task = Arc::new(TaskShared::new(Arc::clone(&self.shared), id));
                inner.tasks.push(Arc::clone(&task));
                TaskMemory::new(task)
            })
            .collect())
    }

    /// The capacity in bytes.
    pub fn capacity(&self) -> u64 {
        self.shared.capacity
    }

    /// Bytes granted now.
    pub fn granted(&self) -> u64 {
        self.shared.granted.load(Ordering::Acquire)
    }

    /// Bytes really allocated now.
    pub fn live(&self) -> u64 {
        self.shared.live.load(Ordering::Acquire)
    }

    /// The most bytes that were ever granted at once.
    pub fn peak_granted(&self) -> u64 {
        self.shared.peak_granted.load(Ordering::Relaxed)
    }

    /// The most bytes that were ever live at once.
    pub fn peak_live(&self) -> u64 {
        self.shared.peak_live.load(Ordering::Relaxed)
    }

    /// Bytes in buffers that outlived their task.
    pub fn exported(&self) -> u64 {
        let mut inner = self.shared.lock();
        inner.collect_returned();
        inner.state.exported()
    }

    /// Asks consumers to spill until `bytes` came back, from any thread. Does their I/O on this
    /// thread; a consumer that is busy is marked and spills at its own next step. Returns the
    /// bytes that came back before this returned.
    pub fn reclaim(&self, bytes: u64) -> u64 {
        pressure::reclaim(self, bytes)
    }

    /// What every consumer holds, for explanations.
    pub fn holders(&self) -> Vec<HolderReport> {
        self.tasks().iter().flat_map(|task| task.holders()).collect()
    }

    pub(super) fn tasks(&self) -> Vec<Arc<TaskShared>> {
        self.shared.lock().tasks.clone()
    }
}

/// Tasks that may be admitted at once.
const TASKS_MAX: u32 = 1 << 16;

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger")
            .field("capacity", &self.capacity())
            .field("granted", &self.granted())
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.closed = true;
        let unused = inner.take_unused();
        drop(inner);
        drop(unused);
    }
}

impl LedgerShared {
    /// Grants `bytes` to the task or says how far away that is. Allocates nothing.
    pub(super) fn acquire(&self, task: TaskId, bytes: u64) -> Result<(), Shortfall> {
        let mut inner = self.lock();
        let mut outcome = inner.state.acquire(task, bytes, Tick(0), Patience::Never);
        if outcome != Acquire::Granted {
            inner.collect_returned();
            outcome = inner.state.acquire(task, bytes, Tick(0), Patience::Never);
        }
        match outcome {
            Acquire::Granted => {
                let granted = self.granted.fetch_add(bytes, Ordering::AcqRel) + bytes;
                self.peak_granted.fetch_max(granted, Ordering::Relaxed);
                Ok(())
            }
            Acquire::Refused(shortfall) => Err(shortfall),
            Acquire::Wait(_) => unreachable!("asked without patience"),
        }
    }

    pub(super) fn release(&self, task: TaskId, bytes: u64) {
        let mut inner = self.lock();
        self.granted.fetch_sub(bytes, Ordering::AcqRel);
        inner.state.release(task, bytes);
    }

    /// Counts bytes as given back without a lock; the next request that needs them collects them.
    pub(super) fn release_later(&self, returned: &AtomicU64, bytes: u64) {
        self.granted.fetch_sub(bytes, Ordering::AcqRel);
        returned.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn end(&self, task: TaskId) {
        let mut inner = self.lock();
        inner.collect_returned();
        inner.state.end(task);
        inner.forget_finished();
        let unused = inner.take_unused();
        drop(inner);
        drop(unused);
    }

    pub(super) fn add_live(&self, bytes: u64) {
        let live = self.live.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.peak_live.fetch_max(live, Ordering::Relaxed);
    }

    pub(super) fn sub_live(&self, bytes: u64) {
        self.live.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub(super) fn capacity(&self) -> u64 {
        self.capacity
    }

    pub(super) fn share(&self) -> u64 {
        self.lock().state.share()
    }

    pub(super) fn granted_to(&self, task: TaskId) -> u64 {
        self.lock().state.granted_to(task)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Books what buffers gave back without the lock.
    fn collect_returned(&mut self) {
        for task in &self.tasks {
            let bytes = task.take_returned();
            if bytes > 0 {
                self.state.release(task.id(), bytes);
            }
        }
        self.forget_finished();
    }

    /// The tasks in the list, once nobody can ask for memory any more: they hold the ledger, which
    /// holds them, and the buffers that are left give back to figures that nobody reads.
    fn take_unused(&mut self) -> Vec<Arc<TaskShared>> {
        if self.closed && self.tasks.iter().all(|task| task.has_ended()) {
            return std::mem::take(&mut self.tasks);
        }
        Vec::new()
    }

    fn forget_finished(&mut self) {
        let state = &self.state;
        self.tasks.retain(|task| !task.has_ended() || state.granted_to(task.id()) > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Block, ChargeMode};

    /// Handles may be dropped in any order: what outlives all others frees the ledger.
    #[test]
    fn a_buffer_that_outlives_its_ledger_takes_it_along() {
        for ledger_first in [true, false] {
            let ledger = MemoryLedger::new(1 << 20);
            let shared = Arc::downgrade(&ledger.shared);
            let task = ledger.admit(1, 0).unwrap().remove(0);
            let block = Block::try_new(&task.consumer("reader"), 64, 0).unwrap();
            let owner = block.into_owner(ChargeMode::Ledger);
            if ledger_first {
                drop(ledger);
                assert_eq!(task.granted(), 64);
                drop(task);
            } else {
                drop(task);
                assert_eq!(ledger.exported(), 64);
                drop(ledger);
            }
            drop(owner);
            assert_eq!(shared.strong_count(), 0, "ledger first: {ledger_first}");
        }
    }
}
