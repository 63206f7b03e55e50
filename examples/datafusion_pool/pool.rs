//! A pool over a ledger: the memory of one query.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bywash::{Consumer, Reservation, Result, TaskMemory};

use crate::shapes::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, ResourcesExhausted,
};

/// Operators of one query, sharing the memory of a task.
///
/// `try_grow` asks, in this order: what is free; the writers of this task, which spill on the calling
/// thread; then it is refused, naming who holds what. It never waits. `grow` cannot be refused: what
/// the ledger has no room for is *over*, and while there is any, every `try_grow` is refused.
pub(crate) struct LedgerPool {
    task: TaskMemory,
    /// By DataFusion's id: all reservations of a consumer are one of ours.
    holders: Mutex<HashMap<usize, Arc<Holder>>>,
    /// What `grow` took when there was no room.
    debt: Mutex<Debt>,
    /// Bytes of consumers that cannot spill.
    unspillable: AtomicU64,
    /// Consumers that can.
    spillers: AtomicU64,
    reserved: AtomicU64,
}

struct Holder {
    consumer: Consumer,
    can_spill: bool,
    held: Mutex<Held>,
}

struct Held {
    reservation: Reservation,
    /// Of what DataFusion has, the part that is in the debt.
    borrowed: u64,
}

struct Debt {
    /// Granted since.
    covered: Reservation,
    /// Not granted: memory that is used above the budget.
    over: u64,
}

impl LedgerPool {
    /// A pool for the `RuntimeEnv` of one query.
    pub(crate) fn new(task: TaskMemory) -> Result<Arc<Self>> {
        let covered = task.consumer("datafusion-grow").reserve_now(0)?;
        Ok(Arc::new(Self {
            task,
            holders: Mutex::default(),
            debt: Mutex::new(Debt { covered, over: 0 }),
            unspillable: AtomicU64::new(0),
            spillers: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
        }))
    }

    /// Bytes that `grow` took and the ledger has not granted: a metric to watch.
    pub(crate) fn over(&self) -> u64 {
        lock(&self.debt).over
    }

    fn holder(&self, reservation: &MemoryReservation) -> Option<Arc<Holder>> {
        lock(&self.holders).get(&reservation.consumer().id()).cloned()
    }

    /// Asks the ledger for `bytes` more.
    fn ask(&self, holder: &Holder, bytes: u64) -> Result<()> {
        let reservation = &mut lock(&holder.held).reservation;
        reservation.grow_now(bytes)?;
        // DataFusion does not say what it really allocates.
        reservation.set_live(reservation.granted());
        self.count(holder, bytes, u64::saturating_add);
        Ok(())
    }

    /// What is over becomes granted as soon as there is room.
    fn settle(&self) -> Result<()> {
        let mut debt = lock(&self.debt);
        let over = debt.over;
        if over > 0 {
            debt.covered.grow_now(over)?;
            let granted = debt.covered.granted();
            debt.covered.set_live(granted);
            debt.over = 0;
        }
        Ok(())
    }

    /// As in DataFusion's `FairSpillPool`: who can spill has at most an equal part of what those who
    /// cannot have left.
    fn is_fair(&self, holder: &Holder, bytes: u64) -> bool {
        let left = self.task.share().saturating_sub(self.unspillable.load(Relaxed));
        let part = left / self.spillers.load(Relaxed).max(1);
        !holder.can_spill || holder.consumer.granted().saturating_add(bytes) <= part
    }

    fn count(&self, holder: &Holder, bytes: u64, change: fn(u64, u64) -> u64) {
        let to = |value: &AtomicU64| {
            value.fetch_update(Relaxed, Relaxed, |now| Some(change(now, bytes)))
        };
        // The closure always has an answer.
        let _ = to(&self.reserved);
        if !holder.can_spill {
            let _ = to(&self.unspillable);
        }
    }
}

impl MemoryPool for LedgerPool {
    fn name(&self) -> &'static str {
        "bywash"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        let ours = self.task.consumer(static_name(consumer.name()));
        let Ok(reservation) = ours.reserve_now(0) else {
            return;
        };
        self.spillers.fetch_add(u64::from(consumer.can_spill()), Relaxed);
        let held = Mutex::new(Held { reservation, borrowed: 0 });
        let holder = Holder { consumer: ours, can_spill: consumer.can_spill(), held };
        lock(&self.holders).insert(consumer.id(), Arc::new(holder));
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if lock(&self.holders).remove(&consumer.id()).is_some() {
            self.spillers.fetch_sub(u64::from(consumer.can_spill()), Relaxed);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let (Some(holder), bytes) = (self.holder(reservation), additional as u64) else {
            return;
        };
        if self.ask(&holder, bytes).is_err() {
            lock(&self.debt).over += bytes;
            lock(&holder.held).borrowed += bytes;
            self.count(&holder, bytes, u64::saturating_add);
        }
    }

    fn try_grow(
        &self,
        reservation: &MemoryReservation,
        additional: usize,
    ) -> std::result::Result<(), ResourcesExhausted> {
        let (Some(holder), bytes) = (self.holder(reservation), additional as u64) else {
            return Err(ResourcesExhausted(format!(
                "{:?} is not registered",
                reservation.consumer()
            )));
        };
        if !self.is_fair(&holder, bytes) {
            let (name, share) = (reservation.consumer().name(), self.task.share());
            return Err(ResourcesExhausted(format!(
                "{additional} B more are above an equal part for {name}, which can spill ({self}, \
                 share {share} B)"
            )));
        }
        self.settle().and_then(|()| self.ask(&holder, bytes)).map_err(|error| {
            let error = holder.consumer.name_holders(error);
            ResourcesExhausted(format!("{}: {error}", reservation.consumer().name()))
        })
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let (Some(holder), bytes) = (self.holder(reservation), shrink as u64) else {
            return;
        };
        let mut held = lock(&holder.held);
        let repaid = bytes.min(held.borrowed);
        held.borrowed -= repaid;
        give_back(&mut held.reservation, bytes - repaid);
        drop(held);
        let mut debt = lock(&self.debt);
        let from_over = repaid.min(debt.over);
        debt.over -= from_over;
        give_back(&mut debt.covered, repaid - from_over);
        drop(debt);
        self.count(&holder, bytes, u64::saturating_sub);
    }

    fn reserved(&self) -> usize {
        usize::try_from(self.reserved.load(Relaxed)).unwrap_or(usize::MAX)
    }

    fn memory_limit(&self) -> MemoryLimit {
        match self.task.capacity() {
            u64::MAX => MemoryLimit::Infinite,
            _ => MemoryLimit::Finite(usize::try_from(self.task.share()).unwrap_or(usize::MAX)),
        }
    }
}

fn give_back(reservation: &mut Reservation, bytes: u64) {
    reservation.set_live(reservation.granted().saturating_sub(bytes));
    reservation.shrink(bytes);
}

/// Our consumers' names are static: one for each kind of operator, kept for ever, without the
/// partition (`ExternalSorter[3]`).
fn static_name(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let kind = name.split('[').next().unwrap_or(name);
    let mut names = lock(&NAMES);
    if let Some(known) = names.get(kind) {
        return known;
    }
    let kept: &'static str = Box::leak(Box::from(kind));
    names.insert(kept);
    kept
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Display for LedgerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reserved, over) = (self.reserved(), self.over());
        write!(f, "{}(task {}: {reserved} B, over {over} B)", self.name(), self.task.number())
    }
}

impl fmt::Debug for LedgerPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
