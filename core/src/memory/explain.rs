//! Why memory was written to disk: the last spills, and who held the memory at its peak.

use std::fmt;
use std::time::Duration;

use super::report::HolderReport;

/// Spills that a ledger remembers.
pub const SPILL_RECORDS_MAX: usize = 64;

/// Why memory was written to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SpillCause {
    /// The ledger had no more for this task.
    Pressure,
    /// Somebody asked for memory back through the ledger.
    Reclaim,
    /// The caller asked this writer, sort or combiner.
    Request,
    /// A row too large to stage was written, or needed the rows before it on disk.
    OversizedRow,
}

impl SpillCause {
    /// All causes, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Pressure, Self::Reclaim, Self::Request, Self::OversizedRow];

    /// The name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pressure => "pressure",
            Self::Reclaim => "reclaim",
            Self::Request => "request",
            Self::OversizedRow => "oversized_row",
        }
    }
}

/// A consumer of a task, or the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Party {
    /// The task's number in its ledger, from 1; `None` for the host.
    pub task: Option<u64>,
    /// The consumer's name.
    pub consumer: &'static str,
}

impl Party {
    /// Whoever calls the ledger from outside.
    pub const HOST: Self = Self { task: None, consumer: "host" };
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(f, "{} of task {task}", self.consumer),
            None => f.write_str(self.consumer),
        }
    }
}

/// One spill: who asked for how much, who held and gave what, and how long it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpillRecord {
    /// Counts the spills of a ledger from 1.
    pub number: u64,
    /// Why.
    pub cause: SpillCause,
    /// Who asked: the holder itself, another consumer, or the host.
    pub asker: Party,
    /// Bytes asked for; 0 when everything was to go.
    pub asked: u64,
    /// Who spilled.
    pub holder: Party,
    /// Bytes granted to it before.
    pub held: u64,
    /// Bytes it gave back.
    pub freed: u64,
    /// Bytes written to disk.
    pub written: u64,
    /// When it began, by the ledger's clock; zero without one.
    pub started: Duration,
    /// How long it took.
    pub took: Duration,
    /// Whether it failed; then the holder gave up all it held.
    pub failed: bool,
}

impl SpillRecord {
    /// Why, as a clause that follows the holder.
    fn fmt_reason(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cause, asker, asked, holder, .. } = self;
        match (cause, asked) {
            (SpillCause::Pressure, _) if asker == holder => {
                write!(f, "needed {asked} B that its task could not have")
            }
            (SpillCause::Pressure, _) => write!(f, "needed more, and {asker} wanted {asked} B"),
            (SpillCause::Reclaim, 0) => f.write_str("was asked for all it had"),
            (SpillCause::Reclaim, _) => write!(f, "was asked for {asked} B by {asker}"),
            (SpillCause::Request, _) => f.write_str("was told to by its caller"),
            (SpillCause::OversizedRow, _) => f.write_str("had a row too large to stage"),
        }
    }
}

/// One line: who, why, and what came of it.
impl fmt::Display for SpillRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, cause, holder, held, freed, written, started, took, .. } = self;
        write!(f, "#{number}")?;
        if !started.is_zero() {
            write!(f, " at {started:.3?}")?;
        }
        write!(f, " {}: {holder} ", cause.name())?;
        self.fmt_reason(f)?;
        write!(f, "; it held {held} B, gave back {freed} B, wrote {written} B in {took:.3?}")?;
        f.write_str(if self.failed { ", and FAILED" } else { "" })
    }
}

/// What a spill tells of itself.
#[derive(Debug, Clone, Copy)]
pub struct Spill {
    /// Why.
    pub cause: SpillCause,
    /// Who asked for how much, when it was not the holder.
    pub asked: Option<(Party, u64)>,
    /// Bytes granted to the holder before.
    pub held: u64,
    /// Bytes it gave back.
    pub freed: u64,
    /// Bytes written to disk.
    pub written: u64,
    /// How long it took.
    pub took: Duration,
    /// Whether it failed.
    pub failed: bool,
}

/// The last spills, in a ring of fixed size.
#[derive(Debug)]
pub(super) struct SpillLog {
    records: [Option<SpillRecord>; SPILL_RECORDS_MAX],
    /// Spills so far.
    count: u64,
}

impl SpillLog {
    pub(super) const fn new() -> Self {
        Self { records: [None; SPILL_RECORDS_MAX], count: 0 }
    }

    pub(super) fn push(&mut self, record: impl FnOnce(u64) -> SpillRecord) {
        let place = crate::cast::to_usize(self.count % SPILL_RECORDS_MAX as u64);
        self.count += 1;
        self.records[place] = Some(record(self.count));
    }

    /// Oldest first.
    pub(super) fn records(&self) -> Vec<SpillRecord> {
        let mut records: Vec<_> = self.records.iter().flatten().copied().collect();
        records.sort_unstable_by_key(|record| record.number);
        records
    }
}

/// Where a ledger's memory is and where it went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The capacity in bytes.
    pub capacity: u64,
    /// Bytes granted.
    pub granted: u64,
    /// Bytes really allocated.
    pub live: u64,
    /// The most bytes that were ever granted at once.
    pub peak_granted: u64,
    /// Who holds memory, largest first; buffers handed out are `exported`.
    pub holders: Vec<HolderReport>,
    /// Who held how much when the most was granted, by consumer name, largest first.
    pub peak: Vec<(&'static str, u64)>,
    /// The last spills, oldest first.
    pub spills: Vec<SpillRecord>,
}

/// Several lines, bytes exact: what is held, who held the peak, and the last spills, oldest first.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capacity, granted, live, peak_granted, holders, peak, spills } = self;
        match *capacity {
            u64::MAX => f.write_str("memory: no limit")?,
            capacity => write!(f, "memory: capacity {capacity} B")?,
        }
        writeln!(f, ", granted {granted} B, live {live} B")?;
        for holder in holders {
            writeln!(f, "  {holder}")?;
        }
        write!(f, "peak: granted {peak_granted} B")?;
        let share = peak_granted.saturating_mul(100) / (*capacity).max(1);
        if *capacity != u64::MAX {
            write!(f, ", {share} % of the capacity")?;
        }
        writeln!(f)?;
        for (name, bytes) in peak {
            writeln!(f, "  {name} {bytes} B")?;
        }
        self.fmt_spill_counts(f)?;
        spills.iter().try_for_each(|spill| writeln!(f, "  {spill}"))
    }
}

impl Explanation {
    fn fmt_spill_counts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.spills.len() as u64;
        let count = self.spills.last().map_or(0, |last| last.number);
        write!(f, "spills: {count}")?;
        if count > shown {
            write!(f, ", the last {shown}")?;
        }
        let mut before = ": ";
        for cause in SpillCause::ALL {
            let of_cause = self.spills.iter().filter(|spill| spill.cause == cause).count();
            if of_cause > 0 {
                write!(f, "{before}{of_cause} {}", cause.name())?;
                before = ", ";
            }
        }
        writeln!(f)
    }
}
