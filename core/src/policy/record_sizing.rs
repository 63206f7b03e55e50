//! How large a record writer's fixed parts are, from its budget.

use super::sizing::{BLOCK_BYTES, WRITE_BYTES, portion};
use crate::block::RecordEncoder;
use crate::codec::Codec;
use crate::record::RecordSizing;

/// Bytes of an arena: small enough for its pointers to be sorted in cache, large enough that a group
/// has several records of each of thousands of partitions (docs/BENCHMARKS.md).
const ARENA_BYTES: (usize, usize) = (256 << 10, 8 << 20);
/// Bytes of an arena for each pointer that a group has room for. Smaller records make several groups
/// an arena, so nothing is wasted on them.
const GROUP_RECORD_BYTES: usize = 64;

/// The sizes of a record writer's fixed parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordWriterSizing {
    /// The records' memory.
    pub records: RecordSizing,
    /// A block before compression.
    pub block_bytes: usize,
    /// The buffer of a write call; holds any block.
    pub write_bytes: usize,
}

/// Sizes for a record writer that may hold `budget` bytes: arenas of about a thirty-second, so that
/// little is lost with the last one.
pub fn record_sizing(codec: Codec, budget: u64) -> RecordWriterSizing {
    let arena_bytes = portion(budget, 32, ARENA_BYTES);
    complete(
        codec,
        arena_bytes,
        portion(budget, 128, BLOCK_BYTES),
        portion(budget, 128, WRITE_BYTES),
    )
}

/// The least sizes a record writer works with.
pub fn minimum_record_sizing(codec: Codec) -> RecordWriterSizing {
    complete(codec, ARENA_BYTES.0, BLOCK_BYTES.0, WRITE_BYTES.0)
}

fn complete(
    codec: Codec,
    arena_bytes: usize,
    block_bytes: usize,
    write_bytes: usize,
) -> RecordWriterSizing {
    let block_bytes_max = RecordEncoder::block_bytes_max(codec, block_bytes);
    RecordWriterSizing {
        records: RecordSizing { arena_bytes, group_records: arena_bytes / GROUP_RECORD_BYTES },
        block_bytes,
        write_bytes: write_bytes.max(block_bytes_max.next_multiple_of(4096)),
    }
}
