//! The thread that samples: the figures at a fixed interval while everything runs, and now and then all of
//! them at one instant with everything stopped.
//!
//! Room for all samples is there, and touched, before the library is used.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bywash::MemoryLedger;
use bywash_tests::alloc::{self, Event};
use bywash_tests::resident::Resident;

use crate::failure::{Result, fail};
use crate::gate::GATE;

/// The figures at one time, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// Microseconds since the start.
    pub(crate) at: u64,
    /// Granted; for a running sample the most since just before the others were read.
    pub(crate) granted: u64,
    /// Live on the ledger.
    pub(crate) live: u64,
    /// What the allocator and the mappings hold of the library's.
    pub(crate) counted: u64,
    /// Resident, less that of the idle harness.
    pub(crate) resident: u64,
    /// Whether all figures are of one instant.
    pub(crate) stopped: bool,
}

/// Samples and where they come from.
pub(crate) struct Sampler {
    ledger: MemoryLedger,
    resident: Resident,
    every: Duration,
    /// Counted and resident with the library idle.
    idle_counted: u64,
    pub(crate) idle_resident: u64,
    pub(crate) samples: Vec<Sample>,
    /// Stops that some thread did not reach in time.
    pub(crate) given_up: u64,
}

impl Sampler {
    /// Makes room, and watches `ledger` from the allocator's hook on.
    pub(crate) fn new(ledger: &MemoryLedger, every: Duration) -> Result<Self> {
        WATCHED.set(ledger.clone()).map_err(|_twice| "one sampler in a process")?;
        let mut samples = vec![Sample { at: 1, ..Sample::default() }; SAMPLES_MAX];
        samples.clear();
        Ok(Self {
            ledger: ledger.clone(),
            resident: Resident::open().map_err(fail)?,
            every,
            idle_counted: 0,
            idle_resident: 0,
            samples,
            given_up: 0,
        })
    }

    /// Measures the harness: its inputs are there, its threads wait, the library is idle.
    pub(crate) fn measure_idle(&mut self) -> Result<()> {
        self.idle_counted = alloc::counted();
        self.idle_resident = self.resident.bytes().map_err(fail)?;
        Ok(())
    }

    /// Samples until `ended` says so.
    pub(crate) fn run(&mut self, ended: impl Fn() -> bool) -> Result<()> {
        let mut next = Instant::now();
        let mut round = 0u64;
        while !ended() {
            if self.samples.len() + 2 > SAMPLES_MAX {
                return Err("there is no room for more samples; raise --sample-every".into());
            }
            let running = self.running()?;
            self.samples.push(running);
            if round.is_multiple_of(STOP_EVERY) {
                match self.stopped()? {
                    Some(stopped) => self.samples.push(stopped),
                    None => self.given_up += 1,
                }
            }
            round += 1;
            next += self.every;
            match next.checked_duration_since(Instant::now()) {
                Some(left) => std::thread::sleep(left),
                None => next = Instant::now(),
            }
        }
        Ok(())
    }

    /// All figures of one instant, or none when not all threads could be stopped.
    pub(crate) fn stopped(&self) -> Result<Option<Sample>> {
        let Some(stopped) = GATE.stop(PATIENCE) else { return Ok(None) };
        let sample = self.sample(stopped.freed, true)?;
        drop(stopped);
        Ok(Some(sample))
    }

    /// Figures read one after the other. A grant given back before resident memory was read, and taken
    /// after granted was, is not missed: the hook notes granted at every allocation.
    fn running(&self) -> Result<Sample> {
        MOST_GRANTED.store(self.ledger.granted(), Ordering::SeqCst);
        let sample = self.sample(0, false)?;
        let most = MOST_GRANTED.load(Ordering::SeqCst);
        Ok(Sample { granted: sample.granted.max(most), ..sample })
    }

    fn sample(&self, freed: u64, stopped: bool) -> Result<Sample> {
        let (live, counted) = (self.ledger.live(), alloc::counted());
        let resident = self.resident.bytes().map_err(fail)?;
        Ok(Sample {
            at: now(),
            granted: self.ledger.granted(),
            live,
            counted: (counted + freed).saturating_sub(self.idle_counted),
            resident: resident.saturating_sub(self.idle_resident),
            stopped,
        })
    }
}

/// The allocator's hook.
pub(crate) fn at_event(event: Event) {
    if let Some(ledger) = WATCHED.get() {
        MOST_GRANTED.fetch_max(ledger.granted(), Ordering::SeqCst);
    }
    GATE.pass(event.freed);
}

/// Microseconds since the first time anybody asked.
pub(crate) fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// One in so many rounds stops everything.
const STOP_EVERY: u64 = 4;
/// How long a thread may take to come to a place where it can stop.
const PATIENCE: Duration = Duration::from_millis(250);
const SAMPLES_MAX: usize = 1 << 18;

static WATCHED: OnceLock<MemoryLedger> = OnceLock::new();
static MOST_GRANTED: AtomicU64 = AtomicU64::new(0);
