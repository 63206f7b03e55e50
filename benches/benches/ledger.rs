//! What asking the ledger costs when there is enough: a grant alone, and a grant that is given back.
//!
//! `cargo bench -p bywash-benches --bench ledger`; `-- --quick` for a look. Times are of the thread
//! on its core, so that neighbours on a shared machine do not count; waiting for a lock does not
//! count either, spinning for it does.

use std::hint::black_box;
use std::time::Duration;

use bywash_cli::failure::{Failure, Result};
use bywash_core::memory::{Consumer, MemoryLedger, Reservation};
use criterion::Criterion;
use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let ledger = MemoryLedger::new(1 << 40);
    let tasks = ledger.admit(2, 1 << 30)?;
    let consumers: Vec<Consumer> = tasks.iter().map(|task| task.consumer("bench")).collect();
    let [first, second] = &consumers[..] else {
        return Err(Failure::new("two tasks were not admitted"));
    };
    let mut group = criterion.benchmark_group("ledger");
    group.bench_function("grant", |bencher| {
        bencher.iter_custom(|count| grants(first, count));
    });
    group.bench_function("grant_and_release", |bencher| {
        bencher.iter_custom(|count| pairs(first, count));
    });
    group.bench_function("grant_and_release/two_threads", |bencher| {
        bencher.iter_custom(|count| {
            std::thread::scope(|scope| {
                let other = scope.spawn(|| pairs(second, count));
                let took = pairs(first, count);
                took.max(other.join().unwrap_or_default())
            })
        });
    });
    group.bench_function("grow_and_shrink", |bencher| {
        bencher.iter_custom(|count| grown(first, count));
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}

/// Grants that are kept until the clock has stopped.
fn grants(consumer: &Consumer, count: u64) -> Duration {
    let mut kept: Vec<Reservation> = Vec::with_capacity(BATCH);
    let mut took = Duration::ZERO;
    let mut left = count;
    while left > 0 {
        let batch = left.min(BATCH as u64);
        let start = now();
        for _ in 0..batch {
            if let Ok(reservation) = consumer.try_reserve(black_box(4096)) {
                kept.push(reservation);
            }
        }
        took += now().saturating_sub(start);
        kept.clear();
        left -= batch;
    }
    took
}

fn pairs(consumer: &Consumer, count: u64) -> Duration {
    let start = now();
    for _ in 0..count {
        drop(black_box(consumer.try_reserve(black_box(4096))));
    }
    now().saturating_sub(start)
}

fn grown(consumer: &Consumer, count: u64) -> Duration {
    let Ok(mut reservation) = consumer.try_reserve(4096) else {
        return Duration::MAX;
    };
    let start = now();
    for _ in 0..count {
        if reservation.try_grow(black_box(4096)).is_ok() {
            reservation.shrink(4096);
        }
    }
    now().saturating_sub(start)
}

/// Time of this thread on its core.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.try_into().unwrap_or_default()
}

/// Grants whose reservations fit into the first-level cache.
const BATCH: usize = 512;
