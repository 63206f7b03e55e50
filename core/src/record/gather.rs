//! Records from their arenas into blocks, in sorted order.

use super::arena::RecordArena;
use super::pointer::Pointer;
use super::walk::GroupWalk;
use crate::Result;
use crate::block::RecordEncoder;
use crate::port::BlockSink;

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
    let mut records = 0;
    while let Some((arena, pointers)) = walk.take(partition, arenas) {
        for &word in pointers {
            encoder.push(partition, arena.record(Pointer::of_word(word)), sink)?;
        }
        records += pointers.len() as u64;
    }
    encoder.finish_block(partition, sink)?;
    Ok(records)
}
