//! Holders of memory and a host, in every mood.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use bywash_core::memory::{
    Consumer, MemoryLedger, Reclaimed, Reservation, Spill, SpillCause, Spillable,
};
use bywash_core::port::MemoryParent;
use bywash_core::{Error, ErrorKind, Result};
use proptest::prelude::*;

/// What a consumer does when it is asked to spill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpillMood {
    GivesAll,
    GivesPart,
    IsBusy,
    /// Gives all up and keeps the error.
    Fails,
    /// Says that it could, and does not.
    GivesNothing,
}

impl SpillMood {
    pub(super) fn any() -> BoxedStrategy<Self> {
        prop_oneof![
            4 => Just(Self::GivesAll),
            2 => Just(Self::GivesPart),
            1 => Just(Self::IsBusy),
            1 => Just(Self::Fails),
            1 => Just(Self::GivesNothing),
        ]
        .boxed()
    }
}

/// A consumer with its reservations, which it can spill.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) consumer: Consumer,
    held: Mutex<Vec<Reservation>>,
    mood: Mutex<SpillMood>,
    /// Granted at its birth and not used.
    credit: AtomicU64,
}

impl Holder {
    pub(super) fn new(consumer: Consumer, mood: SpillMood) -> Arc<Self> {
        let holder = Arc::new(Self {
            consumer,
            held: Mutex::new(Vec::new()),
            mood: Mutex::new(mood),
            credit: AtomicU64::new(0),
        });
        let weak: Weak<dyn Spillable> = Arc::downgrade(&holder) as _;
        holder.consumer.set_spillable(weak);
        holder
    }

    pub(super) fn set_mood(&self, mood: SpillMood) {
        *self.mood.lock().expect("one thread") = mood;
    }

    /// Whoever asks meanwhile finds it busy.
    pub(super) fn held(&self) -> MutexGuard<'_, Vec<Reservation>> {
        self.held.lock().expect("one thread")
    }

    pub(super) fn keep(&self, reservation: Reservation) {
        self.held().push(reservation);
        self.update();
    }

    /// Gives back the newest.
    pub(super) fn give(&self) {
        let newest = self.held().pop();
        drop(newest);
        self.update();
    }

    pub(super) fn update(&self) {
        let bytes = self.held().iter().map(Reservation::granted).sum();
        self.consumer.set_reclaimable(bytes);
    }

    pub(super) fn reclaimable(&self) -> u64 {
        self.consumer.reclaimable()
    }

    pub(super) fn gives_all(&self) -> bool {
        matches!(*self.mood.lock().expect("one thread"), SpillMood::GivesAll | SpillMood::Fails)
    }

    pub(super) fn born_with(&self, bytes: u64) {
        // Asked for while nothing of an earlier birth was left.
        self.credit.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn born(&self) {
        self.credit.store(0, Ordering::Relaxed);
    }

    /// Counts a grant, which comes out of what is left of its birth if that is enough.
    pub(super) fn used(&self, bytes: u64) -> u64 {
        let credit = self.credit.load(Ordering::Relaxed);
        if bytes > 0 && credit >= bytes {
            self.credit.store(credit - bytes, Ordering::Relaxed);
        }
        bytes
    }

    /// Granted and live, blocks apart.
    pub(super) fn figures(&self) -> (u64, u64) {
        let held = self.held();
        let granted: u64 = held.iter().map(Reservation::granted).sum();
        let live = held.iter().map(Reservation::live).sum();
        (granted + self.credit.load(Ordering::Relaxed), live)
    }

    fn spill(&self, held: &mut Vec<Reservation>, mood: SpillMood) -> u64 {
        let before: u64 = held.iter().map(Reservation::granted).sum();
        let scope = self.consumer.begin_spill();
        assert!(self.consumer.try_reserve(1).is_err(), "a spill is granted nothing");
        match mood {
            SpillMood::GivesPart => {
                for reservation in held.iter_mut() {
                    reservation.set_live(reservation.live() / 2);
                    reservation.shrink(reservation.granted() / 2);
                }
            }
            SpillMood::GivesNothing => {}
            _ => held.clear(),
        }
        drop(scope);
        let after: u64 = held.iter().map(Reservation::granted).sum();
        self.consumer.set_reclaimable(after);
        let freed = before - after;
        if freed > 0 {
            self.consumer.record_spill(&Spill {
                cause: SpillCause::Pressure,
                asked: self.consumer.take_wanted(),
                held: before,
                freed,
                written: freed,
                took: Duration::ZERO,
                failed: mood == SpillMood::Fails,
            });
        }
        freed
    }
}

impl Spillable for Holder {
    fn reclaim(&self, _: u64) -> Reclaimed {
        let mood = *self.mood.lock().expect("one thread");
        match self.held.try_lock() {
            Ok(mut held) if mood != SpillMood::IsBusy => {
                Reclaimed::Freed(self.spill(&mut held, mood))
            }
            _ => Reclaimed::Busy,
        }
    }
}

/// What a host does when it is asked, and given back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostMood {
    LendsAll,
    LendsHalf,
    LendsUpTo(u64),
    LendsNothing,
    Fails,
    /// Says more than it was asked for, and knows what that counts as.
    SaysMore,
    /// Takes so much back first, whenever it is called.
    TakesBack(u64),
}

impl HostMood {
    pub(super) fn any() -> BoxedStrategy<Self> {
        prop_oneof![
            4 => Just(Self::LendsAll),
            1 => Just(Self::LendsHalf),
            1 => (1u64..20).prop_map(Self::LendsUpTo),
            1 => Just(Self::LendsNothing),
            1 => Just(Self::Fails),
            1 => Just(Self::SaysMore),
            3 => (1u64..80).prop_map(Self::TakesBack),
        ]
        .boxed()
    }
}

/// A host that keeps books of what it has lent.
pub(super) struct Lender {
    mood: Mutex<HostMood>,
    lent: AtomicU64,
    ledger: Mutex<Option<MemoryLedger>>,
}

impl Lender {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            mood: Mutex::new(HostMood::LendsAll),
            lent: AtomicU64::new(0),
            ledger: Mutex::new(None),
        })
    }

    pub(super) fn set_mood(&self, mood: HostMood) {
        *self.mood.lock().expect("one thread") = mood;
    }

    pub(super) fn set_ledger(&self, ledger: Option<MemoryLedger>) {
        let before = std::mem::replace(&mut *self.ledger.lock().expect("one thread"), ledger);
        drop(before);
    }

    pub(super) fn lent(&self) -> u64 {
        self.lent.load(Ordering::Relaxed)
    }

    pub(super) fn takes_back(&self) -> bool {
        matches!(self.mood(), HostMood::TakesBack(_))
    }

    fn mood(&self) -> HostMood {
        *self.mood.lock().expect("one thread")
    }

    /// Calls the ledger from inside a call of the ledger, but not from inside that.
    fn call_back(&self) {
        let HostMood::TakesBack(bytes) = self.mood() else { return };
        let ledger = self.ledger.lock().expect("one thread").take();
        if let Some(ledger) = ledger {
            assert!(ledger.reclaim(bytes) <= bytes);
            self.set_ledger(Some(ledger));
        }
    }
}

impl MemoryParent for Lender {
    fn acquire(&self, bytes: u64) -> Result<u64> {
        assert!(bytes > 0, "nothing is asked for");
        self.call_back();
        let lent = match self.mood() {
            HostMood::LendsAll | HostMood::SaysMore | HostMood::TakesBack(_) => bytes,
            HostMood::LendsHalf => bytes / 2,
            HostMood::LendsUpTo(most) => bytes.min(most),
            HostMood::LendsNothing => 0,
            HostMood::Fails => return Err(Error::new(ErrorKind::Cancelled, "the host says stop")),
        };
        self.lent.fetch_add(lent, Ordering::Relaxed);
        Ok(if self.mood() == HostMood::SaysMore { lent + 1000 } else { lent })
    }

    fn release(&self, bytes: u64) {
        assert!(bytes > 0, "nothing is given back");
        let before = self.lent.fetch_sub(bytes, Ordering::Relaxed);
        assert!(before >= bytes, "{bytes} came back of {before}");
        self.call_back();
    }
}
