//! Bywash beside others: the same input, one core, runs in turn, medians and ratios.
//!
//! `cargo run --release --manifest-path benches/compare/Cargo.toml -- radix`, `-- records` or `-- lz4`, and with
//! `--features datafusion` before the dashes `-- sort`; docs/BENCHMARKS.md has what came of it. One subcommand a question, one file a rival: a rival is what implements [`rounds::Rival`].

mod clock;
mod failure;
mod jvm;
mod lz4;
mod radix;
mod records;
mod rounds;
mod sort;

use clap::{Parser, Subcommand};
use rustix::thread::{CpuSet, sched_setaffinity};

use failure::Result;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    question: Question,
    /// The core that everything runs on, Java's own threads included.
    #[arg(long, default_value_t = 0, global = true)]
    cpu: usize,
}

#[derive(Debug, Subcommand)]
enum Question {
    /// Sorting words by the partition ids in them.
    Radix(radix::Arguments),
    /// Encoding LZ4.
    Lz4(lz4::Arguments),
    /// Sorting more rows than memory holds.
    Sort(sort::Arguments),
    /// Writing a map output of opaque records.
    Records(records::Arguments),
}

fn main() -> Result<()> {
    let Arguments { question, cpu } = Arguments::parse();
    let mut cores = CpuSet::new();
    cores.set(cpu);
    // Processes that are started later inherit it.
    sched_setaffinity(None, &cores)?;
    match question {
        Question::Radix(arguments) => radix::run(&arguments),
        Question::Lz4(arguments) => lz4::run(&arguments),
        Question::Sort(arguments) => sort::run(&arguments),
        Question::Records(arguments) => records::run(&arguments),
    }
}
