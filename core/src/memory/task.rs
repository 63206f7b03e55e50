//! A task's part of the ledger.

use std::fmt;
use std::sync::PoisonError;

use super::asked::Asked;
use super::block::ChargeMode;
use super::consumer::{Consumer, ConsumerShared};
use super::explain::Party;
use super::pressure;
use super::report::{HolderReport, TaskReport};
use super::shared::LedgerShared;
use super::state::TaskId;
use crate::Result;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, Weak};

/// The memory of one task. Cheap to clone; the task ends when the last clone and the last of its
/// consumers are gone. Buffers that outlive it stay charged as *exported*.
#[derive(Clone)]
pub struct TaskMemory {
    handle: Arc<TaskHandle>,
}

/// Ends the task when dropped.
pub(super) struct TaskHandle {
    shared: Arc<TaskShared>,
}

pub(super) struct TaskShared {
    ledger: Arc<LedgerShared>,
    id: TaskId,
    /// Counts the tasks of the ledger, from 1.
    number: u64,
    /// Bytes that buffers gave back without taking the ledger's lock.
    returned: AtomicU64,
    /// Bytes in buffers handed to the caller and still charged.
    exported: AtomicU64,
    cancelled: AtomicBool,
    ended: AtomicBool,
    consumers: Mutex<Vec<Weak<ConsumerShared>>>,
}

impl TaskMemory {
    pub(super) fn new(shared: Arc<TaskShared>) -> Self {
        Self { handle: Arc::new(TaskHandle { shared }) }
    }

    /// A new holder of memory in this task.
    pub fn consumer(&self, name: &'static str) -> Consumer {
        let consumer = Consumer::new(name, Arc::clone(&self.handle));
        self.handle.shared.register(&consumer);
        consumer
    }

    /// Counts the tasks of a ledger, from 1.
    pub fn number(&self) -> u64 {
        self.handle.shared.number
    }

    /// The ledger's capacity in bytes.
    pub fn capacity(&self) -> u64 {
        self.handle.shared.ledger.capacity()
    }

    /// The most this task may hold now: capacity / tasks that hold memory or a promise, itself
    /// counted, or what it was promised.
    pub fn share(&self) -> u64 {
        self.handle.shared.ledger.limit_of(self.handle.shared.id)
    }

    /// Bytes this task holds now.
    pub fn granted(&self) -> u64 {
        self.handle.shared.granted()
    }

    /// Whether the ledger's memory is lent by a host.
    pub fn has_parent(&self) -> bool {
        self.handle.shared.ledger.host.is_some()
    }

    /// Whether batches that are read in this task can be charged so.
    ///
    /// # Errors
    /// `InvalidArgument` for [`ChargeMode::Host`] when no host lends the ledger its memory.
    pub fn check_charge(&self, mode: ChargeMode) -> Result<()> {
        mode.check(self.has_parent())
    }

    /// Makes every wait for memory in this task, now and later, fail with `Cancelled`.
    pub fn cancel(&self) {
        self.handle.shared.cancelled.store(true, Ordering::SeqCst);
        self.handle.shared.ledger.wake_all();
    }

    /// Says who still holds memory of this task, for the one who is done with it: whatever is named
    /// has leaked, or is yet to be dropped. It stays charged and named by
    /// [`MemoryLedger::holders`](super::MemoryLedger::holders) until it is dropped; when the last
    /// handle of the ledger is gone nobody can ask any more, so ask before. Allocates.
    pub fn close(self) -> TaskReport {
        let shared = &self.handle.shared;
        TaskReport { task: shared.number, holders: shared.holders() }
    }
}

impl fmt::Debug for TaskMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskMemory")
            .field("number", &self.number())
            .field("granted", &self.granted())
            .finish_non_exhaustive()
    }
}

impl TaskHandle {
    pub(super) const fn shared(&self) -> &Arc<TaskShared> {
        &self.shared
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.shared.ledger.end(self.shared.id);
    }
}

impl TaskShared {
    pub(super) fn new(ledger: Arc<LedgerShared>, id: TaskId, number: u64) -> Self {
        Self {
            ledger,
            id,
            number,
            returned: AtomicU64::new(0),
            exported: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            consumers: Mutex::new(Vec::new()),
        }
    }

    pub(super) const fn ledger(&self) -> &Arc<LedgerShared> {
        &self.ledger
    }

    pub(super) const fn id(&self) -> TaskId {
        self.id
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    pub(super) fn granted(&self) -> u64 {
        self.ledger.granted_to(self.id)
    }

    pub(super) fn take_returned(&self) -> u64 {
        // Looked at often and seldom anything: reading is cheaper than writing.
        if self.returned.load(Ordering::SeqCst) == 0 {
            return 0;
        }
        self.returned.swap(0, Ordering::SeqCst)
    }

    pub(super) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Acquire)
    }

    pub(super) fn add_exported(&self, bytes: u64) {
        self.exported.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn sub_exported(&self, bytes: u64) {
        self.exported.fetch_sub(bytes, Ordering::AcqRel);
    }

    pub(super) fn release_later(&self, bytes: u64) {
        self.exported.fetch_sub(bytes, Ordering::AcqRel);
        self.ledger.release_later(&self.returned, bytes);
    }

    /// Where it lies, to be known by.
    pub(super) fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The consumer to ask for `missing` bytes that was not asked yet: the smallest that
    /// alone covers them, else the largest.
    pub(super) fn pick(&self, missing: u64, asked: &Asked) -> Option<Consumer> {
        let unasked =
            |consumer: &Consumer| consumer.reclaimable() > 0 && !asked.has(consumer.place());
        self.each_consumer().filter(unasked).reduce(pressure::better(missing))
    }

    /// Marks consumers until they could give `bytes`; returns what they could.
    pub(super) fn ask_all(&self, asker: Party, bytes: u64) -> u64 {
        let mut asked = 0u64;
        for consumer in self.each_consumer().filter(|consumer| consumer.reclaimable() > 0) {
            if asked < bytes {
                consumer.want(asker, bytes - asked);
                asked = asked.saturating_add(consumer.reclaimable());
            }
        }
        asked
    }

    /// What spills of its consumers would give back now.
    pub(super) fn reclaimable(&self) -> u64 {
        self.each_consumer().fold(0, |sum, consumer| sum.saturating_add(consumer.reclaimable()))
    }

    /// Everybody who holds something. Allocates.
    pub(super) fn holders(&self) -> Vec<HolderReport> {
        let mut holders: Vec<_> = self.each_consumer().map(|consumer| consumer.report()).collect();
        holders.retain(|holder| holder.granted > 0);
        let exported = self.exported();
        if exported > 0 {
            holders.push(HolderReport::exported(self.number, exported));
        }
        holders
    }

    fn register(&self, consumer: &Consumer) {
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        // A place that came free is taken, and none moves: others walk the list place by place.
        match consumers.iter_mut().find(|weak| weak.strong_count() == 0) {
            Some(free) => *free = consumer.downgrade(),
            None => consumers.push(consumer.downgrade()),
        }
    }

    /// The consumers that are still there, one after the other, without a list and without a lock in
    /// between: one that is let go here may be the last handle of this task, whose end calls the
    /// host. Never called with the ledger's lock held.
    fn each_consumer(&self) -> impl Iterator<Item = Consumer> {
        let at = |place: usize| {
            let consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
            consumers.get(place).map(Weak::upgrade)
        };
        (0..).map_while(at).flatten().map(Consumer::from_shared)
    }
}
