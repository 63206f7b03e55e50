//! Records from their arenas into blocks, in sorted order.

use super::arena::RecordArena;
use super::pointer::Pointer;
use super::walk::GroupWalk;
use crate::Result;
use crate::block::RecordEncoder;
use crate::port::BlockSink;
use crate::prefetch::prefetch;

/// Records that are on their way from memory while others are copied.
const AHEAD: usize = 32;

/// Appends all records of a partition as blocks; returns how many. A walk asks in rising order.
///
/// # Errors
/// What the sink fails with.
pub(super) fn flush_partition(
    partition: u32,
    walk: &mut GroupWalk,
    arenas: &[RecordArena],
    encoder: &mut RecordEncoder,
    sink: &mut dyn BlockSink,
) -> Result<u64> {
    // A ring of records that were asked for, also of the next groups.
    let mut coming: [&[u8]; AHEAD] = [&[]; AHEAD];
    let mut records = 0usize;
    while let Some((arena, pointers)) = walk.take(partition, arenas) {
        for &word in pointers {
            let record = arena.record(Pointer::of_word(word));
            prefetch(record);
            let due = std::mem::replace(&mut coming[records % AHEAD], record);
            if records >= AHEAD {
                encoder.push(partition, due, sink)?;
            }
            records += 1;
        }
    }
    for place in records.saturating_sub(AHEAD)..records {
        encoder.push(partition, coming[place % AHEAD], sink)?;
    }
    encoder.finish_block(partition, sink)?;
    Ok(records as u64)
}
