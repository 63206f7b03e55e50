//! What a writer's rows are until they are blocks: columns or records.

use std::fmt;
use std::sync::Arc;

use bywash_core::Result;
use bywash_core::memory::Consumer;

use super::engine::Engine;
use super::write_buffer::FileSink;
use crate::map_output::Content;

/// The half of a writer that takes rows, holds them sorted in memory and makes blocks of them. All
/// else (spills, runs, merges, the commit) is the same for every kind of rows.
pub(crate) trait Rows: Sized + fmt::Debug + Send + 'static {
    /// What is written.
    type Spec: RowsSpec;
    /// How large the fixed parts are.
    type Sizing: Copy + PartialEq;

    /// The consumer's name.
    const CONSUMER: &'static str;

    /// Sizes for a budget.
    fn sizing(spec: &Self::Spec, budget: u64) -> Self::Sizing;

    /// The least sizes.
    fn minimum_sizing(spec: &Self::Spec) -> Self::Sizing;

    /// The buffer of a write call at these sizes.
    fn write_bytes(sizing: Self::Sizing) -> usize;

    /// The bytes that [`Rows::try_new`] reserves.
    fn bytes_for(spec: &Self::Spec, sizing: Self::Sizing) -> Result<u64>;

    /// Reserves and allocates all parts.
    fn try_new(spec: &Self::Spec, consumer: &Consumer, sizing: Self::Sizing) -> Result<Self>;

    /// Sorts what waits for it, so that a spill writes out all that it can. Needs no memory.
    fn before_spill(engine: &mut Engine<Self>) -> Result<()>;

    /// Sorts what is left when no rows will follow, spilling what is in the way. Needs no memory.
    fn before_finish(engine: &mut Engine<Self>) -> Result<()>;

    /// Whether there is nothing sorted.
    fn is_empty(&self) -> bool;

    /// Begins a walk over all that is sorted.
    fn rewind(&mut self);

    /// Appends the sorted rows of a partition as blocks; returns how many. A walk asks in rising
    /// order. Needs no memory.
    fn flush_partition(
        &mut self,
        spec: &Self::Spec,
        partition: u32,
        sink: &mut FileSink<'_>,
    ) -> Result<u64>;

    /// Gives back the memory of all that was sorted, but for what the next rows cannot do without.
    fn release(&mut self);

    /// Forgets all that was sorted; its memory is for the next rows. Whoever else needs it asks.
    fn recycle(&mut self) {
        self.release();
    }

    /// Gives back memory that holds no rows.
    fn release_unused(&mut self) {}

    /// The bytes [`Rows::release`] would give back.
    fn reclaimable(&self) -> u64;
}

/// What every kind of writer is told.
pub(crate) trait RowsSpec: Clone + fmt::Debug + Send + Sync + 'static {
    /// The number of partitions.
    fn partitions(&self) -> u32;

    /// What stands in headers for what the rows look like.
    fn fingerprint(&self) -> u64;

    /// What readers of the output are told.
    fn content(&self) -> Content;

    /// The schema's encoding, if there is a schema.
    fn encoded_schema(&self) -> Option<&Arc<[u8]>>;
}
