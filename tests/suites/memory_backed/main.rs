//! Spill directories whose files are memory: recognised on real mounts, refused, paid for, and what
//! happens where nobody pays.
//!
//! Mounts and memory limits need root; a test that cannot have them says so.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test prints its figures and fails by panicking"
)]

mod charged;
mod limited;
mod recognised;
