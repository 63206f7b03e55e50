//! Opaque records in memory: copied once into arenas, found by packed pointers, sorted in groups.
//!
//! ```text
//! RecordArena   | record | record | ...  ->   free   <- | group 1 | group 0 |
//!                 bytes from the front          pointers, a sorted group at a time, from the back
//! ```
//!
//! A pointer is 8 bytes: partition, start in its arena, length. So a walk over sorted pointers knows
//! all about its records before it touches one: blocks are cut without reading them and the bytes
//! can be asked for ahead of their use. Each group is sorted by partition, stably; a walk gives
//! the groups' records in order of partition, then group.

mod arena;
mod gather;
mod memory;
mod pointer;
#[cfg(test)]
mod tests;
mod walk;

pub use arena::{ARENA_BYTES_MAX, RecordInput};
pub use memory::{Appended, RecordMemory, RecordSizing};
pub use pointer::POINTER_BYTES;
