//! What the ledger costs a shuffle: how often it granted, times what a grant costs here.

use std::time::Duration;

use bywash::MemoryLedger;
use serde::Serialize;

use crate::clock::Clock;
use crate::failure::{Result, fail};
use crate::shuffle::ShuffleRun;

/// The ledger's part of the time on the cores.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct LedgerCost {
    /// Requests granted in a run.
    pub(crate) grants: u64,
    /// Time on the core of a grant that is made live and given back, with all tasks at it at once.
    pub(crate) nanoseconds_per_grant: f64,
    /// Of the time on the cores.
    pub(crate) cpu_share: f64,
}

impl LedgerCost {
    pub(crate) fn of(run: &ShuffleRun, grant: Duration) -> Self {
        let nanoseconds = grant.as_secs_f64() * 1e9 / f64::from(ROUNDS);
        let spent = bywash_cli::report::as_f64(run.grants) * nanoseconds / 1e9;
        Self {
            grants: run.grants,
            nanoseconds_per_grant: nanoseconds,
            cpu_share: spent / run.time.cpu.as_secs_f64(),
        }
    }
}

/// The time on the core of so many grants by each of `tasks` threads at once, the slowest one's.
pub(crate) fn measure(tasks: usize) -> Result<Duration> {
    let ledger = MemoryLedger::unlimited();
    let tasks = ledger.admit(tasks, 0).map_err(fail)?;
    std::thread::scope(|scope| {
        let running: Vec<_> = tasks
            .iter()
            .map(|task| {
                scope.spawn(|| -> Result<Duration> {
                    let consumer = task.consumer("bench");
                    let clock = Clock::start();
                    for _ in 0..ROUNDS {
                        let mut granted = consumer.try_reserve(BYTES).map_err(fail)?;
                        granted.set_live(BYTES);
                    }
                    Ok(clock.elapsed().cpu)
                })
            })
            .collect();
        let mut slowest = Duration::ZERO;
        for thread in running {
            let took = thread.join().unwrap_or_else(|_panic| Err("a thread panicked".into()))?;
            slowest = slowest.max(took);
        }
        Ok(slowest)
    })
}

const ROUNDS: u32 = 200_000;
const BYTES: u64 = 4096;
