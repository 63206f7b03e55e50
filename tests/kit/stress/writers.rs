//! More writers than a ledger holds: they wait to be admitted or made, spill for each other and for
//! a host that reclaims, and what they write is right.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bywash::{Codec, MemoryLedger, SpillCause, minimum_budget, waiting_ledger};

use super::PATIENCE;
use crate::case::{IdShape, Input, ShuffleCase, admit};
use crate::seed::Rng;
use crate::watchdog;

/// Runs for `time`, at least one shuffle for each task; the shuffles done by each, smallest first.
///
/// # Errors
/// The first thing that was wrong.
pub fn writers(
    seed: u64,
    time: Duration,
    report: &(dyn Fn(String) + Sync),
) -> Result<Vec<u64>, String> {
    let jobs: Vec<Job> = (0..4).map(|index| Job::new(seed, index)).collect();
    let least = jobs.iter().map(|job| job.minimum).max().unwrap_or(0);
    let capacity = WRITERS_THAT_FIT * least + ROOM;
    let ledger = MemoryLedger::with_options(waiting_ledger(capacity, PATIENCE));
    let counts: Vec<AtomicU64> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let (stop, ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let begin = Instant::now();
    let describe = || format!("seed {seed:#x}\n{}", ledger.explain());
    let outcome = watchdog::within(time + LONGER + STUCK, describe, || {
        std::thread::scope(|scope| {
            let tasks: Vec<_> = counts
                .iter()
                .zip(0..)
                .map(|(count, index)| {
                    let (ledger, jobs, stop) = (&ledger, &jobs, &stop);
                    scope.spawn(move || {
                        let mut rng = Rng::labelled(seed, &[index]);
                        loop {
                            let job = &jobs[rng.index(jobs.len())];
                            job.run(ledger, &mut rng).inspect_err(|_| {
                                stop.store(true, Ordering::Relaxed);
                            })?;
                            count.fetch_add(1, Ordering::Relaxed);
                            let over = begin.elapsed() >= time && has_reached(ledger)
                                || begin.elapsed() >= time + LONGER;
                            if over || stop.load(Ordering::Relaxed) {
                                return Ok(());
                            }
                        }
                    })
                })
                .collect();
            let weather = scope.spawn(|| weather(&ledger, capacity, seed, &stop, &ended));
            let results: Vec<Result<(), String>> = tasks
                .into_iter()
                .map(|task| task.join().unwrap_or_else(|_| Err("a task panicked".to_owned())))
                .collect();
            ended.store(true, Ordering::Relaxed);
            if weather.join().is_err() {
                return Err("the weather panicked".to_owned());
            }
            results.into_iter().collect::<Result<(), String>>()
        })
    });
    outcome.map_err(|wrong| format!("seed {seed:#x}: {wrong}\n{}", ledger.explain()))?;
    let now = ledger.snapshot();
    if (now.granted, now.live, now.tasks, now.waiting) != (0, 0, 0, 0) {
        return Err(format!("something is left: {now:?}"));
    }
    if now.peak_granted > capacity || now.peak_live > now.peak_granted {
        return Err(format!("more than there is: {now:?}"));
    }
    if !has_reached(&ledger) {
        return Err(format!("nobody waited or nothing was reclaimed: {now:?}"));
    }
    report(format!("{now:?}"));
    let mut counts: Vec<u64> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    counts.sort_unstable();
    Ok(counts)
}

/// Whether what the run is for has happened. Few chunks lie idle: most reclaims find a writer busy,
/// which answers at its next step.
fn has_reached(ledger: &MemoryLedger) -> bool {
    let now = ledger.snapshot();
    now.waits > 0 && now.spills[SpillCause::Reclaim as usize] > 0
}

/// Takes memory back and lets the capacity fall to half and rise, with no regard for anybody.
fn weather(ledger: &MemoryLedger, capacity: u64, seed: u64, stop: &AtomicBool, ended: &AtomicBool) {
    let mut rng = Rng::labelled(seed, &[u64::MAX]);
    while !ended.load(Ordering::Relaxed) {
        if rng.chance(20) && !stop.load(Ordering::Relaxed) {
            ledger.set_capacity(rng.within(capacity / 2, capacity));
        } else {
            ledger.set_capacity(capacity);
        }
        ledger.reclaim(*rng.pick(&[1, 1 << 20, u64::MAX]));
        std::thread::park_timeout(Duration::from_millis(rng.below(5)));
    }
    ledger.set_capacity(capacity);
}

struct Job {
    case: ShuffleCase,
    input: Input,
    minimum: u64,
}

impl Job {
    fn new(seed: u64, index: u64) -> Self {
        let mut rng = Rng::labelled(seed, &[u64::MAX - 1, index]);
        let batch_rows = (0..rng.within(4, 12)).map(|_| rng.index(30_000)).collect();
        let shape = *rng.pick(&[IdShape::Uniform, IdShape::Skewed, IdShape::Runs]);
        let case = ShuffleCase {
            codec: *rng.pick(&[Codec::None, Codec::Lz4]),
            spill_percent: *rng.pick(&[0, 10]),
            ..ShuffleCase::simple(rng.bits(), batch_rows, shape)
        };
        let input = case.input();
        let minimum = minimum_budget(&input.spec, 1).expect("a codec of this version");
        Self { case, input, minimum }
    }

    /// Shuffles once and compares; tries again while the capacity is too low for it.
    fn run(&self, ledger: &MemoryLedger, rng: &mut Rng) -> Result<(), String> {
        let dirs = self.case.dirs();
        loop {
            // Some come without a promise and take what a share is worth.
            let minimum = if rng.chance(70) { self.minimum } else { 0 };
            let admitted = ledger.admit_or_wait(1, minimum, &|| false);
            let task = match admitted.map(|mut tasks| tasks.pop()) {
                Ok(Some(task)) => task,
                Ok(None) => return Err("no task".to_owned()),
                Err(error) => return Err(format!("admission: {error}")),
            };
            match self.case.write(&self.input, &dirs, &task) {
                Ok(output) => {
                    let reading = MemoryLedger::new(READ_BUDGET);
                    let reader = admit(&reading, 0)?;
                    let mode = self.case.charge.into();
                    return self.input.check(&output, &reader, mode);
                }
                // Others have the memory, and it promised itself nothing; or there is too little.
                Err(error)
                    if error.starts_with("new: ")
                        && error.ends_with("[MemoryLimit]")
                        && !error.contains("waited_ms") =>
                {
                    std::thread::yield_now();
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Tasks, each on a thread of its own.
const WRITERS: u64 = 20;
/// For sorted rows beside: what can be taken back.
const ROOM: u64 = 4 << 20;
/// How much longer at most, until everything was reached.
const LONGER: Duration = Duration::from_secs(60);
/// So many smallest writers the ledger holds.
const WRITERS_THAT_FIT: u64 = 7;
const READ_BUDGET: u64 = 64 << 20;
/// When all that is left to do has not ended by then, it is stuck.
const STUCK: Duration = Duration::from_secs(120);
