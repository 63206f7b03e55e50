//! The file layer: what every store promises, sessions and sweeps between processes, spill and
//! output directories under every fault.

#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test suite")]

mod contract;
mod output;
mod places;
mod processes;
mod quotas;
mod reuse;
mod spill;
