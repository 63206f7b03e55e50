//! Threads that wait while the host or the capacity changes its mind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bywash::{
    ChargeMode, Error, ErrorKind, LedgerOptions, MemoryLedger, Park, ThreadPark, waiting_ledger,
};
use bywash_core::memory::Block;
use bywash_tests::case::admit;
use bywash_tests::lender::{Lender, Loan};
use bywash_tests::watchdog;

/// Whole pages, however large they are.
const BLOCK_BYTES: u64 = 896 << 10;
const LONG: Duration = Duration::from_secs(60);

fn waiting(lender: &Arc<Lender>, capacity: u64) -> MemoryLedger {
    let parent: Arc<Lender> = Arc::clone(lender);
    let ledger = MemoryLedger::with_options(LedgerOptions {
        parent: Some(parent),
        parent_slack: 0,
        ..waiting_ledger(capacity, Duration::MAX)
    });
    lender.watch(&ledger);
    ledger
}

/// Until somebody waits.
fn until_one_waits(ledger: &MemoryLedger) {
    while ledger.snapshot().waiting == 0 {
        std::thread::yield_now();
    }
}

/// It had slept on the first part, and nothing ever woke it.
#[test]
fn a_waiter_is_lent_what_it_needs_in_parts() {
    let lender =
        Lender::new(1, 0, |asked, _| Loan::UpTo(if asked > 500_000 { asked } else { 7000 }));
    let ledger = waiting(&lender, 1 << 20);
    let (first, second) = (admit(&ledger, 0).unwrap(), admit(&ledger, 0).unwrap());
    let block =
        Block::try_new_to_keep(&first.consumer("reader"), usize::try_from(BLOCK_BYTES).unwrap(), 0)
            .unwrap();
    watchdog::within(
        LONG,
        || ledger.explain().to_string(),
        || {
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| second.consumer("waiter").reserve(200_000).map(drop));
                until_one_waits(&ledger);
                // Room for the waiter, but its memory goes along.
                let owner = block.into_owner(ChargeMode::Host);
                waiter.join().unwrap().unwrap();
                assert_eq!(lender.lent(), BLOCK_BYTES);
                drop(owner);
            });
        },
    );
    assert_eq!(lender.books().handed_over, BLOCK_BYTES);
    drop((first, second));
    lender.settle();
    drop(ledger);
    lender.check_settled().unwrap();
}

#[test]
fn a_waiter_is_told_the_hosts_error_and_what_it_was_lent_goes_back() {
    let calls = AtomicU64::new(0);
    let lender = Lender::new(1, 0, move |_, _| match calls.fetch_add(1, Ordering::Relaxed) {
        0 => Loan::All,
        1 => Loan::UpTo(9000),
        _ => Loan::Fail(Error::new(ErrorKind::Unavailable, "the host is going away")),
    });
    let ledger = waiting(&lender, 1 << 20);
    let (first, second) = (admit(&ledger, 0).unwrap(), admit(&ledger, 0).unwrap());
    let block =
        Block::try_new_to_keep(&first.consumer("reader"), usize::try_from(BLOCK_BYTES).unwrap(), 0)
            .unwrap();
    let error = watchdog::within(
        LONG,
        || ledger.explain().to_string(),
        || {
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| second.consumer("waiter").reserve(200_000).map(drop));
                until_one_waits(&ledger);
                drop(block.into_owner(ChargeMode::Host));
                waiter.join().unwrap().unwrap_err()
            })
        },
    );
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "the host is going away"));
    assert_eq!((ledger.granted(), lender.lent()), (0, 0));
    drop((first, second));
    lender.settle();
    drop(ledger);
    lender.check_settled().unwrap();
}

/// Lets nobody wake up before it is told to.
struct Snooze {
    park: ThreadPark,
    asleep: Mutex<Option<Receiver<()>>>,
}

impl Park for Snooze {
    fn epoch(&self) -> u64 {
        self.park.epoch()
    }

    fn park(&self, seen: u64, timeout: Option<Duration>) {
        self.park.park(seen, timeout);
        let until = self.asleep.lock().unwrap().take();
        if let Some(until) = until {
            until.recv().unwrap();
        }
    }

    fn unpark_all(&self) {
        self.park.unpark_all();
    }
}

/// What a sleeper was granted counted only once it was awake: a fall of the capacity in between
/// found nothing above it, and then more was granted than there was.
#[test]
fn what_a_sleeper_was_granted_counts_at_once() {
    let (wake, asleep) = mpsc::channel();
    let park = Snooze { park: ThreadPark::default(), asleep: Mutex::new(Some(asleep)) };
    let ledger = MemoryLedger::with_options(LedgerOptions {
        park: Some(Arc::new(park)),
        ..waiting_ledger(100, Duration::MAX)
    });
    let (first, second) = (admit(&ledger, 0).unwrap(), admit(&ledger, 0).unwrap());
    let held = first.consumer("holder").reserve(80).unwrap();
    watchdog::within(
        LONG,
        || ledger.explain().to_string(),
        || {
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| second.consumer("waiter").reserve(40));
                until_one_waits(&ledger);
                drop(held);
                assert_eq!(ledger.granted(), 40);
                assert_eq!(ledger.set_capacity(30), 10);
                wake.send(()).unwrap();
                let granted = waiter.join().unwrap().unwrap();
                assert_eq!((ledger.granted(), ledger.over(), granted.granted()), (40, 10, 40));
            });
        },
    );
    assert_eq!((ledger.granted(), ledger.peak_granted()), (0, 80));
}

#[test]
fn a_sleeper_that_is_cancelled_after_it_was_granted_gives_it_back() {
    let (wake, asleep) = mpsc::channel();
    let park = Snooze { park: ThreadPark::default(), asleep: Mutex::new(Some(asleep)) };
    let ledger = MemoryLedger::with_options(LedgerOptions {
        park: Some(Arc::new(park)),
        ..waiting_ledger(100, Duration::MAX)
    });
    let (first, second) = (admit(&ledger, 0).unwrap(), admit(&ledger, 0).unwrap());
    let held = first.consumer("holder").reserve(80).unwrap();
    let consumer = second.consumer("waiter");
    watchdog::within(
        LONG,
        || ledger.explain().to_string(),
        || {
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| consumer.reserve(40).map(drop));
                until_one_waits(&ledger);
                drop(held);
                consumer.canceller().cancel();
                wake.send(()).unwrap();
                // Granted or cancelled, whichever it sees first.
                drop(waiter.join().unwrap());
            });
        },
    );
    assert_eq!((ledger.granted(), ledger.snapshot().waiting), (0, 0));
}
