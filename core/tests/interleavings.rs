//! How threads may interleave in the ledger: acquire x release x drop of a buffer x reclaim x
//! capacity x end of a task x cancel x admission x a host, each in every order that a model checker
//! comes by.
//!
//! Run by `ci/interleavings`; without `--cfg shuttle` nothing of this is compiled.
//!
//! Whoever waits has patience without end, so a wake-up that is lost is a deadlock, and those the
//! checker sees. Every operation on a lock or an atomic is a place to switch threads; the memory
//! model is sequentially consistent. `BYWASH_INTERLEAVINGS` multiplies the schedules tried,
//! `BYWASH_SEED` chooses others; a failure prints its schedule.
#![cfg(shuttle)]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod interleavings_kit;

use std::sync::Arc;

use bywash_core::memory::{Block, ChargeMode, Consumer, MemoryLedger, Reservation};
use bywash_core::{Error, ErrorKind};
use interleavings_kit::{Chunk, Lender, explore, ledger, lent_ledger, together, zero};

/// A consumer of a new task that is promised nothing.
fn consumer(ledger: &MemoryLedger) -> Consumer {
    ledger.admit(1, 0).unwrap().remove(0).consumer("c")
}

/// Holds it for a moment.
fn held(reservation: Result<Reservation, Error>, bytes: u64) {
    let reservation = reservation.unwrap();
    assert_eq!(reservation.granted(), bytes);
    assert!(reservation.consumer().granted() >= bytes);
}

fn granted_or_refused(reservation: Result<Reservation, Error>, bytes: u64) {
    match reservation {
        Ok(granted) => assert_eq!(granted.granted(), bytes),
        Err(error) => assert_eq!(error.kind(), ErrorKind::MemoryLimit),
    }
}

#[test]
fn acquire_and_release() {
    explore("acquire x release", || {
        let ledger = ledger(100);
        let (first, second) = (consumer(&ledger), consumer(&ledger));
        let (one, other) = (first.reserve(50).unwrap(), first.reserve(40).unwrap());
        together([
            Box::new(move || held(second.reserve(40), 40)),
            Box::new(move || drop(one)),
            Box::new(move || drop(other)),
        ]);
        drop(first);
        zero(&ledger);
    });
}

#[test]
fn two_wait_for_one() {
    explore("two acquire x release", || {
        let ledger = ledger(120);
        let (first, second, third) = (consumer(&ledger), consumer(&ledger), consumer(&ledger));
        let all = first.reserve(120).unwrap();
        together([
            Box::new(move || held(second.reserve(40), 40)),
            Box::new(move || held(third.reserve(30), 30)),
            Box::new(move || drop(all)),
        ]);
        drop(first);
        zero(&ledger);
    });
}

/// Whoever looks at any moment sees no more granted than there is.
#[test]
fn never_above_the_capacity() {
    explore("acquire x release x buffer dropped x look", || {
        let ledger = ledger(100);
        let (first, second) = (consumer(&ledger), consumer(&ledger));
        let some = first.reserve(60).unwrap();
        let owner = Block::try_new_to_keep(&first, 40, 0).unwrap().into_owner(ChargeMode::Ledger);
        let same = ledger.clone();
        together([
            Box::new(move || held(second.reserve(45), 45)),
            Box::new(move || drop(some)),
            Box::new(move || drop(owner)),
            Box::new(move || {
                for _ in 0..4 {
                    assert!(same.granted() <= 100);
                }
            }),
        ]);
        drop(first);
        zero(&ledger);
    });
}

/// The buffer gives its charge back without a lock.
#[test]
fn acquire_and_a_buffer_dropped() {
    explore("acquire x buffer dropped x task ended", || {
        let ledger = ledger(100);
        let (first, second) = (consumer(&ledger), consumer(&ledger));
        let owner = Block::try_new_to_keep(&first, 90, 0).unwrap().into_owner(ChargeMode::Ledger);
        together([
            Box::new(move || held(second.reserve(40), 40)),
            Box::new(move || drop(owner)),
            Box::new(move || drop(first)),
        ]);
        zero(&ledger);
    });
}

#[test]
fn two_buffers_dropped() {
    explore("two acquire x two buffers dropped", || {
        let ledger = ledger(100);
        let (first, second, third) = (consumer(&ledger), consumer(&ledger), consumer(&ledger));
        let block =
            |len| Block::try_new_to_keep(&first, len, 0).unwrap().into_owner(ChargeMode::Ledger);
        let (one, other) = (block(60), block(40));
        together([
            Box::new(move || held(second.reserve(30), 30)),
            Box::new(move || held(third.reserve(25), 25)),
            Box::new(move || drop(one)),
            Box::new(move || drop(other)),
        ]);
        drop(first);
        zero(&ledger);
    });
}

/// A waiter is granted, or told that the fallen capacity cannot hold it.
#[test]
fn acquire_and_capacity() {
    explore("acquire x capacity down and up x release", || {
        let ledger = ledger(100);
        let (first, second) = (consumer(&ledger), consumer(&ledger));
        let all = first.reserve(90).unwrap();
        let same = ledger.clone();
        together([
            Box::new(move || granted_or_refused(second.reserve(40), 40)),
            Box::new(move || {
                same.set_capacity(60);
                same.set_capacity(100);
            }),
            Box::new(move || drop(all)),
        ]);
        drop(first);
        zero(&ledger);
    });
}

/// Capacity alone answers a waiter.
#[test]
fn capacity_that_rises() {
    explore("acquire x capacity up", || {
        let ledger = ledger(100);
        let (first, second) = (consumer(&ledger), consumer(&ledger));
        let all = first.reserve(90).unwrap();
        let same = ledger.clone();
        together([
            Box::new(move || held(second.reserve(40), 40)),
            Box::new(move || {
                same.set_capacity(130);
            }),
        ]);
        drop((all, first));
        zero(&ledger);
    });
}

/// A promise that lapses makes room, also for what is granted while its task ends.
#[test]
fn acquire_and_a_task_that_ends() {
    explore("acquire x task ended", || {
        let ledger = ledger(100);
        let promised = ledger.admit(1, 50).unwrap().remove(0);
        let (first, second) = (consumer(&ledger), consumer(&ledger));
        let some = first.reserve(30).unwrap();
        together([
            Box::new(move || held(second.reserve(30), 30)),
            Box::new(move || drop(promised)),
        ]);
        drop((some, first));
        zero(&ledger);
    });
}

/// What was granted to one who gave up meanwhile goes to the next.
#[test]
fn cancel() {
    explore("two acquire x cancel x release", || {
        let ledger = ledger(90);
        let (first, second, third) = (consumer(&ledger), consumer(&ledger), consumer(&ledger));
        let (rest, some) = (first.reserve(60).unwrap(), first.reserve(30).unwrap());
        let canceller = second.canceller();
        together([
            Box::new(move || match second.reserve(30) {
                Ok(granted) => assert_eq!(granted.granted(), 30),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Cancelled),
            }),
            Box::new(move || held(third.reserve(30), 30)),
            Box::new(move || {
                canceller.cancel();
                drop(some);
            }),
        ]);
        drop((rest, first));
        zero(&ledger);
    });
}

#[test]
fn cancel_a_task() {
    explore("acquire x task cancelled", || {
        let ledger = ledger(100);
        let (first, task) = (consumer(&ledger), ledger.admit(1, 0).unwrap().remove(0));
        let all = first.reserve(90).unwrap();
        let second = task.consumer("d");
        together([
            Box::new(move || {
                let error = second.reserve(40).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Cancelled);
            }),
            Box::new(move || task.cancel()),
        ]);
        drop((all, first));
        zero(&ledger);
    });
}

/// An admission whose turn came, that is overtaken into room it has no claim on, and whose turn
/// comes again.
#[test]
fn admission() {
    explore("admission x task ended x admission", || {
        let ledger = ledger(100);
        let promised = ledger.admit(1, 70).unwrap();
        let (same, third) = (ledger.clone(), ledger.clone());
        together([
            Box::new(move || {
                let tasks = same.admit_or_wait(1, 40, &|| false).unwrap();
                assert_eq!(tasks[0].consumer("c").reserve(40).unwrap().granted(), 40);
            }),
            Box::new(move || drop(promised)),
            Box::new(move || drop(third.admit(2, 20))),
        ]);
        zero(&ledger);
    });
}

#[test]
fn admission_and_acquire() {
    explore("admission x acquire x release", || {
        let ledger = ledger(100);
        let (first, second) = (consumer(&ledger), consumer(&ledger));
        let all = first.reserve(90).unwrap();
        let same = ledger.clone();
        together([
            Box::new(move || drop(same.admit_or_wait(1, 30, &|| false).unwrap())),
            Box::new(move || granted_or_refused(second.reserve(30), 30)),
            Box::new(move || drop(all)),
        ]);
        drop(first);
        zero(&ledger);
    });
}

/// A holder that is busy when it is asked hears of it at its next step.
#[test]
fn busy_holders_and_reclaim() {
    explore("acquire x busy holder x reclaim", || {
        let ledger = ledger(100);
        let (chunk, second) = (Chunk::new(consumer(&ledger), 90), consumer(&ledger));
        let (busy, same) = (Arc::clone(&chunk), ledger.clone());
        together([
            Box::new(move || held(second.reserve(40), 40)),
            Box::new(move || {
                // At its next step at the latest; and then it is done.
                busy.work();
                busy.work();
                busy.finish();
            }),
            Box::new(move || {
                same.reclaim(20);
            }),
        ]);
        drop(chunk);
        zero(&ledger);
    });
}

/// Who is asked while it works has spilled when it is done with that work, or is idle and can be
/// asked again: nobody's mark is lost.
#[test]
fn a_mark_is_not_lost() {
    explore("busy holder x reclaim", || {
        let ledger = ledger(100);
        let chunk = Chunk::new(consumer(&ledger), 90);
        let (busy, same) = (Arc::clone(&chunk), ledger.clone());
        together([
            Box::new(move || busy.work()),
            Box::new(move || {
                same.reclaim(20);
            }),
        ]);
        assert_eq!(ledger.granted(), 0, "it was asked and kept all");
        drop(chunk);
        zero(&ledger);
    });
}

/// Several ask for one task's memory at once; who asks within it may find all of it being spilled
/// for others, and then must not wait, for it holds too much.
#[test]
fn several_reclaim() {
    explore("acquire x reclaim x reclaim", || {
        let ledger = ledger(100);
        let task = ledger.admit(1, 0).unwrap().remove(0);
        let (first, second) =
            (Chunk::new(task.consumer("a"), 50), Chunk::new(task.consumer("b"), 50));
        let (asker, one, other) = (task.consumer("d"), ledger.clone(), ledger.clone());
        together([
            Box::new(move || granted_or_refused(asker.reserve(70), 70)),
            Box::new(move || assert!(one.reclaim(40) <= 50)),
            Box::new(move || {
                other.reclaim(100);
            }),
        ]);
        assert_eq!(ledger.granted(), 0, "idle consumers were asked for all");
        drop((first, second, task));
        zero(&ledger);
    });
}

/// A host that lends in small parts, and takes back from another thread.
#[test]
fn a_host_that_reclaims() {
    explore("acquire from a host x reclaim x release", || {
        let lender = Lender::new(100, 15);
        let ledger = lent_ledger(100, 8, &lender);
        let (chunk, second) = (Chunk::new(consumer(&ledger), 60), consumer(&ledger));
        let same = ledger.clone();
        together([
            Box::new(move || granted_or_refused(second.reserve(45), 45)),
            Box::new(move || {
                same.reclaim(30);
            }),
            Box::new(move || chunk.finish()),
        ]);
        assert_eq!(ledger.snapshot().lent, lender.lent());
        zero(&ledger);
        drop(ledger);
        lender.is_alone_and_has_all();
    });
}

/// One whose turn has come asks the host as often as it must.
#[test]
fn a_waiter_whose_host_lends_in_parts() {
    explore("acquire from a host in parts x capacity up", || {
        let lender = Lender::new(200, 7);
        let ledger = lent_ledger(100, 0, &lender);
        let (first, second) = (consumer(&ledger), consumer(&ledger));
        let (all, same) = (first.reserve(90).unwrap(), ledger.clone());
        together([
            Box::new(move || held(second.reserve(40), 40)),
            Box::new(move || {
                same.set_capacity(130);
            }),
        ]);
        drop((all, first));
        assert_eq!(ledger.snapshot().lent, lender.lent());
        zero(&ledger);
        drop(ledger);
        lender.is_alone_and_has_all();
    });
}

/// A host that takes back while it is asked and while it is given to.
#[test]
fn a_host_that_calls_back() {
    explore("host calls back x acquire x release", || {
        let lender = Lender::new(100, 100);
        let ledger = lent_ledger(100, 4, &lender);
        lender.calls_back(Some(ledger.clone()));
        let task = ledger.admit(1, 0).unwrap().remove(0);
        let (chunk, second) = (Chunk::new(task.consumer("a"), 30), consumer(&ledger));
        let owner = Block::try_new_to_keep(&task.consumer("b"), 30, 0)
            .unwrap()
            .into_owner(ChargeMode::Ledger);
        drop(task);
        together([
            Box::new(move || {
                drop(second.reserve(30));
            }),
            Box::new(move || drop(chunk)),
            Box::new(move || drop(owner)),
        ]);
        lender.calls_back(None);
        assert_eq!(ledger.snapshot().lent, lender.lent());
        zero(&ledger);
        drop(ledger);
        lender.is_alone_and_has_all();
    });
}

/// Handles dropped in any order leave nothing behind.
#[test]
fn handles_dropped() {
    explore("ledger x task x buffer dropped", || {
        let lender = Lender::new(100, 100);
        let ledger = lent_ledger(100, 4, &lender);
        let task = ledger.admit(1, 10).unwrap().remove(0);
        let block =
            |mode| Block::try_new_to_keep(&task.consumer("c"), 30, 0).unwrap().into_owner(mode);
        let (owner, host) = (block(ChargeMode::Ledger), block(ChargeMode::Host));
        together([
            Box::new(move || drop(ledger)),
            Box::new(move || drop(task)),
            Box::new(move || drop(owner)),
            Box::new(move || drop(host)),
        ]);
        lender.is_alone_and_has_all();
    });
}
