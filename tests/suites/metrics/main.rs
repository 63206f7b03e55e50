//! The metrics: their text against a parser of its own, their numbers against the snapshot, and
//! docs/METRICS.md against the table.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test suite")]

mod dirs;
mod document;
mod exposition;
mod numbers;
mod text;
mod writers;
