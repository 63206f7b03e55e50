//! `accuracy`: how exact the ledger is, measured while several tasks shuffle under one budget.
//!
//! ```text
//! cargo run --release -p bywash-benches --bin accuracy -- --svg accuracy.svg --csv accuracy.csv
//! ```
//!
//! Tasks on threads take shuffles from a queue (narrow, wide, string-heavy, skewed; each codec; a few
//! partition counts), write, spill as the budget says, commit, read back charged and verify. Beside
//! them the main thread samples what is granted and live on the ledger, what the allocator and the
//! mappings really hold of the library's (every malloc and mmap of the process passes through a
//! counting one; only those made inside calls into the library count) and what is resident.
//!
//! What is compared with what, and when, is in `gate`, `sampler` and `report`; the bounds are checked
//! and a missed one makes the program fail.

mod csv;
#[path = "../shuffle_bench/failure.rs"]
mod failure;
mod gate;
mod input;
mod job;
mod plot;
mod report;
mod sampler;
mod spills;
mod store;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use bywash::{
    Codec, FsStore, MemoryLedger, SpillDirs, SpillOptions, Store, TaskMemory, WriteProgress,
    default_spill_dirs, minimum_budget,
};
use bywash_cli::report::{print, warn};
use bywash_cli::sizes::parse_positive_size;
use bywash_cli::totals;
use bywash_tests::alloc;
use clap::Parser;

use crate::failure::{Result, fail};
use crate::gate::GATE;
use crate::input::{Input, Shape};
use crate::job::{Bench, Job};
use crate::report::{Facts, Report};
use crate::sampler::Sampler;
use crate::store::StoppingStore;

bywash_tests::install_counting_allocator!();

/// Measures how exact the memory ledger is.
#[derive(Debug, Parser)]
#[command(name = "accuracy", max_term_width = 100)]
struct Arguments {
    /// The one memory budget of all tasks.
    #[arg(long, default_value = "256MiB", value_parser = parse_positive_size, value_name = "SIZE")]
    memory: u64,
    /// Tasks at once, each on a thread.
    #[arg(long, default_value_t = 4, value_parser = parse_tasks)]
    tasks: usize,
    /// Arrow bytes that each shuffle is made of.
    #[arg(long, default_value = "512MiB", value_parser = parse_positive_size, value_name = "SIZE")]
    scale: u64,
    /// How often the twelve shuffles (four shapes, three codecs) are done.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
    /// Seed of the data.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Milliseconds between samples.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    sample_every: u64,
    /// Where output and spills go, on a disk [default: the first on a disk of $BYWASH_SPILL_DIRS,
    /// /var/tmp, the system's directory for temporary files, the current one].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write every sample and spill here.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Draw them here.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Only report: a missed bound is no failure.
    #[arg(long)]
    no_check: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            warn(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Arguments) -> Result<()> {
    alloc::assert_installed();
    alloc::touch_tables();
    alloc::set_hook(sampler::at_event);

    let parent = parent_dir(args)?;
    let work = tempfile::Builder::new().prefix("accuracy-").tempdir_in(parent).map_err(fail)?;
    let spill_dirs = open_spill_dirs(work.path())?;
    let jobs = make_jobs(args, work.path())?;
    let minimum =
        jobs.iter().map(|job| minimum_budget(&job.spec, 1)).collect::<bywash::Result<Vec<_>>>();
    let minimum = minimum.map_err(fail)?.into_iter().max().unwrap_or(0);
    let ledger = MemoryLedger::new(args.memory);
    let tasks = ledger.admit(args.tasks, minimum).map_err(fail)?;

    let sampler = Sampler::new(&ledger, Duration::from_millis(args.sample_every))?;
    spills::prepare();
    let outcome = measure(args, &jobs, tasks, &spill_dirs, sampler)?;
    let spills = spills::take();
    let samples = &outcome.sampler.samples;
    let report = Report::new(
        Facts {
            budget_bytes: args.memory,
            tasks: args.tasks,
            shuffles: jobs.iter().map(Job::label).collect(),
            shuffled_bytes: jobs.iter().map(Job::bytes).sum(),
            spilled_bytes: outcome.progress.spilled_bytes,
            seed: args.seed,
            sample_every_ms: args.sample_every,
            idle_resident_bytes: outcome.sampler.idle_resident,
            stops_given_up: outcome.sampler.given_up,
        },
        samples,
        outcome.last,
        &spills,
    );
    if let Some(path) = &args.csv {
        csv::write(path, args.memory, samples, &spills)?;
    }
    if let Some(path) = &args.svg {
        plot::draw(path, args.memory, samples, &spills)?;
    }
    print(&report, args.json).map_err(fail)?;
    let missed = report.missed();
    if args.no_check || missed.is_empty() { Ok(()) } else { Err(fail(missed)) }
}

/// What a run leaves.
struct Outcome {
    sampler: Sampler,
    /// With all tasks ended.
    last: sampler::Sample,
    progress: WriteProgress,
}

/// Runs the jobs on a thread for each task and samples beside them.
fn measure(
    args: &Arguments,
    jobs: &[Job],
    tasks: Vec<TaskMemory>,
    spill_dirs: &Arc<SpillDirs>,
    mut sampler: Sampler,
) -> Result<Outcome> {
    let next = AtomicUsize::new(0);
    let ended = AtomicUsize::new(0);
    let (ready, start) = (Barrier::new(args.tasks + 1), Barrier::new(args.tasks + 1));
    let kept_bytes = usize::try_from(args.memory / args.tasks as u64 / 4).map_err(fail)?;
    let worker = |place: usize, task: TaskMemory| {
        let expected = vec![(1, 1); PARTITIONS_MAX];
        let mut bench = Bench { task: &task, spill_dirs, kept_bytes, expected };
        spills::set_task(place);
        ready.wait();
        start.wait();
        let _ended = CountOnDrop(&ended);
        let mut progress = Vec::new();
        let result = loop {
            let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break Ok(progress);
            };
            match job.run(&mut bench) {
                Ok(more) => progress.push(more),
                Err(error) => {
                    next.store(jobs.len(), Ordering::Relaxed);
                    break Err(error);
                }
            }
        };
        GATE.call(|| drop(task));
        result
    };
    let (sampled, worked) = std::thread::scope(|scope| {
        let worker = &worker;
        let threads: Vec<_> = (0..)
            .zip(tasks)
            .map(|(place, task)| scope.spawn(move || worker(place, task)))
            .collect();
        ready.wait();
        bywash_tests::resident::trim_heap();
        let sampled = sampler.measure_idle();
        start.wait();
        let all_ended = || ended.load(Ordering::Acquire) == args.tasks;
        let sampled = sampled.and_then(|()| sampler.run(all_ended));
        let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        (sampled, joined.collect::<std::thread::Result<Vec<_>>>())
    });
    sampled?;
    let worked = worked.map_err(|_panic| "a task panicked")?;
    let worked = worked.into_iter().collect::<Result<Vec<_>>>()?;
    let last = sampler.stopped()?.ok_or("the library is still in use at the end")?;
    let progress = totals::total(worked.iter().flatten());
    Ok(Outcome { sampler, last, progress })
}

/// Counts a thread that ends, also by a panic.
struct CountOnDrop<'a>(&'a AtomicUsize);

impl Drop for CountOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// Where the run's own directory is made.
fn parent_dir(args: &Arguments) -> Result<PathBuf> {
    if let Some(dir) = &args.dir {
        std::fs::create_dir_all(dir).map_err(fail)?;
        return Ok(dir.clone());
    }
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let found = default_spill_dirs(&store).map_err(fail)?;
    found.dirs.into_iter().next().ok_or_else(|| "there is no directory to spill to".into())
}

fn open_spill_dirs(work: &Path) -> Result<Arc<SpillDirs>> {
    let store: Arc<dyn Store> = Arc::new(StoppingStore::new(true));
    SpillDirs::open(store, &[work.join("spill")], SpillOptions::default()).map_err(fail)
}

/// Every shape with every codec, in turns of partition counts.
fn make_jobs(args: &Arguments, work: &Path) -> Result<Vec<Job>> {
    let store: Arc<dyn Store> = Arc::new(StoppingStore::new(false));
    // Larger than the eighth of a share that a staging chunk may take.
    let huge = usize::try_from(args.memory / args.tasks as u64 / 5).map_err(fail)?;
    let input = |shape| Input::generate(shape, args.seed, huge).map(Arc::new);
    let inputs = Shape::ALL.into_iter().map(input).collect::<Result<Vec<_>>>()?;
    let mut jobs = Vec::new();
    for round in 0..args.rounds {
        for (place, codec) in CODECS.into_iter().enumerate() {
            for (shape, input) in inputs.iter().enumerate() {
                let partitions = PARTITIONS[(shape + 2 * place + round) % PARTITIONS.len()];
                let out = work.join(format!("out-{}", jobs.len()));
                jobs.push(Job::new(input, codec, partitions, args.scale, Arc::clone(&store), out)?);
            }
        }
    }
    Ok(jobs)
}

fn parse_tasks(text: &str) -> std::result::Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if (1..=256).contains(&count) => Ok(count),
        _ => Err(format!("`{text}` is not a number of tasks; give 1 to 256")),
    }
}

const CODECS: [Codec; 3] = [Codec::Lz4, Codec::Zstd { level: 1 }, Codec::None];
const PARTITIONS: [u32; 4] = [200, 16, 2000, 1];
const PARTITIONS_MAX: usize = 2000;
