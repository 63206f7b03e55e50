//! Damaged map outputs: every flipped bit, every truncation, index entries moved to where another
//! block begins, and lengths that claim the impossible under checksums that hold. Each is an error
//! or the right rows, never a panic, and never takes more memory than the ledger granted.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test suite")]

mod claims;
mod counting;
mod entries;
mod fillers;
mod flips;
mod outputs;
mod records;
mod subject;

#[global_allocator]
static ALLOCATOR: counting::CountingAllocator = counting::CountingAllocator;
