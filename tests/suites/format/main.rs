//! docs/FORMAT.md against the code: its tables against the constants, its worked example and the
//! golden files against today's writer and reader.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test suite")]

mod checksum;
mod document;
mod golden;
mod records;
mod rows;
mod tables;
mod types;
