//! What a host is told and given back, one step at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bywash::{ChargeMode, Error, ErrorKind, LedgerOptions, MemoryLedger};
use bywash_core::memory::{Area, Block};
use bywash_tests::case::admit;
use bywash_tests::hoard::{Held, Hoard};
use bywash_tests::lender::{Lender, Loan};

/// A ledger of 64 MiB lent by `lender`, of which `slack` may lie idle.
pub(crate) fn lent(lender: &Arc<Lender>, slack: u64) -> MemoryLedger {
    let parent: Arc<Lender> = Arc::clone(lender);
    let ledger = MemoryLedger::with_options(LedgerOptions {
        parent: Some(parent),
        parent_slack: slack,
        ..LedgerOptions::new(64 << 20)
    });
    lender.watch(&ledger);
    ledger
}

fn put(hoard: &Hoard, bytes: usize) {
    let area = hoard.operate(|consumer, held| {
        Area::try_new(consumer, bytes).map(|area| held.push(Held::Area(area)))
    });
    area.unwrap().unwrap();
}

/// What a spill freed had gone to the host as a surplus, was not counted, and one more was spilled.
#[test]
fn a_reclaim_counts_what_went_back_and_spills_no_more() {
    let lender = Lender::generous();
    let ledger = lent(&lender, 1 << 20);
    let task = admit(&ledger, 0).unwrap();
    let hoards = [Hoard::new(&task, "one", true), Hoard::new(&task, "other", true)];
    for hoard in &hoards {
        put(hoard, 8 << 20);
        put(hoard, 8 << 20);
    }
    let before = lender.lent();
    assert_eq!(ledger.reclaim(12 << 20), 12 << 20);
    assert!(before - lender.lent() >= 12 << 20);
    assert_eq!(hoards.iter().map(|hoard| hoard.spills()).sum::<u64>(), 1);
    // What was freed beyond that is a surplus.
    assert!(lender.lent() <= ledger.granted() + (1 << 20));
    let all = lender.lent();
    assert_eq!(ledger.reclaim(u64::MAX), all);
    assert_eq!((ledger.granted(), lender.lent()), (0, 0));
    drop((hoards, task));
    lender.settle();
    drop(ledger);
    lender.check_settled().unwrap();
}

#[test]
fn buffers_dropped_after_their_task_can_be_taken_back() {
    for ledger_first in [true, false] {
        let lender = Lender::generous();
        let ledger = lent(&lender, 1 << 20);
        let task = admit(&ledger, 0).unwrap();
        let block = Block::try_new_to_keep(&task.consumer("reader"), 9 << 20, 0).unwrap();
        let owner = block.into_owner(ChargeMode::Ledger);
        drop(task);
        if ledger_first {
            lender.settle();
            drop(ledger);
            assert!(lender.lent() >= 9 << 20);
            drop(owner);
        } else {
            ledger.reclaim(u64::MAX);
            assert_eq!(lender.lent(), 9 << 20, "it is in use");
            drop(owner);
            assert_eq!(ledger.reclaim(u64::MAX), 9 << 20);
            assert_eq!(lender.lent(), 0);
            lender.settle();
            drop(ledger);
        }
        lender.check_settled().unwrap();
    }
}

#[test]
fn small_requests_are_batched_within_the_slack() {
    let lender = Lender::generous();
    let ledger = lent(&lender, 1 << 20);
    let task = admit(&ledger, 0).unwrap();
    let consumer = task.consumer("list");
    let mut held = Vec::new();
    for _ in 0..1000 {
        held.push(consumer.reserve(1000).unwrap());
        assert!(lender.lent() - ledger.granted() <= 1 << 20);
    }
    assert!(lender.books().asked <= 3, "{:?}", lender.books());
    while held.pop().is_some() {
        assert!(lender.lent() - ledger.granted() <= 1 << 20);
    }
    assert!(lender.books().released <= 3, "{:?}", lender.books());
    drop((consumer, task));
    assert_eq!(lender.lent(), 0, "nobody holds anything: no slack is kept");
    lender.settle();
    drop(ledger);
    lender.check_settled().unwrap();
}

/// What was lent of a request that failed in the end lay idle, far above the slack.
#[test]
fn an_error_of_the_host_is_the_askers_and_leaves_nothing_lent() {
    for kind in [ErrorKind::Cancelled, ErrorKind::Unavailable] {
        let calls = AtomicU64::new(0);
        let lender = Lender::new(1, 0, move |_, _| match calls.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Loan::UpTo(8 << 20),
            _ => Loan::Fail(Error::new(kind, "the host is going away")),
        });
        let ledger = lent(&lender, 1 << 20);
        let task = admit(&ledger, 0).unwrap();
        let error = task.consumer("asker").reserve(32 << 20).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, "the host is going away"));
        assert_eq!(ledger.granted(), 0);
        assert!(lender.lent() <= 1 << 20, "{} of 16 MiB are still lent", lender.lent());
        drop(task);
        lender.settle();
        drop(ledger);
        lender.check_settled().unwrap();
    }
}

#[test]
fn parts_add_up_and_nothing_is_a_refusal() {
    let lender = Lender::new(1, 0, |_, _| Loan::UpTo(100_000));
    let ledger = lent(&lender, 0);
    let task = admit(&ledger, 0).unwrap();
    let consumer = task.consumer("asker");
    let held = consumer.reserve(1_050_000).unwrap();
    assert_eq!((ledger.granted(), lender.lent(), lender.books().asked), (1_050_000, 1_050_000, 11));
    drop(held);
    drop((consumer, task));
    lender.settle();
    drop(ledger);
    lender.check_settled().unwrap();

    let lender = Lender::new(1, 0, |asked, _| if asked > 5 { Loan::Nothing } else { Loan::All });
    let ledger = lent(&lender, 0);
    let task = admit(&ledger, 0).unwrap();
    let consumer = task.consumer("asker");
    let five = consumer.reserve(5).unwrap();
    let error = consumer.reserve(6).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemoryLimit);
    assert!(error.to_string().contains("asker"), "{error}");
    drop((five, consumer, task));
    lender.settle();
    drop(ledger);
    lender.check_settled().unwrap();
}
