//! An external sort: ours and DataFusion's, the same batches in, the same sink, one thread.
//!
//! Every run is a process of its own, so that what it has resident is its own; they take turns.

mod bywash;
#[cfg(feature = "datafusion")]
mod datafusion;
mod process;
mod rows;
mod sink;
mod table;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::failure::Result;
use process::Report;
use rows::Source;
use table::print;

/// What is compared.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// Rows of 100 bytes: a random int64 to sort by, another, 84 bytes.
    #[arg(long, default_value_t = 20_000_000)]
    rows: u64,
    /// Lineitem of this scale factor by (l_shipdate, l_orderkey) instead.
    #[cfg(feature = "datafusion")]
    #[arg(long)]
    lineitem: Option<f64>,
    /// Budgets in MiB.
    #[arg(long, value_delimiter = ',', default_values_t = [256, 64, 32, 16])]
    memory: Vec<u64>,
    /// Runs of each that count.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Runs of each before.
    #[arg(long, default_value_t = 0)]
    warmup: usize,
    /// Leave DataFusion out.
    #[arg(long)]
    alone: bool,
    /// Where runs spill.
    #[arg(long, default_value = "/var/tmp")]
    dir: PathBuf,
    /// Be one run of this rival: what a comparison starts.
    #[arg(long, hide = true)]
    rival: Option<Rival>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rival {
    Bywash,
    Datafusion,
}

/// Prints a table for each budget.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let source = source(arguments);
    if let Some(rival) = arguments.rival {
        let [memory] = arguments.memory[..] else {
            return Err("a run has one budget".into());
        };
        let task = process::Task { source, memory: memory << 20, dir: arguments.dir.clone() };
        let report = match rival {
            Rival::Bywash => process::measured(task, bywash::sort),
            #[cfg(feature = "datafusion")]
            Rival::Datafusion => process::measured(task, datafusion::sort),
            #[cfg(not(feature = "datafusion"))]
            Rival::Datafusion => Err("it was built without DataFusion".into()),
        }?;
        println!("{report}");
        return Ok(());
    }
    let mut rivals = vec![Rival::Bywash];
    if cfg!(feature = "datafusion") && !arguments.alone {
        rivals.push(Rival::Datafusion);
    }
    for &memory in &arguments.memory {
        let mut reports: Vec<Vec<std::result::Result<Report, String>>> = vec![vec![]; rivals.len()];
        for round in 0..arguments.warmup + arguments.rounds {
            for (rival, reports) in rivals.iter().zip(&mut reports) {
                let report = process::start(&rival_name(*rival), memory);
                if round >= arguments.warmup {
                    reports.push(report.map_err(|error| error.to_string()));
                }
            }
        }
        let names: Vec<String> = rivals.iter().copied().map(rival_name).collect();
        print(&source, memory << 20, &names, &reports)?;
    }
    Ok(())
}

fn rival_name(rival: Rival) -> String {
    format!("{rival:?}").to_lowercase()
}

#[cfg(feature = "datafusion")]
fn source(arguments: &Arguments) -> Source {
    arguments.lineitem.map_or(Source::Wide { rows: arguments.rows }, Source::Lineitem)
}

#[cfg(not(feature = "datafusion"))]
fn source(arguments: &Arguments) -> Source {
    Source::Wide { rows: arguments.rows }
}
