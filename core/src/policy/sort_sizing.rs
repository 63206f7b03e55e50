//! How large a sort's fixed parts are, from its budget and the shape of its rows.

use super::{Sizing, minimum_sizing, sizing};
use crate::block::BlockEncoder;
use crate::chunk::StagingSize;
use crate::chunk::{KeySort, Staging};
use crate::codec::Codec;
use crate::column::Layout;

/// Rows of a block or a batch at most.
const ROWS_MAX: usize = 8192;
/// Bytes of a block in memory: the smaller, the more runs are merged at once.
const BLOCK_BYTES: (usize, usize) = (32 << 10, 256 << 10);
/// Bytes of a batch at most, but for one row.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Blocks that are there from the start, so that a merge never asks.
const SLOTS_MIN: usize = 4;
/// Rows to be sorted at once, and what sorts them, in bytes at most: what is sorted at once is a run if the budget
/// does not hold it, and gathered at random, so that caches are to hold it.
const STAGED_BYTES_MAX: u64 = 24 << 20;
/// Rows to be sorted at once.
const STAGED_ROWS_MAX: usize = 128 << 10;
const STAGED_ROWS_MIN: usize = 1 << 10;
/// Room for strings at least, so that moderately large rows are staged.
const DATA_BYTES_MIN: usize = 64 << 10;
/// Runs there is room for.
const RUNS: (usize, usize) = (32, 512);

/// The sizes of a sort's fixed parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortSizing {
    /// The staging area.
    pub staging: StagingSize,
    /// A block in memory, as [`ChunkSizes`](crate::block::ChunkSizes) counts it; before compression it is no larger.
    pub block_bytes: usize,
    /// The buffer of a write call; holds any block.
    pub write_bytes: usize,
    /// Decoded blocks there is room for from the start.
    pub slots: usize,
    /// Rows of a block or a batch at most.
    pub rows_max: usize,
    /// Bytes of a batch at most.
    pub batch_bytes: usize,
    /// Runs there is room for.
    pub runs_max: usize,
}

/// Sizes for a sort that may hold `budget` bytes.
///
/// With blocks of a 512th of the budget, 400 runs of nearly the budget each are merged at once:
/// 16 MiB sort 2 GiB in a single pass, 64 MiB 20 GiB.
pub fn sort_sizing(layout: &Layout, codec: Codec, budget: u64) -> SortSizing {
    let part = usize::try_from(budget / 512).unwrap_or(usize::MAX);
    let block_bytes = 1 << part.clamp(BLOCK_BYTES.0, BLOCK_BYTES.1).ilog2();
    let of_budget = Sizing { staging: staging(layout, budget), ..sizing(layout, codec, budget) };
    let batch_bytes =
        usize::try_from(budget / 64).unwrap_or(usize::MAX).clamp(block_bytes, BATCH_BYTES_MAX);
    complete(layout, codec, of_budget, block_bytes, batch_bytes, RUNS.1)
}

/// Rows to be sorted at once, and what sorts them, are an eighth of the budget: half of it for what each row
/// takes, half for strings, since neither is known to be the more.
fn staging(layout: &Layout, budget: u64) -> StagingSize {
    let share = (budget / 8).min(STAGED_BYTES_MAX);
    let bytes = |rows, data_bytes| {
        let size = StagingSize { rows, data_bytes };
        Staging::bytes_for(layout, size) + KeySort::bytes_for(rows)
    };
    let has_data = layout.variable_nodes() > 0;
    let for_rows = if has_data { share / 2 } else { share };
    let mut rows = STAGED_ROWS_MAX;
    while rows > STAGED_ROWS_MIN && bytes(rows, 0) > for_rows {
        rows -= rows / 8;
    }
    let left = usize::try_from(share.saturating_sub(bytes(rows, 0))).unwrap_or(usize::MAX);
    StagingSize { rows, data_bytes: if has_data { left.max(DATA_BYTES_MIN) } else { 0 } }
}

/// The least sizes a sort works with.
pub fn minimum_sort_sizing(layout: &Layout, codec: Codec) -> SortSizing {
    let least = minimum_sizing(layout, codec);
    complete(layout, codec, least, BLOCK_BYTES.0, BLOCK_BYTES.0, RUNS.0)
}

fn complete(
    layout: &Layout,
    codec: Codec,
    sizing: Sizing,
    block_bytes: usize,
    batch_bytes: usize,
    runs_max: usize,
) -> SortSizing {
    let stored = BlockEncoder::block_bytes_max(layout, codec, block_bytes);
    SortSizing {
        staging: sizing.staging,
        block_bytes,
        write_bytes: sizing.write_bytes.max(stored.next_multiple_of(4096)),
        slots: SLOTS_MIN,
        rows_max: ROWS_MAX,
        batch_bytes: batch_bytes.max(block_bytes),
        runs_max,
    }
}
