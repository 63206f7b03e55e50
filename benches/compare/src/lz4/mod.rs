//! Encoders of LZ4: the Rust library's, and the C library's with steps of 1 to 8 bytes after a miss.

mod encoder;
mod input;

use clap::Args;

use crate::failure::Result;
use crate::rounds::{Rival, in_turn};
use encoder::{C, Flex};
use input::Input;

/// What is compared.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Bytes of a frame.
    #[arg(long, value_delimiter = ',', default_values_t = [60 << 10, 256 << 10])]
    frame_bytes: Vec<usize>,
    /// Bytes gone forward after a miss.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8])]
    acceleration: Vec<i32>,
    /// Runs of each that count.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Runs of each before.
    #[arg(long, default_value_t = 1)]
    warmup: usize,
}

/// Prints a table for each kind of bytes: MB/s, and what is left of them.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    for input in Input::all() {
        println!("\n{} ({} MB)", input.name, input.bytes.len() / 1_000_000);
        println!("| frames | encoder | MB/s | left |");
        println!("|---|---|---|---|");
        for &frame_bytes in &arguments.frame_bytes {
            let mut rivals: Vec<Box<dyn Rival>> = vec![Box::new(Flex::new(&input, frame_bytes))];
            for &acceleration in &arguments.acceleration {
                rivals.push(Box::new(C::new(&input, frame_bytes, acceleration)));
            }
            for summary in in_turn(&mut rivals, arguments.warmup, arguments.rounds)? {
                let rate = input.bytes.len() as f64 / summary.median().as_secs_f64() / 1e6;
                println!("| {frame_bytes} | {} | {rate:.0} | {} |", summary.name, summary.note);
            }
        }
    }
    Ok(())
}
