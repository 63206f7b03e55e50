//! `bywash shuffle`: Parquet files into one map output per task, under one ledger.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use bywash::{
    AttemptId, FsStore, MapId, OutputDir, OutputOptions, Partitioning, ShuffleSpec, ShuffleWriter,
    Store, TaskMemory, WriteProgress, minimum_budget,
};

use crate::args::ShuffleArgs;
use crate::budgeted::{Budgeted, Work, Workers};
use crate::failure::{At, Failure, Result};
use crate::input::{Input, Piece};
use crate::job::{self, Job, JobMap};
use crate::report::{self, Histogram, ShuffleReport};
use crate::resources::Resources;
use crate::spill_dirs;
use crate::totals;

/// Runs the command.
pub(crate) fn run(args: &ShuffleArgs) -> Result<()> {
    args.budget.check()?;
    let input = Input::open(&args.inputs)?;
    let by = input.listed(&args.by);
    let hash = Partitioning::Hash(input.columns(&by)?);
    let spec =
        ShuffleSpec::new(Arc::clone(input.schema()), args.partitions, hash)?.with_codec(args.codec);
    let tasks = usize::try_from(args.tasks).unwrap_or(usize::MAX);
    job::refuse_used(&args.out)?;
    let work = Work {
        verb: "shuffling",
        workers: Workers::Tasks(tasks),
        input: &input,
        budget: &args.budget,
        spill: &args.spill,
        report: &args.report,
    };
    let budgeted = Budgeted::open(work, |tasks| minimum_budget(&spec, tasks))?;
    let run = Run {
        input: &input,
        spec: &spec,
        out: open_output_dir(&args.out)?,
        attempt: AttemptId(u64::from(std::process::id())),
        budgeted: &budgeted,
    };
    let pieces = input.deal(tasks);
    let (done, resources) = budgeted.run(|| run.all(pieces.clone()))?;
    let job = describe_job(args, by, &spec, &done, pieces);
    job.publish(&args.out)?;
    report::print(&describe(args, &job, &done, resources), args.report.json)
}

fn open_output_dir(dir: &Path) -> Result<Arc<OutputDir>> {
    std::fs::create_dir_all(dir).at(dir)?;
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let out = OutputDir::open(store, dir, OutputOptions::default())?;
    spill_dirs::warn_of_output(&out.path(), &out.filesystem()?);
    Ok(out)
}

/// What the tasks of one shuffle share.
struct Run<'a> {
    input: &'a Input,
    spec: &'a ShuffleSpec,
    out: Arc<OutputDir>,
    attempt: AttemptId,
    budgeted: &'a Budgeted<'a>,
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
    fn all(&self, pieces: Vec<Vec<Piece>>) -> Result<Vec<TaskDone>> {
        let memories = self.budgeted.tasks();
        thread::scope(|scope| {
            let mut running = Vec::with_capacity(memories.len());
            for ((map, memory), pieces) in (0u64..).zip(memories).zip(pieces) {
                let task = move || {
                    let done = self.task(MapId(map), memory, pieces);
                    if done.is_err() {
                        self.budgeted.watch().stop();
                    }
                    done
                };
                let spawned = thread::Builder::new().spawn_scoped(scope, task);
                running.push(spawned.map_err(|error| {
                    self.budgeted.watch().stop();
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
        let Self { budgeted, .. } = self;
        let spills = budgeted.spill_dirs();
        let mut writer =
            ShuffleWriter::new(self.spec, memory, spills, &self.out, map, self.attempt)?;
        budgeted.metrics().watch_writer(&writer);
        for batch in self.input.read(pieces, budgeted.batch_rows()) {
            if budgeted.watch().is_stopped() {
                return Ok(None);
            }
            let batch = batch?;
            writer.write(&batch)?;
            budgeted.advance(batch.num_rows());
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

fn describe(
    args: &ShuffleArgs,
    job: &Job,
    done: &[TaskDone],
    resources: Resources,
) -> ShuffleReport {
    let progress = totals::total(done.iter().map(|task| &task.progress));
    ShuffleReport {
        rows: job.rows,
        input_bytes: progress.bytes,
        output_bytes: job.bytes,
        partitions: args.partitions,
        tasks: args.tasks,
        codec: args.codec.to_string(),
        spills: totals::spill_counts(&progress),
        spilled_bytes: progress.spilled_bytes,
        run_merges: progress.run_merges,
        phases: totals::phase_times(&progress),
        partition_bytes: Histogram::of(sum_partitions(done)),
        resources,
    }
}

fn describe_job(
    args: &ShuffleArgs,
    by: Vec<String>,
    spec: &ShuffleSpec,
    done: &[TaskDone],
    pieces: Vec<Vec<Piece>>,
) -> Job {
    Job {
        version: job::VERSION,
        by,
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
