//! One measured run of the engine: from making the writers to the committed map outputs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bywash::{
    AttemptId, FsStore, MapId, MemoryBacked, MemoryLedger, OutputDir, OutputOptions, ShuffleSpec,
    ShuffleWriter, SpillDirs, SpillOptions, Store, TaskMemory, WriteProgress, default_spill_dirs,
    minimum_budget,
};

use crate::clock::{Clock, Elapsed};
use crate::failure::{Result, fail};
use crate::records::RecordPlan;
use crate::source::Source;

/// What is the same for every run.
pub(crate) struct Plan<'a> {
    pub(crate) spec: &'a ShuffleSpec,
    /// Per batch; empty when the engine hashes.
    pub(crate) ids: Option<Ids>,
    /// Records instead of columns.
    pub(crate) records: Option<&'a RecordPlan>,
    pub(crate) memory_limit: Option<u64>,
    /// Tasks under one ledger; one runs on the calling thread, more on a thread each.
    pub(crate) tasks: usize,
    pub(crate) output_dir: &'a Path,
}

/// What a run took.
pub(crate) struct ShuffleRun {
    pub(crate) time: Elapsed,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) granted_peak: u64,
    pub(crate) live_peak: u64,
    /// Requests that the ledger granted.
    pub(crate) grants: u64,
    pub(crate) progress: WriteProgress,
}

/// What one task did.
#[derive(Default)]
pub(crate) struct TaskRun {
    pub(crate) cpu: Duration,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) progress: WriteProgress,
}

/// Partition ids that look random and are the same in every run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    pub(crate) partitions: u32,
}

impl Ids {
    pub(crate) fn fill(self, first_row: u64, rows: usize, ids: &mut Vec<u32>) {
        ids.clear();
        let multiplier = u128::from(self.partitions);
        ids.extend((first_row..).take(rows).map(|row| {
            let spread = (row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            u32::try_from((u128::from(spread) * multiplier) >> 64).unwrap_or(0)
        }));
    }
}

/// Where to measure when nothing is said.
pub(crate) fn first_on_a_disk() -> Result<PathBuf> {
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let found = default_spill_dirs(&store).map_err(fail)?;
    found.dirs.into_iter().next().ok_or_else(|| "no directory on a disk".into())
}

/// Shuffles the source once into a directory that is removed after the clock.
pub(crate) fn run(plan: &Plan<'_>, source: &Source) -> Result<ShuffleRun> {
    let dir = tempfile::Builder::new().prefix("run-").tempdir_in(plan.output_dir).map_err(fail)?;
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    // Who measures in memory wants to know how fast that is.
    let options =
        SpillOptions { memory_backed: MemoryBacked::Unaccounted, ..SpillOptions::default() };
    let spill =
        SpillDirs::open(Arc::clone(&store), &[dir.path().to_owned()], options).map_err(fail)?;
    let out = OutputDir::open(store, dir.path(), OutputOptions::default()).map_err(fail)?;
    let ledger = plan.memory_limit.map_or_else(MemoryLedger::unlimited, MemoryLedger::new);
    let minimum = match plan.records {
        Some(records) => records.spec.minimum_budget(1),
        None => minimum_budget(plan.spec, 1),
    };
    let minimum = minimum.map_err(fail)?;
    let tasks = ledger.admit(plan.tasks, minimum).map_err(fail)?;
    let job = Job { plan, source, spill: &spill, out: &out };

    let clock = Clock::start();
    let done = match &tasks[..] {
        [alone] => vec![job.task(0, alone)?],
        several => job.on_threads(several)?,
    };
    let wall = clock.elapsed().wall;

    let mut total = TaskRun::default();
    for task in done {
        total.cpu += task.cpu;
        total.rows += task.rows;
        total.bytes += task.bytes;
        total.progress += task.progress;
    }
    Ok(ShuffleRun {
        time: Elapsed { wall, cpu: total.cpu },
        rows: total.rows,
        bytes: total.bytes,
        granted_peak: ledger.peak_granted(),
        live_peak: ledger.peak_live(),
        grants: ledger.snapshot().grants,
        progress: total.progress,
    })
}

/// What the tasks of a run share.
struct Job<'a> {
    plan: &'a Plan<'a>,
    source: &'a Source,
    spill: &'a Arc<SpillDirs>,
    out: &'a Arc<OutputDir>,
}

impl Job<'_> {
    fn on_threads(&self, tasks: &[TaskMemory]) -> Result<Vec<TaskRun>> {
        std::thread::scope(|scope| {
            let running: Vec<_> = tasks
                .iter()
                .enumerate()
                .map(|(index, task)| scope.spawn(move || self.task(index, task)))
                .collect();
            running
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|_panic| Err("a task panicked".into())))
                .collect()
        })
    }

    /// Shuffles every n-th batch, from the `index`-th.
    fn task(&self, index: usize, memory: &TaskMemory) -> Result<TaskRun> {
        let Self { plan, source, spill, out } = self;
        if let Some(records) = plan.records {
            return records.task((index, plan.tasks), source, memory, spill, out);
        }
        let (mut seen, mut rows) = (0usize, 0u64);
        let mut ids = Vec::new();
        let clock = Clock::start();
        let map = MapId(u64::try_from(index).map_err(fail)?);
        let mut writer =
            ShuffleWriter::new(plan.spec, memory, spill, out, map, AttemptId(0)).map_err(fail)?;
        source.for_each(|batch| {
            seen += 1;
            if (seen - 1) % plan.tasks != index {
                return Ok(());
            }
            match plan.ids {
                None => writer.write(batch).map_err(fail)?,
                Some(make) => {
                    make.fill(rows, batch.num_rows(), &mut ids);
                    writer.write_with_ids(batch, &ids).map_err(fail)?;
                }
            }
            rows += u64::try_from(batch.num_rows()).map_err(fail)?;
            Ok(())
        })?;
        let counters = writer.canceller();
        let output = writer.finish().map_err(fail)?;
        let cpu = clock.elapsed().cpu;
        if output.total_rows() != rows {
            return Err("the map output has another number of rows".into());
        }
        Ok(TaskRun { cpu, rows, bytes: output.total_bytes(), progress: counters.progress() })
    }
}
