//! The frame of every command that works under a budget: the budget found or given and held against
//! what is needed, the ledger and its tasks, spill directories, metrics, the explanation at the end.
//!
//! What may lie beside the budget is said before anything is read, and stays within
//! [`OVERHEAD_BYTES`] unless a warning says otherwise.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bywash::{LedgerOptions, MemoryLedger, Metrics, SpillDirs, SystemClock, TaskMemory};

use crate::args::{Memory, MemoryArgs, ReportArgs, SpillArgs};
use crate::auto_memory::AutoMemory;
use crate::explain::ExplainReport;
use crate::failure::{Failure, Result};
use crate::input::{Input, PieceReader};
use crate::metrics_file::MetricsFile;
use crate::process::ResidentPeak;
use crate::reader_share::reader_share;
use crate::report;
use crate::resources::{Resources, SpillDirUse};
use crate::sizes::human_size;
use crate::spill_dirs::SpillPlan;
use crate::watch::Watch;

/// What is to be done under a budget, and what the user said of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work<'a> {
    /// What it is: `sorting`.
    pub(crate) verb: &'static str,
    pub(crate) workers: Workers,
    pub(crate) input: &'a Input,
    pub(crate) budget: &'a MemoryArgs,
    pub(crate) spill: &'a SpillArgs,
    pub(crate) report: &'a ReportArgs,
}

/// How many tasks work.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Workers {
    /// One: the command knows no `--tasks`.
    One,
    /// As many as `--tasks` says.
    Tasks(usize),
}

/// A command under its budget.
#[derive(Debug)]
pub(crate) struct Budgeted<'a> {
    work: Work<'a>,
    budget: u64,
    auto: Option<AutoMemory>,
    reader_share: u64,
    batch_rows: usize,
    metrics_file: Option<MetricsFile<'a>>,
    ledger: MemoryLedger,
    tasks: Vec<TaskMemory>,
    spill_dirs: Arc<SpillDirs>,
    metrics: Metrics,
    watch: Watch,
}

impl<'a> Budgeted<'a> {
    /// Finds or takes the budget and opens what is needed under it. `minimum` says the least budget of
    /// so many tasks. Fails, naming what would do, before anything is read.
    pub(crate) fn open(
        work: Work<'a>,
        minimum: impl Fn(usize) -> bywash::Result<u64>,
    ) -> Result<Self> {
        let Work { input, report, .. } = work;
        let tasks = work.workers.count();
        let spill = SpillPlan::new(&work.spill.spill_dir, work.spill.spill_memory_backed)?;
        // Files that are charged get a task's share of their own.
        let needed = minimum(tasks + usize::from(spill.is_charged))?;
        let (budget, auto) = budget(&work, needed)?;
        let batch_rows = input.batch_rows();
        let reader_share = reader_share(input, tasks, batch_rows);
        warn_of_readers(&work, reader_share, budget);
        let metrics_file = report.metrics.as_deref().map(MetricsFile::new).transpose()?;
        let ledger = MemoryLedger::with_options(LedgerOptions {
            clock: Some(Arc::new(SystemClock::start())),
            ..LedgerOptions::new(budget)
        });
        let share = minimum(tasks)? / u64::try_from(tasks).unwrap_or(u64::MAX).max(1);
        let memories = ledger.admit(tasks, share)?;
        let spill_dirs = spill.open(&ledger, tasks)?;
        let metrics = Metrics::new(&ledger);
        metrics.watch_spill_dirs(&spill_dirs);
        Ok(Self {
            work,
            budget,
            auto,
            reader_share,
            batch_rows,
            metrics_file,
            ledger,
            tasks: memories,
            spill_dirs,
            metrics,
            watch: Watch::default(),
        })
    }

    /// The tasks, each with what it needs promised to it.
    pub(crate) fn tasks(&self) -> &[TaskMemory] {
        &self.tasks
    }

    /// The memory of a command's only task.
    pub(crate) fn task(&self) -> Result<&TaskMemory> {
        self.tasks.first().ok_or_else(|| Failure::new("the ledger admitted no task"))
    }

    /// Where to spill.
    pub(crate) const fn spill_dirs(&self) -> &Arc<SpillDirs> {
        &self.spill_dirs
    }

    /// What is measured, for writers to be entered in.
    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What is read.
    pub(crate) const fn input(&self) -> &'a Input {
        self.work.input
    }

    /// What tells threads to stop.
    pub(crate) const fn watch(&self) -> &Watch {
        &self.watch
    }

    /// The rows of a batch that is read.
    pub(crate) const fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    /// Reads the whole input in order, for a command of one task.
    pub(crate) fn read(&self) -> PieceReader<'a> {
        let pieces = self.work.input.deal(1).concat();
        self.work.input.read(pieces, self.batch_rows)
    }

    /// To be called between two batches that are read, with the rows of the first.
    pub(crate) fn advance(&self, rows: usize) {
        self.watch.advance(rows);
        self.poll();
    }

    /// To be called between two batches that are written: holds the budget against the container.
    /// Blocks for the spills that a lower one makes.
    pub(crate) fn poll(&self) {
        if let Some(auto) = &self.auto {
            auto.poll(&self.ledger);
        }
    }

    /// Does the work, then explains it and writes its metrics: also, and above all, when it failed.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Resources)> {
        let Work { verb, input, report, .. } = self.work;
        let started = Instant::now();
        let done = self.watch.run(verb, input.rows(), work);
        let seconds = started.elapsed().as_secs_f64();
        let explain = report.explain.then(|| ExplainReport::of(&self.ledger.explain()));
        if let Some(explain) = explain.as_ref().filter(|_| !report.json || done.is_err()) {
            explain.print();
        }
        let written = self.metrics_file.as_ref().map_or(Ok(()), |file| file.write(&self.metrics));
        let done = done?;
        written?;
        Ok((done, self.resources(seconds, explain)))
    }

    fn resources(&self, seconds: f64, explain: Option<ExplainReport>) -> Resources {
        Resources {
            budget_bytes: self.budget,
            auto: self.auto.as_ref().map(AutoMemory::report),
            granted_peak_bytes: self.ledger.peak_granted(),
            live_peak_bytes: self.ledger.peak_live(),
            reader_share_bytes: self.reader_share,
            resident_anonymous_peak_bytes: self.watch.peak().anonymous(),
            resident_total_peak_bytes: ResidentPeak::total(),
            spill_dirs: self.spill_dirs.dirs().iter().map(SpillDirUse::of).collect(),
            seconds,
            explain,
        }
    }
}

/// The budget, and what keeps it true if it was found.
fn budget(work: &Work<'_>, needed: u64) -> Result<(u64, Option<AutoMemory>)> {
    let MemoryArgs { memory, reserve } = *work.budget;
    match memory {
        Memory::Auto => {
            let auto = AutoMemory::find(reserve.unwrap_or(0), needed, work)?;
            Ok((auto.capacity(), Some(auto)))
        }
        Memory::Size(bytes) if bytes < needed => Err(Failure::new(format!(
            "--memory {} is too little for {work}; give at least {}KiB{}",
            human_size(bytes),
            needed.div_ceil(1024),
            work.workers.or_fewer()
        ))),
        Memory::Size(bytes) => Ok((bytes, None)),
    }
}

fn warn_of_readers(work: &Work<'_>, share: u64, budget: u64) {
    if share > OVERHEAD_BYTES {
        report::warn(&format!(
            "warning: the Parquet readers may take up to {} beside the budget of {} (bounded by the \
             largest row group in the footers); smaller row groups{} make it less",
            human_size(share),
            human_size(budget),
            work.workers.or_fewer()
        ));
    }
}

impl Workers {
    const fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Tasks(tasks) => tasks,
        }
    }

    /// The verb that goes with [`Work`] in a message.
    pub(crate) const fn need(self) -> &'static str {
        match self {
            Self::One => "needs",
            Self::Tasks(_) => "need",
        }
    }

    /// What else there is to lower, in commands that have it.
    pub(crate) const fn or_tasks(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Tasks(_) => " or --tasks",
        }
    }

    /// What else would help, in commands that have it.
    const fn or_fewer(self) -> &'static str {
        match self {
            Self::One => "",
            Self::Tasks(_) => " or fewer --tasks",
        }
    }
}

/// What needs the memory, as messages say it.
impl fmt::Display for Work<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.workers {
            Workers::One => f.write_str(self.verb),
            Workers::Tasks(tasks) => write!(f, "{tasks} task(s)"),
        }
    }
}

/// What the program may take beside the budget.
pub(crate) const OVERHEAD_BYTES: u64 = 64 << 20;
