//! The parts of the `bywash` program, for its own tests and the project's benchmarks.
//!
//! This is not an interface to build on: it follows the program. Libraries use the crate `bywash`.

#[doc(hidden)]
pub mod args;
mod auto_memory;
#[doc(hidden)]
pub mod auto_report;
mod budgeted;
mod collect;
mod demo;
#[doc(hidden)]
pub mod explain;
#[doc(hidden)]
pub mod failure;
mod group;
#[doc(hidden)]
pub mod input;
mod job;
#[doc(hidden)]
pub mod lineitem;
mod listed;
mod metrics_file;
mod parquet_file;
#[doc(hidden)]
pub mod process;
mod reader_share;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod resources;
mod shuffle;
#[doc(hidden)]
pub mod sizes;
#[doc(hidden)]
pub mod sort;
mod spill_dirs;
#[doc(hidden)]
pub mod totals;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command};

/// Runs the program: 0 when done, 1 when a command failed, 2 when the arguments are wrong.
pub fn main() -> ExitCode {
    process::settle_heap();
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Command::Demo(args) => demo::run(args),
        Command::Shuffle(args) => shuffle::run(args),
        Command::Collect(args) => collect::run(args),
        Command::Sort(args) => sort::run(args),
        Command::Group(args) => group::run(args),
        Command::DemoGenerate(args) => {
            lineitem::write_files(args.scale_factor, args.files, &args.out)
        }
        Command::DemoVerify(args) => demo::verify(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::warn(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}
