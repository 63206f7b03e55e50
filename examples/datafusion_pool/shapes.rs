//! The shapes of `datafusion_execution::memory_pool` (release 55), as far as a pool sees them.
//!
//! With DataFusion at hand this file goes, and theirs are imported.

use std::any::Any;
use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Stands for `DataFusionError::ResourcesExhausted`.
#[derive(Debug)]
pub(crate) struct ResourcesExhausted(pub(crate) String);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MemoryLimit {
    Infinite,
    Finite(usize),
}

pub(crate) trait MemoryPool: Any + Send + Sync + Debug + Display {
    fn name(&self) -> &str;
    fn register(&self, _consumer: &MemoryConsumer) {}
    fn unregister(&self, _consumer: &MemoryConsumer) {}
    fn grow(&self, reservation: &MemoryReservation, additional: usize);
    fn shrink(&self, reservation: &MemoryReservation, shrink: usize);
    fn try_grow(
        &self,
        reservation: &MemoryReservation,
        additional: usize,
    ) -> Result<(), ResourcesExhausted>;
    fn reserved(&self) -> usize;
    fn memory_limit(&self) -> MemoryLimit;
}

#[derive(Debug)]
pub(crate) struct MemoryConsumer {
    name: String,
    can_spill: bool,
    id: usize,
}

impl MemoryConsumer {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        static IDS: AtomicUsize = AtomicUsize::new(0);
        Self { name: name.into(), can_spill: false, id: IDS.fetch_add(1, Relaxed) }
    }

    pub(crate) fn with_can_spill(self, can_spill: bool) -> Self {
        Self { can_spill, ..self }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn can_spill(&self) -> bool {
        self.can_spill
    }

    pub(crate) const fn id(&self) -> usize {
        self.id
    }

    pub(crate) fn register(self, pool: &Arc<dyn MemoryPool>) -> MemoryReservation {
        pool.register(&self);
        let registration = Arc::new(Registration { pool: Arc::clone(pool), consumer: self });
        MemoryReservation { registration, size: AtomicUsize::new(0) }
    }
}

/// Unregisters the consumer when the last of its reservations is gone.
#[derive(Debug)]
struct Registration {
    pool: Arc<dyn MemoryPool>,
    consumer: MemoryConsumer,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.pool.unregister(&self.consumer);
    }
}

#[derive(Debug)]
pub(crate) struct MemoryReservation {
    registration: Arc<Registration>,
    size: AtomicUsize,
}

impl MemoryReservation {
    pub(crate) fn consumer(&self) -> &MemoryConsumer {
        &self.registration.consumer
    }

    pub(crate) fn size(&self) -> usize {
        self.size.load(Relaxed)
    }

    pub(crate) fn grow(&self, bytes: usize) {
        self.registration.pool.grow(self, bytes);
        self.size.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn try_grow(&self, bytes: usize) -> Result<(), ResourcesExhausted> {
        self.registration.pool.try_grow(self, bytes)?;
        self.size.fetch_add(bytes, Relaxed);
        Ok(())
    }

    pub(crate) fn shrink(&self, bytes: usize) {
        self.size.fetch_sub(bytes, Relaxed);
        self.registration.pool.shrink(self, bytes);
    }

    /// Another reservation of the same consumer.
    pub(crate) fn new_empty(&self) -> Self {
        Self { registration: Arc::clone(&self.registration), size: AtomicUsize::new(0) }
    }
}

impl Drop for MemoryReservation {
    fn drop(&mut self) {
        self.shrink(self.size());
    }
}
