//! How large a combiner's fixed parts are, from its budget and its accumulators.

use crate::combine::{AccumulatorSize, Table, TableSize};
use crate::{Error, Figure, Result};

/// Slots for each KiB of entries that the floor holds: an entry of an integer and its sum takes 24
/// bytes, and slots are filled to three quarters.
const SLOTS_PER_KIB: usize = 32;
const FLOOR_BYTES: (usize, usize) = (256 << 10, 4 << 20);
const AREA_BYTES: (usize, usize) = (64 << 10, 4 << 20);
const FRAME_BYTES: (usize, usize) = (16 << 10, 128 << 10);
const WRITE_BYTES: (usize, usize) = (64 << 10, 512 << 10);
const BATCH_BYTES: (usize, usize) = (32 << 10, 512 << 10);
const BATCH_ROWS: (usize, usize) = (2 << 10, 32 << 10);
/// Parts of a level, as bits of the hash: so few that a part of a spill is a few frames long.
const PART_BITS: (u32, u32) = (4, 7);
/// A fixed accumulator is at most an eighth of the largest floor, with its key.
const FIXED_BYTES_MAX: u32 = 2 << 20;
/// Room for a key beside a fixed accumulator.
const KEY_BYTES: usize = 4 << 10;

/// The sizes of a combiner's fixed parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CombineSizing {
    /// The table.
    pub table: TableSize,
    /// Bytes of a frame before compression.
    pub frame_bytes: usize,
    /// The buffer of a write call.
    pub write_bytes: usize,
    /// The largest record that is read with what is there from birth.
    pub record_bytes: usize,
    /// A level has two to the power of this many parts.
    pub part_bits: u32,
    /// Bytes of a batch handed out.
    pub batch_bytes: usize,
    /// Records of a batch handed out at most.
    pub batch_rows: usize,
}

/// Sizes for a combiner that may hold `budget` bytes.
///
/// # Errors
/// `InvalidArgument` for a fixed accumulator above 2 MiB.
pub fn combine_sizing(accumulators: AccumulatorSize, budget: u64) -> Result<CombineSizing> {
    let least = match accumulators {
        AccumulatorSize::Fixed(bytes) if bytes > FIXED_BYTES_MAX => {
            return Err(Error::invalid(
                "an accumulator of a fixed size is at most 2 MiB; use a variable one",
            )
            .with(Figure::Length, bytes));
        }
        AccumulatorSize::Fixed(bytes) if bytes as usize > KEY_BYTES => {
            (bytes as usize + KEY_BYTES).next_power_of_two() * 8
        }
        AccumulatorSize::Fixed(_) | AccumulatorSize::Variable => FLOOR_BYTES.0,
    };
    let floor_bytes = portion(budget, 32, FLOOR_BYTES).max(least);
    let table = TableSize {
        slots: FLOOR_BYTES.1.min(floor_bytes) / 1024 * SLOTS_PER_KIB,
        floor_bytes,
        area_bytes: portion(budget, 64, AREA_BYTES).max(floor_bytes / 8),
    };
    Ok(CombineSizing {
        table,
        frame_bytes: portion(budget, 512, FRAME_BYTES),
        write_bytes: portion(budget, 128, WRITE_BYTES),
        record_bytes: Table::floor_entry_max(table),
        part_bits: (budget >> 22)
            .checked_ilog2()
            .map_or(0, |bits| bits / 2 + PART_BITS.0)
            .clamp(PART_BITS.0, PART_BITS.1),
        // As a large accumulator is put into the floor, it is given out of what is there from birth.
        batch_bytes: portion(budget, 128, BATCH_BYTES).max(least / 8),
        batch_rows: portion(budget, 1 << 12, BATCH_ROWS),
    })
}

/// The least sizes a combiner works with.
///
/// # Errors
/// As [`combine_sizing`].
pub fn minimum_combine_sizing(accumulators: AccumulatorSize) -> Result<CombineSizing> {
    combine_sizing(accumulators, 0)
}

/// Sizes far below the minimum, so that a test reaches every level with few records.
#[doc(hidden)]
pub fn tiny_combine_sizing() -> CombineSizing {
    let table = TableSize { slots: 256, floor_bytes: 16 << 10, area_bytes: 4 << 10 };
    CombineSizing {
        table,
        frame_bytes: 1 << 10,
        write_bytes: 8 << 10,
        record_bytes: Table::floor_entry_max(table),
        part_bits: 2,
        batch_bytes: 2 << 10,
        batch_rows: 64,
    }
}

/// A part of the budget as a power of two within bounds.
fn portion(budget: u64, parts: u64, (least, most): (usize, usize)) -> usize {
    let part = usize::try_from(budget / parts).unwrap_or(usize::MAX).clamp(least, most);
    1 << part.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_sound_at_every_budget() {
        for size in [AccumulatorSize::Variable, AccumulatorSize::Fixed(1 << 20)] {
            for bits in 0..50 {
                let sizing = combine_sizing(size, 1 << bits).unwrap();
                assert!(sizing.table.area_bytes >= sizing.record_bytes, "{sizing:?}");
                assert!(sizing.table.slots.is_power_of_two(), "{sizing:?}");
                assert!((4..=7).contains(&sizing.part_bits), "{sizing:?}");
                // At least three runs can be merged by key in the floor.
                let buffer = sizing.frame_bytes + sizing.record_bytes;
                assert!(sizing.table.floor_bytes / buffer >= 3, "{sizing:?}");
                if let AccumulatorSize::Fixed(bytes) = size {
                    assert!(sizing.batch_bytes >= bytes as usize + KEY_BYTES, "{sizing:?}");
                }
            }
        }
        assert!(combine_sizing(AccumulatorSize::Fixed(5 << 20), 0).is_err());
    }
}
