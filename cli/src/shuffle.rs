//! `bywash shuffle`: Parquet files into one map output per task, under one ledger.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use bywash::{
    AttemptId, FsStore, LedgerOptions, MapId, MemoryLedger, Metrics, OutputDir, OutputOptions,
    Partitioning, ShuffleSpec, ShuffleWriter, SpillDirs, Store, SystemClock, TaskMemory,
    WriteProgress, minimum_budget,
};

use crate::args::{Memory, ShuffleArgs};
use crate::auto_memory::AutoMemory;
use crate::explain::ExplainReport;
use crate::failure::{At, Failure, Result};
use crate::input::{Input, Piece};
use crate::job::{self, Job, JobMap};
use crate::metrics_file::MetricsFile;
use crate::process::ResidentPeak;
use crate::reader_share::reader_share;
use crate::report::{self, Histogram, ShuffleReport, SpillDirUse};
use crate::sizes::human_size;
use crate::spill_dirs::{self, SpillPlan};
use crate::totals;
use crate::watch::Watch;

/// Runs the command.
pub(crate) fn run(args: &ShuffleArgs) -> Result<()> {
    args.memory.check_reserve(args.reserve)?;
    let input = Input::open(&args.inputs)?;
    let by = input.columns(&args.by)?;
    let spec =
        ShuffleSpec::new(Arc::clone(input.schema()), args.partitions, Partitioning::Hash(by))?
            .with_codec(args.codec);
    let tasks = usize::try_from(args.tasks).unwrap_or(usize::MAX);
    let batch_rows = input.batch_rows();
    job::refuse_used(&args.out)?;
    let spill = SpillPlan::new(&args.spill_dir, args.spill_memory_backed)?;
    let needed = minimum_budget(&spec, tasks + usize::from(spill.is_charged))?;
    let (budget, auto) = budget(args, needed, tasks)?;
    let share = reader_share(&input, tasks, batch_rows);
    if share > OVERHEAD_BYTES {
        report::warn(&format!(
            "warning: the Parquet readers may take up to {} beside the budget of {} (bounded by the \
             largest row group in the footers); smaller row groups or fewer --tasks make it less",
            human_size(share),
            human_size(budget)
        ));
    }

    std::fs::create_dir_all(&args.out).at(&args.out)?;
    let metrics_file = args.metrics.as_deref().map(MetricsFile::new).transpose()?;
    let ledger = MemoryLedger::with_options(LedgerOptions {
        clock: Some(Arc::new(SystemClock::start())),
        ..LedgerOptions::new(budget)
    });
    let memories = admit(&ledger, &spec, tasks, needed)?;
    let run = Run {
        input: &input,
        spec: &spec,
        batch_rows,
        spill: spill.open(&ledger, tasks)?,
        out: open_output_dir(&args.out)?,
        attempt: AttemptId(u64::from(std::process::id())),
        watch: Watch::default(),
        ledger: &ledger,
        auto: auto.as_ref(),
        metrics: Metrics::new(&ledger),
    };
    run.metrics.watch_spill_dirs(&run.spill);
    let pieces = input.deal(tasks);
    let started = Instant::now();
    let done = run.watch.run("shuffling", input.rows(), || run.all(&memories, pieces.clone()));
    let seconds = started.elapsed().as_secs_f64();
    // Also, and above all, when the shuffle failed.
    let explain = args.explain.then(|| ExplainReport::of(&ledger.explain()));
    if let Some(explain) = explain.as_ref().filter(|_| !args.json || done.is_err()) {
        explain.print();
    }
    let written = metrics_file.map_or(Ok(()), |file| file.write(&run.metrics));
    let done = done?;
    written?;

    let job = describe_job(args, &spec, &done, pieces);
    job.publish(&args.out)?;
    let progress = totals::total(done.iter().map(|task| &task.progress));
    let report = ShuffleReport {
        rows: job.rows,
        input_bytes: progress.bytes,
        output_bytes: job.bytes,
        partitions: args.partitions,
        tasks: args.tasks,
        codec: args.codec.to_string(),
        budget_bytes: budget,
        auto: auto.as_ref().map(AutoMemory::report),
        granted_peak_bytes: ledger.peak_granted(),
        live_peak_bytes: ledger.peak_live(),
        reader_share_bytes: share,
        resident_anonymous_peak_bytes: run.watch.peak().anonymous(),
        resident_total_peak_bytes: ResidentPeak::total(),
        spills: totals::spill_counts(&progress),
        spilled_bytes: progress.spilled_bytes,
        run_merges: progress.run_merges,
        spill_dirs: run.spill.dirs().iter().map(SpillDirUse::of).collect(),
        seconds,
        phases: totals::phase_times(&progress),
        partition_bytes: Histogram::of(sum_partitions(&done)),
        explain,
    };
    report::print(&report, args.json)
}

/// The budget, and what keeps it true if it was found.
fn budget(args: &ShuffleArgs, needed: u64, tasks: usize) -> Result<(u64, Option<AutoMemory>)> {
    match args.memory {
        Memory::Size(bytes) => Ok((bytes, None)),
        Memory::Auto => {
            let auto = AutoMemory::find(args.reserve.unwrap_or(0), needed, tasks)?;
            Ok((auto.capacity(), Some(auto)))
        }
    }
}

/// Admits the tasks together, or says what they need, with what is admitted later.
fn admit(
    ledger: &MemoryLedger,
    spec: &ShuffleSpec,
    tasks: usize,
    needed: u64,
) -> Result<Vec<TaskMemory>> {
    if ledger.capacity() < needed {
        let kib = needed.div_ceil(1024);
        return Err(Failure::new(format!(
            "--memory {} is too little for {tasks} task(s); give at least {kib}KiB or fewer --tasks",
            human_size(ledger.capacity())
        )));
    }
    let tasks_u64 = u64::try_from(tasks).unwrap_or(u64::MAX);
    Ok(ledger.admit(tasks, minimum_budget(spec, tasks)? / tasks_u64)?)
}

fn open_output_dir(dir: &Path) -> Result<Arc<OutputDir>> {
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let out = OutputDir::open(store, dir, OutputOptions::default())?;
    spill_dirs::warn_of_output(&out)?;
    Ok(out)
}

/// What the tasks of one shuffle share.
struct Run<'a> {
    input: &'a Input,
    spec: &'a ShuffleSpec,
    batch_rows: usize,
    spill: Arc<SpillDirs>,
    out: Arc<OutputDir>,
    attempt: AttemptId,
    watch: Watch,
    ledger: &'a MemoryLedger,
    auto: Option<&'a AutoMemory>,
    metrics: Metrics,
}

/// What one task leaves for the report.
struct TaskDone {
    map: MapId,
    rows: u64,
    bytes: u64,
    partition_bytes: Vec<u64>,
    progress: WriteProgress,
}

impl Run<'_> {
    /// Runs every task on a thread of its own; the first failure stops the others.
    fn all(&self, memories: &[TaskMemory], pieces: Vec<Vec<Piece>>) -> Result<Vec<TaskDone>> {
        thread::scope(|scope| {
            let mut running = Vec::with_capacity(memories.len());
            for ((map, memory), pieces) in (0u64..).zip(memories).zip(pieces) {
                let task = move || {
                    let done = self.task(MapId(map), memory, pieces);
                    if done.is_err() {
                        self.watch.stop();
                    }
                    done
                };
                let spawned = thread::Builder::new().spawn_scoped(scope, task);
                running.push(spawned.map_err(|error| {
                    self.watch.stop();
                    Failure::new(format!("cannot start a thread: {error}"))
                })?);
            }
            let mut done = Vec::with_capacity(running.len());
            let mut failure = None;
            for handle in running {
                match handle.join() {
                    Ok(Ok(Some(task))) => done.push(task),
                    Ok(Ok(None)) => {}
                    Ok(Err(error)) => failure = failure.or(Some(error)),
                    Err(_panic) => failure = Some(Failure::new("a task panicked")),
                }
            }
            match failure {
                Some(failure) => Err(failure),
                None => Ok(done),
            }
        })
    }

    /// Writes one map output; none if another task failed meanwhile.
    fn task(
        &self,
        map: MapId,
        memory: &TaskMemory,
        pieces: Vec<Piece>,
    ) -> Result<Option<TaskDone>> {
        let mut writer =
            ShuffleWriter::new(self.spec, memory, &self.spill, &self.out, map, self.attempt)?;
        self.metrics.watch_writer(&writer);
        for batch in self.input.read(pieces, self.batch_rows) {
            if self.watch.is_stopped() {
                return Ok(None);
            }
            let batch = batch?;
            writer.write(&batch)?;
            if let Some(auto) = self.auto {
                auto.poll(self.ledger);
            }
            self.watch.advance(batch.num_rows());
        }
        // It outlives the writer, so that the time of the commit is counted too.
        let counters = writer.canceller();
        let output = writer.finish()?;
        if output.attempt() != self.attempt {
            return Err(Failure::new(format!(
                "map output {map} was committed by another process; give each shuffle its own --out"
            )));
        }
        Ok(Some(TaskDone {
            map,
            rows: output.total_rows(),
            bytes: output.total_bytes(),
            partition_bytes: (0..output.partitions()).map(|p| output.bytes(p)).collect(),
            progress: counters.progress(),
        }))
    }
}

fn describe_job(
    args: &ShuffleArgs,
    spec: &ShuffleSpec,
    done: &[TaskDone],
    pieces: Vec<Vec<Piece>>,
) -> Job {
    Job {
        version: job::VERSION,
        by: args.by.clone(),
        partitions: args.partitions,
        codec: args.codec.to_string(),
        schema_fingerprint: format!("{:016x}", spec.fingerprint()),
        rows: done.iter().map(|task| task.rows).sum(),
        bytes: done.iter().map(|task| task.bytes).sum(),
        map_outputs: done
            .iter()
            .zip(pieces)
            .map(|(task, inputs)| JobMap {
                map: task.map.0,
                attempt: u64::from(std::process::id()),
                rows: task.rows,
                bytes: task.bytes,
                inputs,
            })
            .collect(),
    }
}

fn sum_partitions(done: &[TaskDone]) -> Vec<u64> {
    let mut sums = done.first().map(|task| task.partition_bytes.clone()).unwrap_or_default();
    for task in done.iter().skip(1) {
        for (sum, bytes) in sums.iter_mut().zip(&task.partition_bytes) {
            *sum += bytes;
        }
    }
    sums
}

/// What the program may take beside the budget.
pub(crate) const OVERHEAD_BYTES: u64 = 64 << 20;
