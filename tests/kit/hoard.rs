//! A consumer that hoards memory and gives it back when asked, as a writer does: behind a lock that
//! a reclaiming thread only tries. It keeps books of its own and compares them with the ledger's.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak};
use std::time::Duration;

use bywash::{Consumer, Reclaimed, Reservation, Spill, SpillCause, Spillable, TaskMemory};
use bywash_core::memory::{Area, Block};

use crate::seed::Rng;

/// Memory in a hoard.
#[derive(Debug)]
pub enum Held {
    /// Mapped.
    Area(Area),
    /// On the heap.
    Block(Block, u64),
    /// Reserved, with so many bytes said to be live.
    Plain(Reservation),
}

impl Held {
    /// Bytes granted.
    pub fn granted(&self) -> u64 {
        match self {
            Self::Area(area) => area.len() as u64,
            Self::Block(_, bytes) => *bytes,
            Self::Plain(reservation) => reservation.granted(),
        }
    }

    fn live(&self) -> u64 {
        match self {
            Self::Plain(reservation) => reservation.live(),
            mapped => mapped.granted(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Hoard {
    consumer: Consumer,
    held: Mutex<Vec<Held>>,
    spillable: bool,
    spills: AtomicU64,
}

impl Hoard {
    /// An empty one in `task`, which the ledger may ask to spill if it is `spillable`.
    pub fn new(task: &TaskMemory, name: &'static str, spillable: bool) -> Arc<Self> {
        let consumer = task.consumer(name);
        let held = Mutex::new(Vec::new());
        let hoard = Arc::new(Self { consumer, held, spillable, spills: AtomicU64::new(0) });
        if spillable {
            let weak: Weak<Self> = Arc::downgrade(&hoard);
            hoard.consumer.set_spillable(weak);
        }
        hoard
    }

    /// Its consumer.
    pub const fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Times it spilled.
    pub fn spills(&self) -> u64 {
        self.spills.load(Ordering::Relaxed)
    }

    /// Does `work` with what it holds, as one operation of its owner: spills before and after if
    /// somebody asked.
    ///
    /// # Errors
    /// When its books and the ledger's differ.
    pub fn operate<T>(
        &self,
        work: impl FnOnce(&Consumer, &mut Vec<Held>) -> T,
    ) -> Result<T, String> {
        let mut held = self.lock();
        self.answer(&mut held);
        let outcome = work(&self.consumer, &mut held);
        self.note(&held);
        self.answer(&mut held);
        let checked = self.check(&held);
        drop(held);
        // Whoever asked just before the lock was given up was told that it is busy.
        if self.spillable && self.consumer.is_wanted() {
            self.reclaim(0);
        }
        checked.map(|()| outcome)
    }

    /// Gives everything back.
    pub fn clear(&self) {
        let mut held = self.lock();
        held.clear();
        self.note(&held);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, held: &mut Vec<Held>) {
        if self.spillable && self.consumer.is_wanted() {
            self.spill(held, SpillCause::Reclaim, u64::MAX);
        }
    }

    /// Gives back at least `bytes` if there are so many.
    fn spill(&self, held: &mut Vec<Held>, cause: SpillCause, bytes: u64) -> u64 {
        let asked = self.consumer.take_wanted();
        let _spilling = self.consumer.begin_spill();
        let before = self.consumer.granted();
        let mut freed = 0;
        while freed < bytes
            && let Some(next) = held.pop()
        {
            freed += next.granted();
        }
        self.note(held);
        self.spills.fetch_add(1, Ordering::Relaxed);
        let (written, took) = (freed, Duration::ZERO);
        let failed = false;
        self.consumer.record_spill(&Spill {
            cause,
            asked,
            held: before,
            freed,
            written,
            took,
            failed,
        });
        freed
    }

    fn note(&self, held: &[Held]) {
        if self.spillable {
            self.consumer.set_reclaimable(held.iter().map(Held::granted).sum());
        }
    }

    fn check(&self, held: &[Held]) -> Result<(), String> {
        let granted: u64 = held.iter().map(Held::granted).sum();
        let live: u64 = held.iter().map(Held::live).sum();
        let (has, is) = (self.consumer.granted(), self.consumer.live());
        if (granted, live) == (has, is) {
            return Ok(());
        }
        let name = self.consumer.name();
        Err(format!("{name} holds {granted}, {live} live; the ledger says {has}, {is} live"))
    }
}

impl Spillable for Hoard {
    fn reclaim(&self, bytes: u64) -> Reclaimed {
        let mut held = match self.held.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Reclaimed::Busy,
        };
        if held.is_empty() {
            return Reclaimed::Freed(0);
        }
        // Without a figure of its own it owes what it was marked for.
        let bytes = if bytes == 0 { u64::MAX } else { bytes };
        Reclaimed::Freed(self.spill(&mut held, SpillCause::Reclaim, bytes))
    }
}

/// Bytes of a request: small ones as likely as large ones.
pub fn request_bytes(rng: &mut Rng, most: u64) -> u64 {
    let most = usize::try_from(most).expect("a request fits the address space");
    rng.size(1, most) as u64
}
