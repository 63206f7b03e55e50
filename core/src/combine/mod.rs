//! Records with equal keys into one: a hash table of keys and accumulators that grows by grant.
//!
//! ```text
//! slots    | fragment 20 | used 1 | large 1 | area 20 | offset 22 |   open addressing, 8 bytes each
//!                                             |         |
//! areas    | key length 4 | room 4 | key | accumulator | padding to 8 | ...
//! ```
//!
//! Owns: finding a key, placing and moving entries, the order a spill writes them in. Does not own:
//! what a merge does ([`Merge`]), when to spill, files.
//!
//! All memory is areas charged by their length. A table has a floor that is there from birth; beyond
//! it, it grows only by grant: refused, it answers [`Put::Full`] with nothing changed. Ordering its
//! entries and emptying it need no memory.

pub mod columns;
mod entries;
mod entry;
mod fold;
mod hash;
mod merge;
mod order;
mod slots;
mod table;
#[cfg(test)]
mod tests;

pub use entries::Cursor;
pub use hash::KeyHash;
pub use merge::{AccumulatorSize, Concat, Count, CountingSum, Merge};
pub use order::Ordered;
pub use slots::Mode;
pub use table::{Input, Put, Table, TableSize};
