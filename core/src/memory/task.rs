//! A task's part of the ledger.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::consumer::{Consumer, ConsumerShared};
use super::ledger::{HolderReport, LedgerShared};
use super::state::TaskId;

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
    /// Bytes that buffers gave back without taking the ledger's lock.
    returned: AtomicU64,
    /// Bytes in buffers handed to the caller and still charged.
    exported: AtomicU64,
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

    /// The ledger's capacity in bytes.
    pub fn capacity(&self) -> u64 {
        self.handle.shared.ledger.capacity()
    }

    /// The most this task may hold now: capacity / tasks.
    pub fn share(&self) -> u64 {
        self.handle.shared.ledger.share()
    }

    /// Bytes this task holds now.
    pub fn granted(&self) -> u64 {
        let shared = &self.handle.shared;
        let granted = shared.ledger.granted_to(shared.id);
        granted.saturating_sub(shared.returned.load(Ordering::Acquire))
    }
}

impl fmt::Debug for TaskMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskMemory").field("granted", &self.granted()).finish_non_exhaustive()
    }
}

impl TaskHandle {
    pub(super) fn shared(&self) -> &Arc<TaskShared> {
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
    pub(super) fn new(ledger: Arc<LedgerShared>, id: TaskId) -> Self {
        Self {
            ledger,
            id,
            returned: AtomicU64::new(0),
            exported: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            consumers: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn ledger(&self) -> &LedgerShared {
        &self.ledger
    }

    pub(super) const fn id(&self) -> TaskId {
        self.id
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn take_returned(&self) -> u64 {
        self.returned.swap(0, Ordering::AcqRel)
    }

    pub(super) fn exported(&self) -> u64 {
        self.exported.load(Ordering::Acquire)
    }

    pub(super) fn add_exported(&self, bytes: u64) {
        self.exported.fetch_add(bytes, Ordering::AcqRel);
    }

    pub(super) fn release_later(&self, bytes: u64) {
        self.exported.fetch_sub(bytes, Ordering::AcqRel);
        self.ledger.release_later(&self.returned, bytes);
    }

    /// The consumers that are still there. Allocates: not called while a spill runs.
    pub(super) fn consumers(&self) -> Vec<Consumer> {
        let consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        consumers.iter().filter_map(Weak::upgrade).map(Consumer::from_shared).collect()
    }

    pub(super) fn holders(&self) -> Vec<HolderReport> {
        self.consumers().iter().map(Consumer::report).collect()
    }

    fn register(&self, consumer: &Consumer) {
        let mut consumers = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        consumers.retain(|weak| weak.strong_count() > 0);
        consumers.push(consumer.downgrade());
    }
}
