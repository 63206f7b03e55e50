//! What a writer has done so far, readable from any thread.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bywash_core::memory::SpillCause;

/// A writer's counters at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct WriteProgress {
    /// Rows taken.
    pub rows: u64,
    /// Bytes of these rows: values, lengths and data, a byte for a boolean, nothing for validity.
    pub bytes: u64,
    /// Spills because the ledger had no more.
    pub spills_pressure: u64,
    /// Spills because somebody reclaimed.
    pub spills_reclaim: u64,
    /// Spills the caller asked for.
    pub spills_request: u64,
    /// Rows too large to stage, each a run of its own, and spills of the rows before them.
    pub spills_oversized_row: u64,
    /// Bytes written to spill files, merges of runs included.
    pub spilled_bytes: u64,
    /// Merges of runs because there were too many.
    pub run_merges: u64,
    /// Bytes of the map output.
    pub output_bytes: u64,
    /// Time spent staging rows and finding their partitions.
    pub stage_time: Duration,
    /// Time spent sorting chunks.
    pub sort_time: Duration,
    /// Time spent spilling, merges of runs included.
    pub spill_time: Duration,
    /// Time spent writing the output.
    pub output_time: Duration,
    /// Time spent committing it.
    pub commit_time: Duration,
}

impl WriteProgress {
    /// Spills of all causes.
    pub const fn spills(&self) -> u64 {
        self.spills_pressure + self.spills_reclaim + self.spills_request + self.spills_oversized_row
    }
}

impl AddAssign for WriteProgress {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.spills_pressure += other.spills_pressure;
        self.spills_reclaim += other.spills_reclaim;
        self.spills_request += other.spills_request;
        self.spills_oversized_row += other.spills_oversized_row;
        self.spilled_bytes += other.spilled_bytes;
        self.run_merges += other.run_merges;
        self.output_bytes += other.output_bytes;
        self.stage_time += other.stage_time;
        self.sort_time += other.sort_time;
        self.spill_time += other.spill_time;
        self.output_time += other.output_time;
        self.commit_time += other.commit_time;
    }
}

/// The counters themselves.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) rows: AtomicU64,
    pub(crate) bytes: AtomicU64,
    spills: [AtomicU64; 4],
    pub(crate) spilled_bytes: AtomicU64,
    pub(crate) run_merges: AtomicU64,
    pub(crate) output_bytes: AtomicU64,
    phases: [AtomicU64; 5],
}

/// What time is spent on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Phase {
    Stage,
    Sort,
    Spill,
    Output,
    Commit,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64, value: u64) {
        counter.fetch_add(value, Ordering::Relaxed);
    }

    pub(crate) fn count_spill(&self, cause: SpillCause) {
        Self::add(&self.spills[cause as usize], 1);
    }

    /// Runs `work` and adds its time to a phase.
    pub(crate) fn timed<T>(&self, phase: Phase, work: impl FnOnce() -> T) -> T {
        let start = std::time::Instant::now();
        let outcome = work();
        let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Self::add(&self.phases[phase as usize], nanos);
        outcome
    }

    pub(crate) fn snapshot(&self) -> WriteProgress {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let spills = |cause: SpillCause| read(&self.spills[cause as usize]);
        let time = |phase: Phase| Duration::from_nanos(read(&self.phases[phase as usize]));
        WriteProgress {
            rows: read(&self.rows),
            bytes: read(&self.bytes),
            spills_pressure: spills(SpillCause::Pressure),
            spills_reclaim: spills(SpillCause::Reclaim),
            spills_request: spills(SpillCause::Request),
            spills_oversized_row: spills(SpillCause::OversizedRow),
            spilled_bytes: read(&self.spilled_bytes),
            run_merges: read(&self.run_merges),
            output_bytes: read(&self.output_bytes),
            stage_time: time(Phase::Stage),
            sort_time: time(Phase::Sort),
            spill_time: time(Phase::Spill),
            output_time: time(Phase::Output),
            commit_time: time(Phase::Commit),
        }
    }
}
