//! Very many tasks and consumers over one ledger that has far too little for them.
//!
//! 64 tasks of four consumers each want four times what there is, on a thread for each task. Beside
//! them the capacity falls and rises, memory is reclaimed, waits are cancelled, and buffers that
//! were handed out are dropped on another thread. Time goes by in phases; at the end of each
//! everything is given back and the ledger must be at zero, exactly.

mod task;
mod weather;
mod writers;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bywash::{LedgerSnapshot, MemoryLedger, waiting_ledger};

use crate::seed::Rng;
use crate::watchdog;

pub use writers::writers;

/// What was reached; a run in which nobody waits says little.
#[derive(Debug)]
pub struct Reached {
    /// Rounds of each task, smallest first: what its consumers want, granted once.
    pub rounds: Vec<u64>,
    /// Requests granted.
    pub grants: u64,
    /// Requests refused.
    pub refusals: u64,
    /// Waits and admissions ended by a cancel.
    pub cancelled: u64,
    /// Times the capacity was changed while more than that was granted.
    pub over: u64,
    /// The ledger's own figures.
    pub ledger: LedgerSnapshot,
}

/// Runs for `time`, at least one phase.
///
/// # Errors
/// The first thing that was wrong.
pub fn ledger(
    seed: u64,
    time: Duration,
    report: &(dyn Fn(String) + Sync),
) -> Result<Reached, String> {
    let ledger = MemoryLedger::with_options(waiting_ledger(CAPACITY, PATIENCE));
    let counts = Counts::default();
    let begin = Instant::now();
    let mut phase = 0;
    while phase == 0 || begin.elapsed() < time {
        let length = PHASE.min(time);
        let describe = || format!("seed {seed:#x}, phase {phase}\n{}", ledger.explain());
        watchdog::within(PHASE_MAX, describe, || {
            one_phase(&ledger, &counts, Rng::labelled(seed, &[phase]).bits(), length)
        })
        .map_err(|wrong| format!("seed {seed:#x}, phase {phase}: {wrong}\n{}", ledger.explain()))?;
        phase += 1;
        let done: u64 = counts.rounds.iter().map(|rounds| rounds.load(Ordering::Relaxed)).sum();
        report(format!("phase {phase}: {done} rounds"));
    }
    counts.reached(&ledger)
}

fn one_phase(
    ledger: &MemoryLedger,
    counts: &Counts,
    seed: u64,
    length: Duration,
) -> Result<(), String> {
    ledger.set_capacity(CAPACITY);
    let stage =
        Stage { ledger, counts, stop: AtomicBool::new(false), calls: weather::Calls::new() };
    let (exported, drops) = mpsc::channel();
    let ended = AtomicBool::new(false);
    let (stage, ended) = (&stage, &ended);
    std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..TASKS)
            .map(|index| {
                let exported = exported.clone();
                scope.spawn(move || task::work(stage, index, seed, &exported))
            })
            .collect();
        drop(exported);
        scope.spawn(move || weather::drop_exported(seed, &drops));
        let weather = [
            scope.spawn(move || weather::capacity(stage, seed, ended)),
            scope.spawn(move || weather::reclaims(stage, seed, ended)),
            scope.spawn(move || {
                weather::cancels(stage, seed, ended);
                Ok(())
            }),
        ];
        scope.spawn(move || {
            // The only clock of a phase: its tasks end their round when time is up.
            let begin = Instant::now();
            while begin.elapsed() < length && !stage.stop.load(Ordering::Relaxed) {
                std::thread::park_timeout(length.saturating_sub(begin.elapsed()));
            }
            stage.stop.store(true, Ordering::Relaxed);
        });
        let results: Vec<_> = tasks.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        ended.store(true, Ordering::Relaxed);
        let others = weather.map(std::thread::ScopedJoinHandle::join);
        results.into_iter().chain(others).try_for_each(|joined| {
            joined.map_err(|_| "a thread panicked".to_owned()).and_then(|outcome| outcome)
        })
    })?;
    check_zero(ledger)
}

/// Nothing is held, by anybody, in any figure.
fn check_zero(ledger: &MemoryLedger) -> Result<(), String> {
    let now = ledger.snapshot();
    let figures = [now.granted, now.live, now.exported, now.over, now.waiting, now.tasks];
    if figures.iter().any(|figure| *figure != 0) || !ledger.holders().is_empty() {
        return Err(format!("something is left: {now:?}"));
    }
    if now.peak_granted > CAPACITY || now.peak_live > now.peak_granted {
        return Err(format!("more than there is: {now:?}"));
    }
    Ok(())
}

/// What the threads of a phase share.
struct Stage<'a> {
    ledger: &'a MemoryLedger,
    counts: &'a Counts,
    /// Set when time is up, or something is wrong.
    stop: AtomicBool,
    calls: weather::Calls,
}

#[derive(Debug)]
struct Counts {
    rounds: Vec<AtomicU64>,
    grants: AtomicU64,
    refusals: AtomicU64,
    cancelled: AtomicU64,
    over: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            rounds: (0..TASKS).map(|_| AtomicU64::new(0)).collect(),
            grants: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            over: AtomicU64::new(0),
        }
    }
}

impl Counts {
    fn add(count: &AtomicU64) {
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn reached(&self, ledger: &MemoryLedger) -> Result<Reached, String> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut rounds: Vec<u64> = self.rounds.iter().map(read).collect();
        if let Some(starved) = rounds.iter().position(|rounds| *rounds == 0) {
            return Err(format!("task {starved} never had what it wants: {rounds:?}"));
        }
        rounds.sort_unstable();
        Ok(Reached {
            rounds,
            grants: read(&self.grants),
            refusals: read(&self.refusals),
            cancelled: read(&self.cancelled),
            over: read(&self.over),
            ledger: ledger.snapshot(),
        })
    }
}

impl std::fmt::Display for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rounds, ledger) = (&self.rounds, &self.ledger);
        let at = |place: usize| rounds.get(place).copied().unwrap_or(0);
        writeln!(
            f,
            "rounds of {} tasks: min {}, median {}, max {}",
            rounds.len(),
            at(0),
            at(rounds.len() / 2),
            at(rounds.len().saturating_sub(1))
        )?;
        let Self { grants, refusals, cancelled, over, .. } = self;
        writeln!(f, "{grants} grants, {refusals} refusals, {cancelled} cancelled, {over} falls")?;
        write!(
            f,
            "{} waits of {:?} in all, {} reclaims gave {} B, peak {} of {} B",
            ledger.waits,
            ledger.wait_time,
            ledger.reclaims,
            ledger.reclaimed,
            ledger.peak_granted,
            ledger.capacity
        )
    }
}

/// Tasks, each on a thread of its own.
pub const TASKS: usize = 64;
/// Consumers of each task.
pub const CONSUMERS: usize = 4;
/// Bytes of the ledger.
pub const CAPACITY: u64 = 64 << 20;
/// What each consumer wants at once: all of them four times what there is.
const WANT: u64 = 4 * CAPACITY / (TASKS * CONSUMERS) as u64;
/// How long a request waits before it is taken for starved.
const PATIENCE: Duration = Duration::from_secs(30);
const PHASE: Duration = Duration::from_secs(4);
/// A phase whose threads have not ended by then is stuck.
const PHASE_MAX: Duration = Duration::from_secs(120);
