//! The command line, as plain data.

use std::fmt;
use std::path::PathBuf;

use bywash::Codec;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure::Failure;
use crate::sizes::{parse_positive_size, parse_size};
use crate::sort::By;

/// A shuffle that cannot overflow its memory budget.
#[derive(Debug, Parser)]
#[command(name = "bywash", version, about, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Generate TPC-H lineitem, shuffle it under one budget, read it back and verify every row.
    Demo(DemoArgs),
    /// Shuffle Parquet files into map outputs, one per task, by the hash of columns.
    Shuffle(ShuffleArgs),
    /// Read the map outputs of a shuffle back into one Parquet file.
    Collect(CollectArgs),
    /// Sort Parquet files into one Parquet file by columns.
    Sort(SortArgs),
    /// Group the rows of Parquet files by columns, with sums, minima, maxima and counts.
    Group(GroupArgs),
    /// First child of the demo: write lineitem to Parquet files.
    #[command(hide = true)]
    DemoGenerate(GenerateArgs),
    /// Last child of the demo: read every partition and compare it with a naive partitioner.
    #[command(hide = true)]
    DemoVerify(VerifyArgs),
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// TPC-H scale factor; 1 is 6 million rows, about 1 GB.
    #[arg(long, default_value_t = 1.0, value_parser = parse_scale_factor, allow_negative_numbers = true)]
    pub scale_factor: f64,
    /// Memory budget of the shuffle, shared by its tasks: a size, or auto as in `shuffle`.
    #[arg(long, default_value = "64MiB", value_parser = parse_memory, value_name = "SIZE|auto")]
    pub memory: Memory,
    /// With --memory auto: what to leave to others in the container.
    #[arg(long, value_parser = parse_size, value_name = "SIZE")]
    pub reserve: Option<u64>,
    /// Number of partitions.
    #[arg(long, default_value_t = 200, value_parser = parse_count, allow_negative_numbers = true)]
    pub partitions: u32,
    /// none, lz4, zstd or zstd:LEVEL.
    #[arg(long, default_value = "lz4", value_parser = parse_codec)]
    pub codec: Codec,
    /// Number of tasks, each a thread with a map output of its own.
    #[arg(long, default_value_t = 2, value_parser = parse_tasks, allow_negative_numbers = true)]
    pub tasks: u32,
    /// Where to make the working directory, spills and all [default: the first on a disk of
    /// $BYWASH_SPILL_DIRS, /var/tmp, the system's directory for temporary files, the current one].
    #[arg(long, value_name = "D")]
    pub dir: Option<PathBuf>,
    /// What becomes of spills when that directory is in memory.
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub spill_memory_backed: SpillMemoryBacked,
    /// Keep the working directory.
    #[arg(long)]
    pub keep: bool,
    /// Explain at the end who held the memory and why it spilled, on standard error, or in the
    /// JSON report under `explain`.
    #[arg(long)]
    pub explain: bool,
    /// Write metrics of the shuffle to FILE at the end, as Prometheus text.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ShuffleArgs {
    /// Parquet files of one schema.
    #[arg(required = true, value_name = "IN.parquet")]
    pub inputs: Vec<PathBuf>,
    /// Columns whose hash places a row.
    #[arg(long, required = true, value_delimiter = ',', value_name = "COL[,COL]")]
    pub by: Vec<String>,
    /// Number of partitions.
    #[arg(long, value_parser = parse_count, allow_negative_numbers = true)]
    pub partitions: u32,
    /// Memory budget, shared by all tasks: a size, or auto.
    ///
    /// auto: what the limits of the container and the memory of the node leave beside what others
    /// hold, less --reserve and a margin of 64 MiB or a sixteenth of the tightest limit, whichever is
    /// more. It follows them while the shuffle runs. The report says what was decided, and why.
    #[arg(long, value_parser = parse_memory, value_name = "SIZE|auto")]
    pub memory: Memory,
    /// With --memory auto: what to leave to others in the container, such as a JVM's heap or Python
    /// workers; what they hold already is a part of it.
    #[arg(long, value_parser = parse_size, value_name = "SIZE")]
    pub reserve: Option<u64>,
    /// none, lz4, zstd or zstd:LEVEL.
    #[arg(long, default_value = "lz4", value_parser = parse_codec)]
    pub codec: Codec,
    /// Number of tasks, each a thread with a map output of its own.
    #[arg(long, default_value_t = 1, value_parser = parse_tasks, allow_negative_numbers = true)]
    pub tasks: u32,
    /// Directory for spills; may be given several times [default: those on a disk of
    /// $BYWASH_SPILL_DIRS, else the first on a disk of /var/tmp, the system's directory for
    /// temporary files, the current one].
    #[arg(long, visible_alias = "dir", value_name = "SPILL")]
    pub spill_dir: Vec<PathBuf>,
    /// What becomes of a spill directory that is in memory (tmpfs and the like).
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub spill_memory_backed: SpillMemoryBacked,
    /// Directory for the map outputs and job.json; made if missing.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Explain at the end who held the memory and why it spilled, on standard error, or in the
    /// JSON report under `explain`.
    #[arg(long)]
    pub explain: bool,
    /// Write metrics of the shuffle to FILE at the end, as Prometheus text.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What becomes of a spill directory whose files are memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SpillMemoryBacked {
    /// It is not used: spilling there frees no memory.
    #[default]
    Refuse,
    /// It is used after those on a disk; its files are charged to --memory, a share of which is
    /// kept for them as for a task more.
    Charge,
    /// It is used and its files are counted nowhere: in a container the kernel may kill the program.
    Unaccounted,
}

impl SpillMemoryBacked {
    /// The value as given on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Charge => "charge",
            Self::Unaccounted => "unaccounted",
        }
    }
}

#[derive(Debug, Args)]
pub struct CollectArgs {
    /// The output directory of a shuffle.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// One partition only [default: all, in order].
    #[arg(long)]
    pub partition: Option<u32>,
    /// The Parquet file to write.
    #[arg(long, value_name = "FILE.parquet")]
    pub out: PathBuf,
    /// Memory budget for reading.
    #[arg(long, default_value = "64MiB", value_parser = parse_positive_size, value_name = "SIZE")]
    pub memory: u64,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct SortArgs {
    /// Parquet files of one schema.
    #[arg(required = true, value_name = "IN.parquet")]
    pub inputs: Vec<PathBuf>,
    /// Columns to sort by, the most significant first.
    ///
    /// Each is ascending with nulls first, or descending with nulls last, unless it says otherwise:
    /// COL:desc, COL:nulls-last, COL:desc:nulls-first. Equal rows stay in the order of the files.
    #[arg(long, required = true, value_delimiter = ',', value_name = "COL[:desc][:nulls-last],..")]
    pub by: Vec<By>,
    /// Memory budget.
    #[arg(long, value_parser = parse_positive_size, value_name = "SIZE")]
    pub memory: u64,
    /// Codec of what is spilled: none, lz4, zstd or zstd:LEVEL.
    #[arg(long, default_value = "none", value_parser = parse_codec)]
    pub codec: Codec,
    /// Directory for spills; may be given several times [default: as for shuffle].
    #[arg(long, visible_alias = "dir", value_name = "SPILL")]
    pub spill_dir: Vec<PathBuf>,
    /// What becomes of a spill directory that is in memory (tmpfs and the like).
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub spill_memory_backed: SpillMemoryBacked,
    /// The Parquet file to write; never over one that is there.
    #[arg(long, value_name = "OUT.parquet")]
    pub out: PathBuf,
    /// Explain at the end who held the memory and why it spilled, on standard error, or in the
    /// JSON report under `explain`.
    #[arg(long)]
    pub explain: bool,
    /// Write metrics of memory, spill directories and the sort to FILE at the end, as Prometheus text.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct GroupArgs {
    /// Parquet files of one schema.
    #[arg(required = true, value_name = "IN.parquet")]
    pub inputs: Vec<PathBuf>,
    /// Columns to group by. Nulls are equal, all NaN are equal, -0.0 equals 0.0.
    #[arg(long, required = true, value_delimiter = ',', value_name = "COL[,COL]")]
    pub by: Vec<String>,
    /// Columns to sum: integers and decimals exactly, to decimals of 38 digits; floats to doubles.
    #[arg(long, value_delimiter = ',', value_name = "COL[,COL]")]
    pub sum: Vec<String>,
    /// Columns to take the least value of.
    #[arg(long, value_delimiter = ',', value_name = "COL[,COL]")]
    pub min: Vec<String>,
    /// Columns to take the greatest value of; NaN is above everything.
    #[arg(long, value_delimiter = ',', value_name = "COL[,COL]")]
    pub max: Vec<String>,
    /// Columns to count the values of that are not null.
    #[arg(long, value_delimiter = ',', value_name = "COL[,COL]")]
    pub count: Vec<String>,
    /// Count the rows of each group.
    #[arg(long)]
    pub count_rows: bool,
    /// Memory budget: a size, or auto as in `shuffle`.
    #[arg(long, value_parser = parse_memory, value_name = "SIZE|auto")]
    pub memory: Memory,
    /// With --memory auto: what to leave to others in the container.
    #[arg(long, value_parser = parse_size, value_name = "SIZE")]
    pub reserve: Option<u64>,
    /// How spills are compressed: none, lz4, zstd or zstd:LEVEL.
    #[arg(long, default_value = "lz4", value_parser = parse_codec)]
    pub codec: Codec,
    /// Directory for spills; may be given several times [default: as in `shuffle`].
    #[arg(long, visible_alias = "dir", value_name = "SPILL")]
    pub spill_dir: Vec<PathBuf>,
    /// What becomes of a spill directory that is in memory (tmpfs and the like).
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub spill_memory_backed: SpillMemoryBacked,
    /// The Parquet file to write: a row for each group, in no order.
    #[arg(long, value_name = "OUT.parquet")]
    pub out: PathBuf,
    /// Explain at the end who held the memory and why it spilled, on standard error, or in the
    /// JSON report under `explain`.
    #[arg(long)]
    pub explain: bool,
    /// Write metrics of memory, spill directories and the combiner to FILE at the end, as Prometheus text.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    #[arg(long, value_parser = parse_scale_factor, allow_negative_numbers = true)]
    pub scale_factor: f64,
    /// How many files, each made by a thread.
    #[arg(long, value_parser = parse_tasks, allow_negative_numbers = true)]
    pub files: u32,
    #[arg(long)]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The output directory of a shuffle.
    pub dir: PathBuf,
    /// The files that were shuffled; job.json is not trusted to name them all.
    #[arg(required = true)]
    pub inputs: Vec<PathBuf>,
}

/// What `--memory` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// So many bytes.
    Size(u64),
    /// What the container and the node leave.
    Auto,
}

impl Memory {
    /// Fails if something is to be left to others out of a budget that was given.
    pub(crate) fn check_reserve(self, reserve: Option<u64>) -> Result<(), Failure> {
        match (self, reserve) {
            (Self::Size(_), Some(_)) => Err(Failure::new(
                "--reserve goes with --memory auto; a size given as --memory is taken as it is",
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(bytes) => bytes.fmt(f),
            Self::Auto => f.write_str(AUTO),
        }
    }
}

/// Parses a memory budget: a size above zero, or `auto`.
pub fn parse_memory(text: &str) -> Result<Memory, String> {
    if text.trim().eq_ignore_ascii_case(AUTO) {
        return Ok(Memory::Auto);
    }
    let size = parse_positive_size(text).map_err(|error| format!("{error}, or {AUTO}"))?;
    Ok(Memory::Size(size))
}

/// Parses a codec; the error says which there are.
pub fn parse_codec(text: &str) -> Result<Codec, String> {
    text.parse::<Codec>().map_err(|error| error.to_string())
}

/// Parses a number of partitions.
pub fn parse_count(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("`{text}` is not a number of partitions; give a whole number from 1 up")),
    }
}

fn parse_tasks(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(tasks @ 1..=TASKS_MAX) => Ok(tasks),
        _ => Err(format!("`{text}` is not a number of tasks; give 1 to {TASKS_MAX}")),
    }
}

/// Parses a TPC-H scale factor.
pub fn parse_scale_factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor > 0.0 && factor <= 100_000.0 => Ok(factor),
        _ => Err(format!("`{text}` is not a scale factor; give a number such as 1 or 0.01")),
    }
}

const AUTO: &str = "auto";
const TASKS_MAX: u32 = 1024;
