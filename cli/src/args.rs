//! The command line, as plain data.

mod shared;

use std::path::PathBuf;

use bywash::Codec;
use clap::{Args, Parser, Subcommand};

pub use self::shared::{
    Memory, MemoryArgs, ReportArgs, SpillArgs, SpillMemoryBacked, parse_memory,
};
use crate::sizes::{parse_positive_size, parse_size};

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
    #[command(flatten)]
    pub report: ReportArgs,
}

#[derive(Debug, Args)]
pub struct ShuffleArgs {
    /// Parquet files of one schema.
    #[arg(required = true, value_name = "IN.parquet")]
    pub inputs: Vec<PathBuf>,
    /// Columns whose hash places a row. Give one with a comma in its name an option of its own.
    #[arg(long, required = true, value_name = "COL[,COL]")]
    pub by: Vec<String>,
    /// Number of partitions.
    #[arg(long, value_parser = parse_count, allow_negative_numbers = true)]
    pub partitions: u32,
    #[command(flatten)]
    pub budget: MemoryArgs,
    /// none, lz4, zstd or zstd:LEVEL.
    #[arg(long, default_value = "lz4", value_parser = parse_codec)]
    pub codec: Codec,
    /// Number of tasks, each a thread with a map output of its own.
    #[arg(long, default_value_t = 1, value_parser = parse_tasks, allow_negative_numbers = true)]
    pub tasks: u32,
    #[command(flatten)]
    pub spill: SpillArgs,
    /// Directory for the map outputs and job.json; made if missing.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    pub report: ReportArgs,
}

#[derive(Debug, Args)]
pub struct CollectArgs {
    /// The output directory of a shuffle.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// One partition only [default: all, in order].
    #[arg(long)]
    pub partition: Option<u32>,
    /// The Parquet file to write; never over one that is there.
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
    /// Give a column with a comma in its name an option of its own.
    #[arg(long, required = true, value_name = "COL[:desc][:nulls-last],..")]
    pub by: Vec<String>,
    #[command(flatten)]
    pub budget: MemoryArgs,
    /// Codec of what is spilled: none, lz4, zstd or zstd:LEVEL.
    #[arg(long, default_value = "none", value_parser = parse_codec)]
    pub codec: Codec,
    #[command(flatten)]
    pub spill: SpillArgs,
    /// The Parquet file to write; never over one that is there.
    ///
    /// The row group being written lies beside the budget, within the 64 MiB of the program itself.
    #[arg(long, value_name = "OUT.parquet")]
    pub out: PathBuf,
    #[command(flatten)]
    pub report: ReportArgs,
}

#[derive(Debug, Args)]
pub struct GroupArgs {
    /// Parquet files of one schema.
    #[arg(required = true, value_name = "IN.parquet")]
    pub inputs: Vec<PathBuf>,
    /// Columns to group by. Nulls are equal, all NaN are equal, -0.0 equals 0.0. Give one with a comma
    /// in its name an option of its own, here and below.
    #[arg(long, required = true, value_name = "COL[,COL]")]
    pub by: Vec<String>,
    /// Columns to sum: integers and decimals exactly, to decimals of 38 digits; floats to doubles.
    #[arg(long, value_name = "COL[,COL]")]
    pub sum: Vec<String>,
    /// Columns to take the least value of.
    #[arg(long, value_name = "COL[,COL]")]
    pub min: Vec<String>,
    /// Columns to take the greatest value of; NaN is above everything.
    #[arg(long, value_name = "COL[,COL]")]
    pub max: Vec<String>,
    /// Columns to count the values of that are not null.
    #[arg(long, value_name = "COL[,COL]")]
    pub count: Vec<String>,
    /// Count the rows of each group.
    #[arg(long)]
    pub count_rows: bool,
    #[command(flatten)]
    pub budget: MemoryArgs,
    /// How spills are compressed: none, lz4, zstd or zstd:LEVEL.
    #[arg(long, default_value = "lz4", value_parser = parse_codec)]
    pub codec: Codec,
    #[command(flatten)]
    pub spill: SpillArgs,
    /// The Parquet file to write: a row for each group, in no order; never over one that is there.
    ///
    /// Its columns are those of --by, then sum(COL), min(COL), max(COL), count(COL) and count; a name
    /// that is taken gets _2, _3 and so on. The row group being written lies beside the budget, within
    /// the 64 MiB of the program itself.
    #[arg(long, value_name = "OUT.parquet")]
    pub out: PathBuf,
    #[command(flatten)]
    pub report: ReportArgs,
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

const TASKS_MAX: u32 = 1024;
