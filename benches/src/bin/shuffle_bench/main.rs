//! `shuffle_bench`: map tasks measured alone, with the flags of the tools of that name.
//!
//! Shuffles Parquet files, or lineitem generated in memory, through the engine on the calling thread, or with
//! `--tasks` on several that share one ledger:
//!
//! ```text
//! shuffle_bench --input lineitem.parquet --partitions 200 --codec lz4 --iterations 5
//! shuffle_bench --scale-factor 1 --partitions 200 --memory-limit 64MiB --floor --json --cpu 1
//! ```
//!
//! `--records` shuffles opaque records instead, to files or, with `--sink`, through a sink:
//!
//! ```text
//! shuffle_bench --records --partitions 2000 --memory-limit 256MiB --floor --cpu 1
//! ```
//!
//! Without `--floor` files are streamed and reading them is part of the time. With it the rows are
//! decoded before the clock, for both sides, and runs of the engine and of the floor alternate, so
//! that a slower moment of the machine meets both. `floor_ratio` is the median over those pairs.
//!
//! `ledger` says what the memory account took of the time on the cores: grants counted in the last
//! run, times what a grant costs here with as many threads.

mod clock;
mod columns;
mod failure;
mod floor;
mod ledger_cost;
mod records;
mod report;
mod shuffle;
mod source;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use bywash::{Codec, Partitioning, RecordSpec, ShuffleSpec};
use bywash_cli::args::{parse_codec, parse_count, parse_scale_factor};
use bywash_cli::report::{print, warn};
use bywash_cli::sizes::parse_positive_size;
use bywash_cli::totals;
use bywash_core::column::Layout;
use bywash_core::policy::sizing;
use clap::{Parser, ValueEnum};

use crate::clock::Elapsed;
use crate::columns::Columns;
use crate::failure::{Result, fail};
use crate::floor::{FloorPlan, Variant};
use crate::ledger_cost::LedgerCost;
use crate::records::RecordPlan;
use crate::report::{FloorReport, Report, TriedVariant, median};
use crate::shuffle::{Ids, Plan, ShuffleRun};
use crate::source::Source;

/// Measures one map task of the shuffle.
#[derive(Debug, Parser)]
#[command(name = "shuffle_bench", max_term_width = 100)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Arguments {
    /// Parquet files of one schema [default: lineitem, generated in memory].
    #[arg(long, num_args = 1.., value_name = "PATH")]
    input: Vec<PathBuf>,
    /// TPC-H scale factor of generated lineitem.
    #[arg(long, default_value_t = 1.0, value_parser = parse_scale_factor, conflicts_with = "input")]
    scale_factor: f64,
    /// Number of partitions.
    #[arg(long, default_value_t = 200, value_parser = parse_count)]
    partitions: u32,
    /// Generated records of 104 bytes as opaque bytes, placed by ids; `--limit` of them [default:
    /// 20000000].
    #[arg(long, conflicts_with_all = ["input", "scale_factor", "hash_columns", "partitioning"])]
    records: bool,
    /// Push records to a sink that only counts them, instead of writing an output.
    #[arg(long, requires = "records")]
    sink: bool,
    /// How rows are placed.
    #[arg(long, value_enum, default_value_t = PartitioningChoice::Hash)]
    partitioning: PartitioningChoice,
    /// Columns to hash, by index or name.
    #[arg(long, default_value = "0", value_delimiter = ',', value_name = "COL[,COL]")]
    hash_columns: Vec<String>,
    /// none, lz4, zstd or zstd:LEVEL.
    #[arg(long, default_value = "lz4", value_parser = parse_codec)]
    codec: Codec,
    /// Rows per batch.
    #[arg(long, default_value_t = 8192, value_parser = parse_rows)]
    batch_size: usize,
    /// Memory budget [default: none].
    #[arg(long, value_parser = parse_positive_size, value_name = "SIZE")]
    memory_limit: Option<u64>,
    /// Map tasks that share the rows and the budget, each on a thread.
    #[arg(long, default_value_t = 1, value_parser = parse_rows, conflicts_with = "floor")]
    tasks: usize,
    /// Rows to shuffle at most; 0 for all.
    #[arg(long, default_value_t = 0, value_name = "ROWS")]
    limit: usize,
    /// Measured runs.
    #[arg(long, default_value_t = 3, value_parser = parse_rows)]
    iterations: usize,
    /// Runs before the measured ones.
    #[arg(long, default_value_t = 1)]
    warmup: usize,
    /// Where output and spills go; one in memory is used as it is [default: the first on a disk of
    /// $BYWASH_SPILL_DIRS, /var/tmp, the system's directory for temporary files, the current one].
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
    /// Measure the floor too: the same rows through codec, checksum and writes, not partitioned.
    #[arg(long)]
    floor: bool,
    /// Run on this core only.
    #[arg(long, value_name = "CORE")]
    cpu: Option<usize>,
}

/// Records unless a limit says otherwise.
const RECORDS: usize = 20_000_000;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PartitioningChoice {
    /// By the hash of columns.
    Hash,
    /// By ids made by the caller.
    Ids,
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
    if let Some(cpu) = args.cpu {
        pin(cpu)?;
    }
    let parent = match &args.output_dir {
        Some(dir) => dir.clone(),
        None => shuffle::first_on_a_disk()?,
    };
    std::fs::create_dir_all(&parent).map_err(fail)?;
    let work =
        tempfile::Builder::new().prefix("shuffle-bench-").tempdir_in(parent).map_err(fail)?;

    let scan = Instant::now();
    let source = open_source(args)?;
    let scan_seconds =
        matches!(source, Source::Decoded { .. }).then(|| scan.elapsed().as_secs_f64());
    let spec = make_spec(args, &source)?;
    let records = if args.records { Some(make_record_plan(args)?) } else { None };
    let plan = Plan {
        spec: &spec,
        records: records.as_ref(),
        ids: match args.partitioning {
            PartitioningChoice::Hash => None,
            PartitioningChoice::Ids => Some(Ids { partitions: args.partitions }),
        },
        memory_limit: args.memory_limit,
        tasks: args.tasks,
        output_dir: work.path(),
    };
    let columns = decoded_columns(&source)?;

    let floor_plan = FloorPlan {
        batches: &columns,
        codec: args.codec,
        write_bytes: write_bytes(args, &source)?,
        dir: work.path(),
    };

    for _ in 0..args.warmup {
        shuffle::run(&plan, &source)?;
    }
    let tried = if args.floor { try_floors(&floor_plan)? } else { Vec::new() };
    let best = tried.iter().min_by(|a, b| a.seconds.total_cmp(&b.seconds)).map(|best| best.variant);

    let mut times = Vec::new();
    let mut floor_times = Vec::new();
    let mut floor_bytes = 0;
    let mut last = None;
    for _ in 0..args.iterations {
        let shuffled = shuffle::run(&plan, &source)?;
        times.push(shuffled.time);
        last = Some(shuffled);
        if let Some(best) = best {
            let floor = floor::run(&floor_plan, best)?;
            floor_times.push(floor.time);
            floor_bytes = floor.bytes;
        }
    }
    let last = last.ok_or("no run was made")?;

    let floor = best.map(|best| FloorReport {
        best,
        median_seconds: median(&wall_seconds(&floor_times)),
        median_cpu_seconds: median(&cpu_seconds(&floor_times)),
        seconds: wall_seconds(&floor_times),
        output_bytes: floor_bytes,
        tried,
    });
    let raw_bytes: usize = columns.iter().map(Columns::raw_bytes).sum();
    let input_bytes = scan_seconds.and_then(|_| u64::try_from(raw_bytes).ok());
    let ratio = |seconds: fn(&[Elapsed]) -> Vec<f64>| {
        let pairs = seconds(&times).into_iter().zip(seconds(&floor_times));
        let ratios: Vec<f64> = pairs.map(|(shuffle, floor)| shuffle / floor).collect();
        (!ratios.is_empty()).then(|| median(&ratios))
    };
    let report = Report {
        input_bytes,
        scan_seconds,
        floor,
        floor_ratio: ratio(wall_seconds),
        floor_cpu_ratio: ratio(cpu_seconds),
        ledger: Some(LedgerCost::of(&last, ledger_cost::measure(args.tasks)?)),
        ..of_run(args, &times, &last)
    };
    print(&report, args.json).map_err(fail)
}

fn wall_seconds(times: &[Elapsed]) -> Vec<f64> {
    times.iter().map(|time| time.wall.as_secs_f64()).collect()
}

fn cpu_seconds(times: &[Elapsed]) -> Vec<f64> {
    times.iter().map(|time| time.cpu.as_secs_f64()).collect()
}

fn of_run(args: &Arguments, times: &[Elapsed], last: &ShuffleRun) -> Report {
    Report {
        partitioning: match args.partitioning {
            _ if args.records => "ids",
            PartitioningChoice::Hash => "hash",
            PartitioningChoice::Ids => "ids",
        },
        partitions: args.partitions,
        codec: args.codec.to_string(),
        memory_limit: args.memory_limit,
        batch_size: args.batch_size,
        tasks: args.tasks,
        cpu: args.cpu,
        rows: last.rows,
        input_bytes: None,
        scan_seconds: None,
        seconds: wall_seconds(times),
        median_seconds: median(&wall_seconds(times)),
        median_cpu_seconds: median(&cpu_seconds(times)),
        output_bytes: last.bytes,
        granted_peak_bytes: last.granted_peak,
        live_peak_bytes: last.live_peak,
        spills: totals::spill_counts(&last.progress),
        spilled_bytes: last.progress.spilled_bytes,
        phases: totals::phase_times(&last.progress),
        floor: None,
        floor_ratio: None,
        floor_cpu_ratio: None,
        ledger: None,
    }
}

/// Opens the input; what is compared with the floor or generated is held in memory.
fn open_source(args: &Arguments) -> Result<Source> {
    if args.records {
        return records::source(record_rows(args), args.batch_size);
    }
    let rows_max = if args.limit == 0 { usize::MAX } else { args.limit };
    if args.input.is_empty() {
        return Source::generate(args.scale_factor, args.batch_size, rows_max);
    }
    let source = Source::open(&args.input, args.batch_size, rows_max)?;
    if args.floor || args.tasks > 1 { source.decoded() } else { Ok(source) }
}

fn record_rows(args: &Arguments) -> usize {
    if args.limit == 0 { RECORDS } else { args.limit }
}

fn make_record_plan(args: &Arguments) -> Result<RecordPlan> {
    let spec = RecordSpec::new(args.partitions).map_err(fail)?.with_codec(args.codec);
    let mut partitions = Vec::new();
    Ids { partitions: args.partitions }.fill(0, record_rows(args), &mut partitions);
    Ok(RecordPlan::new(spec, args.sink, args.batch_size, partitions))
}

fn make_spec(args: &Arguments, source: &Source) -> Result<ShuffleSpec> {
    let schema = source.schema();
    let partitioning = match args.partitioning {
        _ if args.records => Partitioning::Ids,
        PartitioningChoice::Ids => Partitioning::Ids,
        PartitioningChoice::Hash => {
            let index = |column: &String| {
                let index = match column.parse::<usize>() {
                    Ok(index) => Some(index).filter(|index| *index < schema.fields().len()),
                    Err(_name) => schema.index_of(column).ok(),
                };
                index.ok_or_else(|| {
                    fail(format!(
                        "there is no column `{column}`; give names or indexes below {}",
                        schema.fields().len()
                    ))
                })
            };
            Partitioning::Hash(args.hash_columns.iter().map(index).collect::<Result<_>>()?)
        }
    };
    let spec = ShuffleSpec::new(schema, args.partitions, partitioning).map_err(fail)?;
    Ok(spec.with_codec(args.codec))
}

fn decoded_columns(source: &Source) -> Result<Vec<Columns>> {
    match source {
        Source::Stream { .. } => Ok(Vec::new()),
        Source::Decoded { batches, .. } => {
            batches.iter().map(|batch| Columns::of(batch).map_err(fail)).collect()
        }
    }
}

/// What the engine gathers for one write call at this budget.
fn write_bytes(args: &Arguments, source: &Source) -> Result<usize> {
    let layout = Layout::try_new(source.schema()).map_err(fail)?;
    Ok(sizing(&layout, args.codec, args.memory_limit.unwrap_or(u64::MAX)).write_bytes)
}

/// Every variant twice, the better time counts.
fn try_floors(plan: &FloorPlan<'_>) -> Result<Vec<TriedVariant>> {
    Variant::all()
        .map(|variant| {
            let first = floor::run(plan, variant)?;
            let second = floor::run(plan, variant)?;
            Ok(TriedVariant {
                variant,
                seconds: first.time.wall.min(second.time.wall).as_secs_f64(),
                output_bytes: first.bytes,
            })
        })
        .collect()
}

fn pin(cpu: usize) -> Result<()> {
    if cpu >= rustix::thread::CpuSet::MAX_CPU {
        return Err(fail(format!("there is no core {cpu}")));
    }
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| fail(format!("core {cpu}: {error}")))
}

fn parse_rows(text: &str) -> std::result::Result<usize, String> {
    match text.parse::<usize>() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("`{text}` is not a count; give a whole number from 1 up")),
    }
}
