//! Sorting words by the partition ids in them: ours, Spark's RadixSort, radsort, the standard library.

mod bywash;
mod radsort;
mod room;
mod spark;
mod std_sort;
mod words;

use bywash_core::memory::MemoryLedger;
use clap::Args;

use crate::failure::Result;
use crate::rounds::{Rival, Summary, in_turn};
use room::Room;

/// What is compared.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Words of a sort.
    #[arg(long, value_delimiter = ',', default_values_t = [10_000_000, 50_000_000])]
    words: Vec<usize>,
    /// Partitions that their ids are below.
    #[arg(long, value_delimiter = ',', default_values_t = [200, 2_000])]
    partitions: Vec<u64>,
    /// Runs of each that count.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Runs of each before.
    #[arg(long, default_value_t = 2)]
    warmup: usize,
    /// Leave Spark out.
    #[arg(long)]
    no_spark: bool,
    /// Ours and Spark alone.
    #[arg(long)]
    only_spark: bool,
}

/// Prints a table for each number of words and partitions.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let tasks = MemoryLedger::unlimited().admit(1, 0)?;
    let consumer = tasks.first().ok_or("no task was admitted")?.consumer("radix");
    for &len in &arguments.words {
        for &partitions in &arguments.partitions {
            let room = Room::try_new(&consumer, len, partitions)?;
            let mut rivals: Vec<Box<dyn Rival>> = vec![
                Box::new(bywash::Bywash::try_new(&consumer, &room, bywash::Bits::Needed)?),
                Box::new(bywash::Bywash::try_new(&consumer, &room, bywash::Bits::All)?),
            ];
            if !arguments.no_spark {
                rivals.push(Box::new(spark::Spark::start(&room, spark::Pages::AsShipped)?));
                rivals.push(Box::new(spark::Spark::start(&room, spark::Pages::Huge)?));
            }
            if !arguments.only_spark {
                rivals.push(Box::new(radsort::Radsort::new(&room)));
                rivals.push(Box::new(std_sort::StdSort::new(&room)));
            }
            let summaries = in_turn(&mut rivals, arguments.warmup, arguments.rounds)?;
            print(&room, &summaries);
        }
    }
    Ok(())
}

fn print(room: &Room, summaries: &[Summary]) {
    println!(
        "\n{} words, {} partitions, in a run {} sorts",
        room.len(),
        room.partitions(),
        room.sorts()
    );
    println!("| | M words/s | least .. most | ours : it |\n|---|---|---|---|");
    let ours = summaries[0].median().as_secs_f64();
    let sorted = (room.len() * room.sorts()) as f64 / 1e6;
    for summary in summaries {
        let median = summary.median().as_secs_f64();
        println!(
            "| {} | {:.0} | {:.0} .. {:.0} | **{:.2}** |",
            summary.name,
            sorted / median,
            sorted / summary.most().as_secs_f64(),
            sorted / summary.least().as_secs_f64(),
            median / ours,
        );
    }
}
