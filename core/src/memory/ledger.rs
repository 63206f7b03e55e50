//! The executor's account, as its users see it.

use std::fmt;
use std::time::Duration;

use super::counters::LedgerSnapshot;
use super::explain::Explanation;
use super::host::Host;
use super::pressure;
use super::report::HolderReport;
use super::shared::{Inner, LedgerShared};
use super::state::TaskId;
use super::task::{TaskMemory, TaskShared};
use super::wait::Waiting;
use crate::port::{Clock, MemoryParent, Park};
use crate::sync::Arc;
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

/// How a ledger is made.
#[derive(Clone)]
pub struct LedgerOptions {
    /// The most bytes that are ever granted at once, [`MemoryLedger::set_capacity`] apart.
    pub capacity: u64,
    /// The host that lends all of them; without one the capacity is the process's own.
    pub parent: Option<Arc<dyn MemoryParent>>,
    /// Bytes of the host's that may be lent and not granted, so that small requests need not go to
    /// the host. Default: 1 MiB. Dropping a buffer that was handed out does not call the host: what
    /// it gave back goes there with the next request, release, end of a task or reclaim.
    pub parent_slack: u64,
    /// Times spills and waits. Without one explanations have no times and nobody waits.
    pub clock: Option<Arc<dyn Clock>>,
    /// Where threads sleep that wait for memory. Without one nobody waits.
    pub park: Option<Arc<dyn Park>>,
    /// How long a request may wait. Default: without end.
    pub patience: Duration,
}

impl LedgerOptions {
    /// A ledger of `capacity` bytes of its own, where nobody waits.
    pub const fn new(capacity: u64) -> Self {
        Self {
            capacity,
            parent: None,
            parent_slack: 1 << 20,
            clock: None,
            park: None,
            patience: Duration::MAX,
        }
    }
}

impl MemoryLedger {
    /// An account of `capacity` bytes. A request that does not fit is refused, it does not wait.
    pub fn new(capacity: u64) -> Self {
        Self::with_options(LedgerOptions::new(capacity))
    }

    /// An account that counts and never refuses.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// An account made as `options` say.
    pub fn with_options(options: LedgerOptions) -> Self {
        let LedgerOptions { capacity, parent, parent_slack, clock, park, patience } = options;
        let host = parent.map(|parent| Host { parent, slack: parent_slack });
        let waiting =
            clock.clone().zip(park).map(|(clock, park)| Waiting { clock, park, patience });
        let shared = Arc::new(LedgerShared::new(capacity, host, waiting, clock));
        Self { _handle: Arc::new(Handle { shared: Arc::clone(&shared) }), shared }
    }

    /// Admits `count` tasks together, each with `minimum` bytes promised to it; all or none, at
    /// once. Tasks that are promised nothing take part in sharing while they hold memory.
    ///
    /// What is promised is never granted to others; only a capacity that has fallen since, or a
    /// host that lends no more, can keep a task from it.
    ///
    /// # Errors
    /// `MemoryLimit` if the minimums do not fit, a share (capacity / tasks) would be below one, or
    /// others wait for what is left; `InvalidArgument` for more than 65,536 tasks.
    pub fn admit(&self, count: usize, minimum: u64) -> Result<Vec<TaskMemory>> {
        let count = check_count(count)?;
        let admitted = self.shared.locked(|inner| inner.admit_now(count, minimum))?;
        Ok(self.begin(admitted))
    }

    /// As [`MemoryLedger::admit`], but waits for its turn if the ledger can wait: until the
    /// promises fit, the ledger's patience ends, or `cancelled` says so, which is asked first and
    /// whenever something changed ([`MemoryLedger::wake_all`]). Blocks.
    ///
    /// # Errors
    /// As [`MemoryLedger::admit`], at once if the minimums can never fit together; `Cancelled`.
    pub fn admit_or_wait(
        &self,
        count: usize,
        minimum: u64,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Vec<TaskMemory>> {
        let count = check_count(count)?;
        let admitted = self.shared.admit_or_wait(count, minimum, cancelled)?;
        Ok(self.begin(admitted))
    }

    fn begin(&self, admitted: Vec<TaskId>) -> Vec<TaskMemory> {
        self.shared.locked(|inner| {
            let begun = admitted.into_iter().map(|id| {
                inner.task_count += 1;
                let task = TaskShared::new(Arc::clone(&self.shared), id, inner.task_count);
                let task = Arc::new(task);
                inner.tasks.push(Arc::clone(&task));
                TaskMemory::new(task)
            });
            begun.collect()
        })
    }

    /// The capacity in bytes.
    pub fn capacity(&self) -> u64 {
        self.shared.capacity()
    }

    /// Lets the capacity rise or fall. Below what is granted it is a target: nothing more is granted
    /// until enough came back, and consumers are asked to spill at their next step; to have idle
    /// ones spilled now, follow with [`MemoryLedger::reclaim_over`]. Returns
    /// [`MemoryLedger::over`].
    pub fn set_capacity(&self, bytes: u64) -> u64 {
        self.shared.set_capacity(bytes);
        let over = self.over();
        if over > 0 {
            pressure::ask_everybody(&self.shared, over);
        }
        over
    }

    /// Bytes granted above the capacity, since it fell.
    pub fn over(&self) -> u64 {
        self.granted().saturating_sub(self.capacity())
    }

    /// Bytes granted now.
    pub fn granted(&self) -> u64 {
        self.shared.granted()
    }

    /// Bytes really allocated now.
    pub fn live(&self) -> u64 {
        self.shared.live()
    }

    /// The most bytes that were ever granted at once.
    pub fn peak_granted(&self) -> u64 {
        self.shared.peak_granted()
    }

    /// The most bytes that were ever live at once.
    pub fn peak_live(&self) -> u64 {
        self.shared.peak_live()
    }

    /// Bytes in buffers that were handed out and are still charged.
    pub fn exported(&self) -> u64 {
        self.shared.exported()
    }

    /// Asks consumers to spill until `bytes` came back, from any thread. Does their I/O on this
    /// thread; a consumer that is busy is marked and spills at its own next step.
    ///
    /// Returns the bytes that came back before this returned: with a host, what was released to
    /// it, idle memory first; and what comes back meanwhile is the host's, not the next request's.
    pub fn reclaim(&self, bytes: u64) -> u64 {
        pressure::reclaim(&self.shared, bytes)
    }

    /// Asks idle consumers to spill, on this thread, until no more is granted than the capacity; what
    /// is busy is marked. Returns what they gave. With a host, what then lies idle above the slack is
    /// released to it.
    pub fn reclaim_over(&self) -> u64 {
        pressure::reclaim_over(&self.shared)
    }

    /// Makes all threads that wait look whether they were cancelled.
    pub fn wake_all(&self) {
        self.shared.wake_all();
    }

    /// All figures at one moment.
    pub fn snapshot(&self) -> LedgerSnapshot {
        self.shared.snapshot()
    }

    /// Who holds memory, largest first.
    pub fn holders(&self) -> Vec<HolderReport> {
        pressure::holders(&self.shared)
    }

    /// Where the memory is, who held the most, and why the last spills were.
    pub fn explain(&self) -> Explanation {
        let (peak_granted, peak) =
            self.shared.locked(|inner| (inner.peak.peak(), inner.peak.breakdown()));
        let LedgerSnapshot { capacity, granted, live, .. } = self.snapshot();
        Explanation {
            capacity,
            granted,
            live,
            peak_granted,
            holders: self.holders(),
            peak,
            spills: self.shared.spills(),
        }
    }
}

impl Inner {
    fn admit_now(&mut self, count: u32, minimum: u64) -> Result<Vec<TaskId>> {
        use super::state::{Admission, Patience};
        self.collect_returned();
        match self.state.admit(count, minimum, Patience::Never)? {
            Admission::Admitted(tasks) => Ok(tasks),
            Admission::Wait(_) => Err(Error::internal("an admission without patience was queued")),
        }
    }
}

/// Tasks that may be admitted at once.
const TASKS_MAX: u32 = 1 << 16;

fn check_count(count: usize) -> Result<u32> {
    u32::try_from(count).ok().filter(|count| *count <= TASKS_MAX).ok_or_else(|| {
        Error::invalid("at most 65536 tasks are admitted at once").with(Figure::Found, count)
    })
}

impl fmt::Debug for MemoryLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLedger")
            .field("capacity", &self.capacity())
            .field("granted", &self.granted())
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LedgerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerOptions")
            .field("capacity", &self.capacity)
            .field("parent", &self.parent.is_some())
            .field("parent_slack", &self.parent_slack)
            .field("clock", &self.clock.is_some())
            .field("park", &self.park.is_some())
            .field("patience", &self.patience)
            .finish()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let unused = self.shared.locked(|inner| {
            inner.closed = true;
            inner.take_unused()
        });
        drop(unused);
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
            let block = Block::try_new(&task.consumer("reader"), 64).unwrap();
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
