//! `sort_bench`: an external sort measured alone, on the calling thread, to a sink that drops.
//!
//! ```text
//! sort_bench --rows 20000000 --memory-limit 16MiB,64MiB,256MiB,none --cpu 1
//! sort_bench --scale-factor 1 --by l_shipdate,l_orderkey --memory-limit 16MiB
//! ```
//!
//! Rows are generated as they are taken, and the time that takes is not counted, so that what is
//! resident is the sort's: two int64 and 84 bytes of which half compress, sorted by the first; or
//! lineitem. Every run checks order, count and a sum of the rows.

mod source;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use bywash::{
    ChargeMode, Codec, FsStore, MemoryLedger, SortColumn, SortSpec, Sorter, SpillDirs,
    SpillOptions, default_spill_dirs, minimum_sort_budget,
};
use bywash_cli::args::{parse_codec, parse_scale_factor};
use bywash_cli::process::ResidentPeak;
use bywash_cli::report::{as_f64, print, warn};
use bywash_cli::sizes::{human_size, parse_positive_size};
use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::source::{Digest, Source};

type Result<T, E = String> = std::result::Result<T, E>;

/// Measures one external sort.
#[derive(Debug, Parser)]
#[command(name = "sort_bench", max_term_width = 100)]
struct Arguments {
    /// Rows to generate.
    #[arg(long, default_value_t = 20_000_000, conflicts_with = "scale_factor")]
    rows: u64,
    /// Sort lineitem of this TPC-H scale factor instead.
    #[arg(long, value_parser = parse_scale_factor)]
    scale_factor: Option<f64>,
    /// Columns to sort by, ascending [default: the first; of lineitem l_shipdate,l_orderkey].
    #[arg(long, value_delimiter = ',', value_name = "COL[,COL]")]
    by: Vec<String>,
    /// Memory budgets, a run each; none for no limit.
    #[arg(long, value_delimiter = ',', default_value = "none,256MiB,64MiB,32MiB,16MiB")]
    memory_limit: Vec<String>,
    /// Codec of the runs: none, lz4, zstd or zstd:LEVEL.
    #[arg(long, default_value = "none", value_parser = parse_codec)]
    codec: Codec,
    /// Rows per batch.
    #[arg(long, default_value_t = 8192)]
    batch_size: usize,
    /// Measured runs of each budget.
    #[arg(long, default_value_t = 1)]
    iterations: usize,
    /// The most runs on disk before some are merged.
    #[arg(long, default_value_t = 512)]
    runs_max: usize,
    /// Where spills go [default: as the library].
    #[arg(long, value_name = "DIR")]
    dir: Option<std::path::PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Run on this core only.
    #[arg(long, value_name = "CORE")]
    cpu: Option<usize>,
}

/// One sort.
#[derive(Debug, Serialize)]
struct Report {
    memory_limit: Option<u64>,
    rows: u64,
    bytes: u64,
    wall_seconds: f64,
    cpu_seconds: f64,
    megabytes_per_cpu_second: f64,
    stage_seconds: f64,
    sort_seconds: f64,
    spill_seconds: f64,
    output_seconds: f64,
    runs: u64,
    passes: u64,
    fan_in: u64,
    spilled_bytes: u64,
    disk_peak_bytes: u64,
    granted_peak_bytes: u64,
    live_peak_bytes: u64,
    resident_peak_bytes: u64,
    resident_before_bytes: u64,
    digest: String,
}

fn main() -> ExitCode {
    bywash_cli::process::settle_heap();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            warn(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Arguments) -> Result<()> {
    if let Some(cpu) = args.cpu {
        let mut set = rustix::thread::CpuSet::new();
        set.set(cpu);
        rustix::thread::sched_setaffinity(None, &set).map_err(fail)?;
    }
    let source = match args.scale_factor {
        Some(factor) => Source::lineitem(factor, args.batch_size),
        None => Source::wide(args.rows, args.batch_size),
    };
    for limit in &args.memory_limit {
        let limit = match limit.as_str() {
            "none" => None,
            size => Some(parse_positive_size(size)?),
        };
        for _ in 0..args.iterations {
            print(&sort(args, &source, limit)?, args.json).map_err(fail)?;
        }
    }
    Ok(())
}

fn sort(args: &Arguments, source: &Source, limit: Option<u64>) -> Result<Report> {
    let schema = source.schema();
    let by = if args.by.is_empty() { source.order() } else { args.by.clone() };
    let columns = by.iter().map(|name| schema.index_of(name).map(SortColumn::ascending));
    let columns = columns.collect::<std::result::Result<Vec<_>, _>>().map_err(fail)?;
    let spec = SortSpec::new(Arc::clone(&schema), &columns).map_err(fail)?;
    let spec = spec.with_codec(args.codec).with_runs_max(args.runs_max);
    let minimum = minimum_sort_budget(&spec, 1).map_err(fail)?;

    let ledger = limit.map_or_else(MemoryLedger::unlimited, MemoryLedger::new);
    let task = ledger.admit(1, minimum).map_err(fail)?.remove(0);
    let store: Arc<dyn bywash::Store> = Arc::new(FsStore::new());
    let dirs = match &args.dir {
        Some(dir) => vec![dir.clone()],
        None => default_spill_dirs(&store).map_err(fail)?.dirs,
    };
    let spills = SpillDirs::open(store, &dirs, SpillOptions::default()).map_err(fail)?;
    reset_resident_peak();
    let before = ResidentPeak::total();

    let (mut wall, mut cpu) = (Duration::ZERO, Duration::ZERO);
    let mut timed = Timed { wall: &mut wall, cpu: &mut cpu };
    let mut given = Digest::default();
    let mut sorter = timed.run(|| Sorter::new(&spec, &task, &spills)).map_err(fail)?;
    for batch in source.batches() {
        let batch = batch?;
        given.add(&batch);
        timed.run(|| sorter.write(&batch)).map_err(fail)?;
    }
    let mut sorted = timed.run(|| sorter.finish(ChargeMode::Ledger)).map_err(fail)?;
    let mut taken = Digest::default();
    while let Some(batch) = timed.run(|| sorted.next()) {
        let batch: RecordBatch = batch.map_err(fail)?;
        taken.add(&batch);
        taken.check_order(&batch, &columns)?;
        timed.run(|| drop(batch));
    }
    if taken.sum() != given.sum() {
        return Err(format!("{given:?} went in, {taken:?} came out"));
    }
    let progress = sorted.progress();
    let write = progress.write;
    Ok(Report {
        memory_limit: limit,
        rows: write.rows,
        bytes: write.bytes,
        wall_seconds: wall.as_secs_f64(),
        cpu_seconds: cpu.as_secs_f64(),
        megabytes_per_cpu_second: as_f64(write.bytes) / 1e6 / cpu.as_secs_f64(),
        stage_seconds: write.stage_time.as_secs_f64(),
        sort_seconds: write.sort_time.as_secs_f64(),
        spill_seconds: write.spill_time.as_secs_f64(),
        output_seconds: write.output_time.as_secs_f64(),
        runs: progress.runs,
        passes: progress.passes,
        fan_in: progress.fan_in,
        spilled_bytes: write.spilled_bytes,
        disk_peak_bytes: spills.peak_used_bytes(),
        granted_peak_bytes: ledger.peak_granted(),
        live_peak_bytes: ledger.peak_live(),
        resident_peak_bytes: ResidentPeak::total(),
        resident_before_bytes: before,
        digest: format!("{:016x}", taken.sum()),
    })
}

/// Adds up what calls into the library take, on the wall and of this thread on its core.
struct Timed<'a> {
    wall: &'a mut Duration,
    cpu: &'a mut Duration,
}

impl Timed<'_> {
    fn run<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (wall, cpu) = (Instant::now(), clock_gettime(ClockId::ThreadCPUTime));
        let outcome = work();
        *self.wall += wall.elapsed();
        let took = clock_gettime(ClockId::ThreadCPUTime) - cpu;
        *self.cpu += Duration::try_from(took).unwrap_or_default();
        outcome
    }
}

/// Makes the kernel's mark begin anew, where it can.
fn reset_resident_peak() {
    // Without the right to, marks of earlier runs stay: the largest budget is to come last then.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

fn fail(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let limit = self.memory_limit.map_or_else(|| "none".to_owned(), human_size);
        writeln!(
            f,
            "{limit}: {} rows, {}; wall {:.2} s, cpu {:.2} s, {:.0} MB per cpu second",
            self.rows,
            human_size(self.bytes),
            self.wall_seconds,
            self.cpu_seconds,
            self.megabytes_per_cpu_second
        )?;
        writeln!(
            f,
            "  stage {:.2} s, sort {:.2} s, spill {:.2} s, output {:.2} s",
            self.stage_seconds, self.sort_seconds, self.spill_seconds, self.output_seconds
        )?;
        writeln!(
            f,
            "  runs {}, passes {}, last fan-in {}, spilled {}, disk peak {}",
            self.runs,
            self.passes,
            self.fan_in,
            human_size(self.spilled_bytes),
            human_size(self.disk_peak_bytes)
        )?;
        writeln!(
            f,
            "  peak granted {}, live {}, resident {} ({} before), digest {}",
            human_size(self.granted_peak_bytes),
            human_size(self.live_peak_bytes),
            human_size(self.resident_peak_bytes),
            human_size(self.resident_before_bytes),
            self.digest
        )
    }
}
