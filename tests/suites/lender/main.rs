//! A host lends the ledger its memory, and takes it back: in part, late, not at all, with errors, in
//! the middle of anything and from anywhere.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test suite")]

mod charge;
mod rules;
mod spills;
mod waiting;
mod writers;
