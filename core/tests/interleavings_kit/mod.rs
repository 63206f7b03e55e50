//! A place to sleep, a holder and a host made of the model checker's locks.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bywash_core::Result;
use bywash_core::memory::{
    Consumer, LedgerOptions, MemoryLedger, Reclaimed, Reservation, Spillable,
};
use bywash_core::port::{Clock, MemoryParent, Park};
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::{Condvar, Mutex};
use shuttle::{Config, MaxSteps, Runner};

/// Schedules in which up to [`PREEMPTIONS`] threads are stopped where it hurts, random ones, and
/// the first ones of all in order.
const PCT: usize = 6_000;
const RANDOM: usize = 4_000;
const IN_ORDER: usize = 2_000;
const PREEMPTIONS: usize = 4;

/// Where a schedule is taken for one without end.
const STEPS_MAX: usize = 50_000;

/// Runs `scenario` in many schedules; says in how many.
pub(crate) fn explore(name: &str, scenario: impl Fn() + Send + Sync + 'static) {
    let number = |name: &str, default| number_of(name).unwrap_or(default);
    let (times, seed) = (number("BYWASH_INTERLEAVINGS", 1), number("BYWASH_SEED", 0xb7a_e54b));
    let times = usize::try_from(times).unwrap();
    let scenario = Arc::new(scenario);
    let pct = PctScheduler::new_from_seed(seed, PREEMPTIONS, PCT * times);
    let pct = run(pct, &scenario);
    let random = RandomScheduler::new_from_seed(seed, RANDOM * times);
    let random = run(random, &scenario);
    let in_order = DfsScheduler::new(Some(IN_ORDER * times), false);
    let in_order = run(in_order, &scenario);
    let is_complete = if in_order < IN_ORDER * times { " (all there are)" } else { "" };
    println!(
        "{name}: {pct} schedules with at most {PREEMPTIONS} preemptions, {random} random, \
         {in_order} in order{is_complete}, seed {seed:#x}"
    );
}

fn run(
    scheduler: impl Scheduler + 'static,
    scenario: &Arc<impl Fn() + Send + Sync + 'static>,
) -> usize {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    let scenario = Arc::clone(scenario);
    Runner::new(scheduler, config).run(move || scenario())
}

#[expect(clippy::disallowed_methods, reason = "a test is told how long to run")]
fn number_of(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
        None => text.parse().unwrap(),
    })
}

/// Runs all of them at once and waits for them.
pub(crate) fn together<const N: usize>(threads: [Box<dyn FnOnce() + Send>; N]) {
    let started = threads.map(shuttle::thread::spawn);
    for thread in started {
        thread.join().unwrap();
    }
}

/// A ledger whose requests wait without end.
pub(crate) fn ledger(capacity: u64) -> MemoryLedger {
    MemoryLedger::with_options(patient(capacity))
}

/// A ledger whose memory is `lender`'s.
pub(crate) fn lent_ledger(capacity: u64, slack: u64, lender: &Arc<Lender>) -> MemoryLedger {
    let parent: Arc<dyn MemoryParent> = Arc::clone(lender) as _;
    MemoryLedger::with_options(LedgerOptions {
        parent: Some(parent),
        parent_slack: slack,
        ..patient(capacity)
    })
}

fn patient(capacity: u64) -> LedgerOptions {
    LedgerOptions {
        clock: Some(Arc::new(Still)),
        park: Some(Arc::new(ModelPark::default())),
        ..LedgerOptions::new(capacity)
    }
}

/// Nobody holds anything and nobody waits.
pub(crate) fn zero(ledger: &MemoryLedger) {
    let now = ledger.snapshot();
    assert_eq!((now.granted, now.live, now.exported, now.waiting), (0, 0, 0, 0), "{now:?}");
    assert_eq!(now.tasks, 0, "{now:?}");
    assert!(now.peak_granted <= now.capacity, "{now:?}");
    // The rules hold nothing back either.
    let all = ledger.admit(1, ledger.capacity()).unwrap();
    drop(all);
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

#[derive(Default)]
struct ModelPark {
    epoch: Mutex<u64>,
    raised: Condvar,
}

impl Park for ModelPark {
    fn epoch(&self) -> u64 {
        *self.epoch.lock().unwrap()
    }

    fn park(&self, seen: u64, timeout: Option<Duration>) {
        assert_eq!(timeout, None, "patience without end");
        let mut epoch = self.epoch.lock().unwrap();
        while *epoch == seen {
            epoch = self.raised.wait(epoch).unwrap();
        }
    }

    fn unpark_all(&self) {
        *self.epoch.lock().unwrap() += 1;
        self.raised.notify_all();
    }
}

/// Memory that can be spilled, as a writer's is: behind a lock that its owner holds while it works.
pub(crate) struct Chunk {
    held: Mutex<Option<Reservation>>,
    consumer: Consumer,
}

impl Chunk {
    pub(crate) fn new(consumer: Consumer, bytes: u64) -> Arc<Self> {
        let held = Mutex::new(Some(consumer.reserve(bytes).unwrap()));
        consumer.set_reclaimable(bytes);
        let chunk = Arc::new(Self { held, consumer });
        let weak: Weak<dyn Spillable> = Arc::downgrade(&chunk) as _;
        chunk.consumer.set_spillable(weak);
        chunk
    }

    /// One step of its owner, who then looks whether it was asked.
    pub(crate) fn work(&self) {
        let held = self.held.lock().unwrap();
        shuttle::thread::yield_now();
        drop(held);
        if self.consumer.is_wanted() {
            self.consumer.take_wanted();
            self.spill(&mut self.held.lock().unwrap());
        }
    }

    /// Gives up all it has.
    pub(crate) fn finish(&self) {
        self.spill(&mut self.held.lock().unwrap());
    }

    fn spill(&self, held: &mut Option<Reservation>) -> u64 {
        let _spills = self.consumer.begin_spill();
        self.consumer.set_reclaimable(0);
        held.take().map_or(0, |reservation| reservation.granted())
    }
}

impl Spillable for Chunk {
    fn reclaim(&self, _bytes: u64) -> Reclaimed {
        let Ok(mut held) = self.held.try_lock() else {
            return Reclaimed::Busy;
        };
        let freed = self.spill(&mut held);
        self.consumer.take_wanted();
        Reclaimed::Freed(freed)
    }
}

/// A host that lends `limit` bytes in parts of up to `step`.
pub(crate) struct Lender {
    limit: u64,
    step: u64,
    lent: Mutex<u64>,
    called_back: Mutex<Option<MemoryLedger>>,
}

impl Lender {
    pub(crate) fn new(limit: u64, step: u64) -> Arc<Self> {
        Arc::new(Self { limit, step, lent: Mutex::new(0), called_back: Mutex::new(None) })
    }

    /// From now on it takes some back whenever it is called.
    pub(crate) fn calls_back(&self, ledger: Option<MemoryLedger>) {
        let before = std::mem::replace(&mut *self.called_back.lock().unwrap(), ledger);
        drop(before);
    }

    pub(crate) fn lent(&self) -> u64 {
        *self.lent.lock().unwrap()
    }

    /// The ledger is gone and nothing is lent.
    pub(crate) fn is_alone_and_has_all(self: &Arc<Self>) {
        assert_eq!(self.lent(), 0, "still lent");
        assert_eq!(Arc::strong_count(self), 1, "the ledger leaked");
    }

    fn call_back(&self) {
        let ledger = self.called_back.lock().unwrap().take();
        if let Some(ledger) = ledger {
            ledger.reclaim(10);
            *self.called_back.lock().unwrap() = Some(ledger);
        }
    }
}

impl MemoryParent for Lender {
    fn acquire(&self, bytes: u64) -> Result<u64> {
        self.call_back();
        let mut lent = self.lent.lock().unwrap();
        let part = bytes.min(self.step).min(self.limit - *lent);
        *lent += part;
        Ok(part)
    }

    fn release(&self, bytes: u64) {
        let mut lent = self.lent.lock().unwrap();
        *lent = lent.checked_sub(bytes).unwrap();
        drop(lent);
        self.call_back();
    }
}
