//! Writing records of 104 bytes: ours to files and through a sink, Spark's two writers.

mod bywash;
mod input;
mod outcome;
mod place;
mod spark;

use std::path::PathBuf;

use clap::Args;

use crate::failure::Result;
use crate::rounds::{Rival, Summary, in_turn};
use bywash::{Bywash, Target};
use input::Input;
pub(crate) use input::{RECORD_BYTES, SplitMix, pool};
use place::{Memory, Place};
use spark::{Spark, Writer};

/// What is compared.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Records of a run.
    #[arg(long, default_value_t = 20_000_000)]
    rows: usize,
    /// Partitions they go to.
    #[arg(long, value_delimiter = ',', default_values_t = [200, 2_000])]
    partitions: Vec<u32>,
    /// Memory budgets: none, or a number with MiB.
    #[arg(long, value_delimiter = ',', default_value = "none,256MiB")]
    memory: Vec<Memory>,
    /// Runs of each that count.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Runs of each before.
    #[arg(long, default_value_t = 2)]
    warmup: usize,
    /// Where everybody writes.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// Which of Spark's writers; the bypass one where Spark would take it.
    #[arg(long, value_delimiter = ',', default_values = ["unsafe", "bypass"])]
    spark: Vec<Writer>,
    /// Leave Spark out.
    #[arg(long)]
    no_spark: bool,
}

/// Prints a table for each number of partitions and budget.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    for &partitions in &arguments.partitions {
        let input = Input::new(arguments.rows, partitions);
        for &memory in &arguments.memory {
            let dir = tempfile::tempdir_in(&arguments.dir)?;
            let place = Place { dir: dir.path().to_owned(), partitions, memory };
            let mut rivals: Vec<Box<dyn Rival>> = vec![
                Box::new(Bywash::try_new(&input, &place, Target::Files)?),
                Box::new(Bywash::try_new(&input, &place, Target::Sink)?),
            ];
            if !arguments.no_spark {
                for &writer in arguments.spark.iter().filter(|writer| writer.takes(partitions)) {
                    rivals.push(Box::new(Spark::start(&input, &place, writer)?));
                }
            }
            let summaries = in_turn(&mut rivals, arguments.warmup, arguments.rounds)?;
            print(&place, &input, &summaries);
        }
    }
    Ok(())
}

fn print(place: &Place, input: &Input, summaries: &[Summary]) {
    println!(
        "\n{} records of {RECORD_BYTES} bytes, {} partitions, memory {:?}",
        input.rows(),
        place.partitions,
        place.memory
    );
    println!(
        "| | s | least .. most | it : files | it : sink | wall s | output MiB | spilled MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let [files, sink] = [0, 1].map(|ours| summaries[ours].median().as_secs_f64());
    for summary in summaries {
        let median = summary.median().as_secs_f64();
        println!(
            "| {} | {median:.2} | {:.2} .. {:.2} | **{:.2}** | **{:.2}** | {} |",
            summary.name,
            summary.least().as_secs_f64(),
            summary.most().as_secs_f64(),
            median / files,
            median / sink,
            summary.note,
        );
    }
}
