//! How large a writer's fixed parts are, from its budget and the shape of its rows.

use crate::block::BlockEncoder;
use crate::chunk::{Staging, StagingSize};
use crate::codec::Codec;
use crate::column::Layout;

/// Rows of a staging chunk at most: what is staged and a column of what is sorted sit in cache, and
/// more rows gained nothing at any number of partitions (docs/BENCHMARKS.md).
const CHUNK_ROWS_MAX: usize = 32 << 10;
/// Rows of a staging chunk at the minimum budget.
const CHUNK_ROWS_MIN: usize = 2 << 10;
/// Staging bytes that decide how many rows the minimum budget has room for.
const STAGING_BYTES_MIN: u64 = 512 << 10;
/// Staging bytes at most, unless one row takes more: what is above makes chunks no better, and an
/// unlimited budget is no reason to map as much as wide rows could take.
const STAGING_BYTES_MAX: u64 = 64 << 20;
/// Variable data that a row is expected to have in each column that can have any.
const DATA_BYTES_EXPECTED: usize = 24;
/// Room for variable data at least, so that moderately large rows are staged.
const DATA_BYTES_MIN: usize = 64 << 10;
/// Room for variable data at most: places in it have 32 bits.
const DATA_BYTES_MAX: usize = 1 << 30;
/// Bytes of a block before compression.
pub(super) const BLOCK_BYTES: (usize, usize) = (64 << 10, 256 << 10);
/// Bytes gathered for one write call.
pub(super) const WRITE_BYTES: (usize, usize) = (128 << 10, 512 << 10);

/// The sizes of a writer's fixed parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizing {
    /// The staging area.
    pub staging: StagingSize,
    /// A block before compression.
    pub block_bytes: usize,
    /// The buffer of a write call; holds any block.
    pub write_bytes: usize,
}

/// Sizes for a writer that may hold `budget` bytes.
///
/// Staging takes about an eighth, and at most 64 MiB, so that most of the budget holds sorted rows:
/// the more of them, the larger the blocks of a spill.
pub fn sizing(layout: &Layout, codec: Codec, budget: u64) -> Sizing {
    let share = (budget / 8).min(STAGING_BYTES_MAX);
    let mut rows = CHUNK_ROWS_MAX;
    while rows > 1 && Staging::bytes_for(layout, staging_size(layout, rows, share)) > share {
        rows /= 2;
    }
    let block_bytes = portion(budget, 128, BLOCK_BYTES);
    complete(
        layout,
        codec,
        staging_size(layout, rows, share),
        block_bytes,
        portion(budget, 128, WRITE_BYTES),
    )
}

/// The least sizes a writer works with.
pub fn minimum_sizing(layout: &Layout, codec: Codec) -> Sizing {
    let mut rows = CHUNK_ROWS_MIN;
    while rows > 1 && Staging::bytes_for(layout, staging_size(layout, rows, 0)) > STAGING_BYTES_MIN
    {
        rows /= 2;
    }
    complete(layout, codec, staging_size(layout, rows, 0), BLOCK_BYTES.0, WRITE_BYTES.0)
}

fn staging_size(layout: &Layout, rows: usize, share: u64) -> StagingSize {
    let variable = layout.variable_nodes();
    if variable == 0 {
        return StagingSize { rows, data_bytes: 0 };
    }
    // Long values fill the data before the rows: give it a part of the share in any case.
    let expected = rows.saturating_mul(variable * DATA_BYTES_EXPECTED);
    let part =
        usize::try_from(share / 4).unwrap_or(usize::MAX).min(CHUNK_ROWS_MAX * DATA_BYTES_EXPECTED);
    let data_bytes = expected.max(part).clamp(DATA_BYTES_MIN, DATA_BYTES_MAX);
    StagingSize { rows, data_bytes }
}

fn complete(
    layout: &Layout,
    codec: Codec,
    staging: StagingSize,
    block_bytes: usize,
    write_bytes: usize,
) -> Sizing {
    let block_bytes_max = BlockEncoder::block_bytes_max(layout, codec, block_bytes);
    let write_bytes = write_bytes.max(block_bytes_max.next_multiple_of(4096));
    Sizing { staging, block_bytes, write_bytes }
}

/// A part of the budget as a power of two within bounds.
pub(super) fn portion(budget: u64, parts: u64, (least, most): (usize, usize)) -> usize {
    let part = usize::try_from(budget / parts).unwrap_or(usize::MAX).clamp(least, most);
    1 << part.ilog2()
}
