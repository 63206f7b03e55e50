use std::sync::{Arc, Mutex, Weak};

use super::{Reclaimed, Spillable};
use crate::memory::{Consumer, LedgerOptions, MemoryLedger, Reservation};
use crate::port::MemoryParent;
use crate::{ErrorKind, Result};

/// Lends what it is asked for up to a limit, and takes `takes` back first, whenever it is called.
struct Host {
    lends: u64,
    takes: u64,
    lent: Mutex<u64>,
    ledger: Mutex<Option<MemoryLedger>>,
}

impl Host {
    fn with_ledger(lends: u64, takes: u64) -> (Arc<Self>, MemoryLedger) {
        let (lent, ledger) = (Mutex::new(0), Mutex::new(None));
        let host = Arc::new(Self { lends, takes, lent, ledger });
        let parent: Arc<dyn MemoryParent> = Arc::clone(&host) as _;
        let options = LedgerOptions::new(100);
        let options = LedgerOptions { parent: Some(parent), parent_slack: 0, ..options };
        (host, MemoryLedger::with_options(options))
    }

    fn takes_back(&self, ledger: Option<MemoryLedger>) {
        *self.ledger.lock().unwrap() = ledger;
    }

    fn call_back(&self) {
        let ledger = self.ledger.lock().unwrap().take();
        if let Some(ledger) = ledger {
            ledger.reclaim(self.takes);
            self.takes_back(Some(ledger));
        }
    }
}

impl MemoryParent for Host {
    fn acquire(&self, bytes: u64) -> Result<u64> {
        self.call_back();
        let mut lent = self.lent.lock().unwrap();
        let part = bytes.min(self.lends - *lent);
        *lent += part;
        Ok(part)
    }

    fn release(&self, bytes: u64) {
        *self.lent.lock().unwrap() -= bytes;
        self.call_back();
    }
}

/// Gives all it holds, or is busy.
struct Holder {
    consumer: Consumer,
    held: Mutex<Option<Reservation>>,
    is_busy: bool,
}

impl Holder {
    fn new(consumer: Consumer, bytes: u64, is_busy: bool) -> Arc<Self> {
        let held = Mutex::new(Some(consumer.reserve(bytes).unwrap()));
        consumer.set_reclaimable(bytes);
        let holder = Arc::new(Self { consumer, held, is_busy });
        let weak: Weak<dyn Spillable> = Arc::downgrade(&holder) as _;
        holder.consumer.set_spillable(weak);
        holder
    }
}

impl Spillable for Holder {
    fn reclaim(&self, _: u64) -> Reclaimed {
        if self.is_busy {
            return Reclaimed::Busy;
        }
        self.consumer.set_reclaimable(0);
        let held = self.held.lock().unwrap().take();
        Reclaimed::Freed(held.map_or(0, |reservation| reservation.granted()))
    }
}

/// The request asked a busy consumer, then the host; the host took back, asked the same consumer for
/// itself, and lent nothing; and the request asked the consumer again, for ever.
#[test]
fn a_host_that_takes_back_in_the_middle_is_not_asked_for_ever() {
    let (host, ledger) = Host::with_ledger(50, 10);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let busy = [true, true].map(|is_busy| Holder::new(task.consumer("b"), 20, is_busy));
    host.takes_back(Some(ledger));
    let refused = task.consumer("asker").reserve_now(60).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::MemoryLimit);
    assert!(busy.iter().all(|holder| holder.consumer.is_wanted()));
    host.takes_back(None);
}

/// As much as it lent it took back the next time, so there was always as much missing.
#[test]
fn a_host_that_takes_back_what_it_lent_is_not_asked_for_ever() {
    let (host, ledger) = Host::with_ledger(50, 10);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let _some = task.consumer("a").reserve(38).unwrap();
    host.takes_back(Some(ledger.clone()));
    let refused = task.consumer("b").reserve_now(20).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::MemoryLimit);
    host.takes_back(None);
    assert_eq!(*host.lent.lock().unwrap(), ledger.snapshot().lent);
}

/// What a consumer gave up for somebody else's reclaim went to nobody's: the outer one had looked
/// already.
#[test]
fn what_comes_back_in_the_middle_of_a_reclaim_is_the_hosts() {
    let (host, ledger) = Host::with_ledger(50, 1);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let first = Holder::new(task.consumer("a"), 10, false);
    let second = Holder::new(task.consumer("b"), 10, false);
    host.takes_back(Some(ledger.clone()));
    // The first gives its bytes; while the host takes them it asks the second for one byte.
    let given = ledger.reclaim(19);
    host.takes_back(None);
    assert_eq!(ledger.granted(), 0);
    assert_eq!((given, *host.lent.lock().unwrap()), (19, 0));
    drop((first, second));
}

/// Idle memory of the host's is no answer to a capacity that fell: what is granted must come down.
#[test]
fn a_fallen_capacity_is_answered_by_spills_and_not_by_idle_memory() {
    let (lent, ledger) = (Mutex::new(0), Mutex::new(None));
    let host = Arc::new(Host { lends: 100, takes: 0, lent, ledger });
    let parent: Arc<dyn MemoryParent> = Arc::clone(&host) as _;
    let options = LedgerOptions::new(100);
    let options = LedgerOptions { parent: Some(parent), parent_slack: 20, ..options };
    let ledger = MemoryLedger::with_options(options);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let _some = task.consumer("a").reserve(40).unwrap();
    let _holder = Holder::new(task.consumer("b"), 40, false);
    assert!(*host.lent.lock().unwrap() > ledger.granted());
    assert_eq!(ledger.set_capacity(75), 5);
    assert_eq!(ledger.reclaim_over(), 40);
    assert_eq!((ledger.over(), ledger.granted()), (0, 40));
}

/// Says that it gave something, and gives nothing.
struct Liar;

impl Spillable for Liar {
    fn reclaim(&self, bytes: u64) -> Reclaimed {
        Reclaimed::Freed(bytes)
    }
}

#[test]
fn who_says_it_gave_and_gave_nothing_is_asked_once() {
    let (host, ledger) = Host::with_ledger(50, 0);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let consumer = task.consumer("liar");
    let _held = consumer.reserve(10).unwrap();
    let liar: Arc<dyn Spillable> = Arc::new(Liar);
    consumer.set_spillable(Arc::downgrade(&liar));
    consumer.set_reclaimable(10);
    assert_eq!(ledger.reclaim(10), 0);
    assert_eq!(*host.lent.lock().unwrap(), 10);
}

/// Panics the first time it is given something back.
struct Falling(Mutex<bool>);

impl MemoryParent for Falling {
    fn acquire(&self, bytes: u64) -> Result<u64> {
        Ok(bytes)
    }

    fn release(&self, _: u64) {
        let first = std::mem::replace(&mut *self.0.lock().unwrap(), false);
        assert!(!first, "the host falls");
    }
}

/// What it was about to take is the next request's again.
#[test]
fn a_host_that_panics_while_it_takes_back_leaves_the_account_in_order() {
    let parent: Arc<dyn MemoryParent> = Arc::new(Falling(Mutex::new(true)));
    let options = LedgerOptions::new(100);
    let options = LedgerOptions { parent: Some(parent), parent_slack: 20, ..options };
    let ledger = MemoryLedger::with_options(options);
    let task = ledger.admit(1, 0).unwrap().remove(0);
    let held = task.consumer("a").reserve(40).unwrap();
    let fallen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ledger.reclaim(30)));
    assert!(fallen.is_err());
    let lent = ledger.snapshot().lent;
    drop(held);
    // Nothing is set aside any more: this is granted out of what is there.
    let _again = task.consumer("b").reserve(20).unwrap();
    assert!(ledger.snapshot().lent <= lent);
}
