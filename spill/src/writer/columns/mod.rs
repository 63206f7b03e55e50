//! Rows as columns: staged, sorted into chunks, gathered into blocks.

mod blocks;
mod oversized;
mod stage;

use std::sync::Arc;

use bywash_core::Result;
use bywash_core::block::{BlockEncoder, RowSlice};
use bywash_core::chunk::{CountingSort, SortedChunk, Staging};
use bywash_core::memory::{Area, Consumer, Vector};
use bywash_core::policy::{Sizing, minimum_sizing, sizing};

use super::engine::Engine;
use super::rows::{Rows, RowsSpec};
use super::write_buffer::FileSink;
use crate::map_output::Content;
use crate::spec::ShuffleSpec;
use blocks::Blocks;

/// Sorted chunks the list has room for before it grows.
const CHUNKS: usize = 16;
/// Pieces of a block: one for each chunk, or the block ends early.
const SLICES: usize = 1024;

/// Rows of batches.
#[derive(Debug)]
pub(crate) struct Columns {
    staging: Staging,
    sort: CountingSort,
    /// Holds any one sorted chunk, so that staged rows can always be sorted; `None` while one does.
    spare: Option<Area>,
    spare_bytes: u64,
    encoder: BlockEncoder,
    chunks: Vector<SortedChunk>,
    slices: Vector<RowSlice>,
}

impl Rows for Columns {
    type Spec = ShuffleSpec;
    type Sizing = Sizing;

    const CONSUMER: &'static str = "shuffle-writer";

    fn sizing(spec: &ShuffleSpec, budget: u64) -> Sizing {
        sizing(spec.layout(), spec.codec(), budget)
    }

    fn minimum_sizing(spec: &ShuffleSpec) -> Sizing {
        minimum_sizing(spec.layout(), spec.codec())
    }

    fn write_bytes(sizing: Sizing) -> usize {
        sizing.write_bytes
    }

    fn bytes_for(spec: &ShuffleSpec, sizing: Sizing) -> Result<u64> {
        let (layout, partitions) = (spec.layout(), spec.partitions());
        let parts = [
            Staging::bytes_for(layout, sizing.staging),
            CountingSort::bytes_for(sizing.staging.rows, partitions),
            Area::len_for(SortedChunk::bytes_max(layout, sizing.staging, partitions)) as u64,
            BlockEncoder::bytes_for(layout, spec.codec(), sizing.block_bytes)?,
            Vector::<SortedChunk>::bytes_for(CHUNKS),
            Vector::<RowSlice>::bytes_for(SLICES),
        ];
        Ok(parts.iter().sum())
    }

    fn try_new(spec: &ShuffleSpec, consumer: &Consumer, sizing: Sizing) -> Result<Self> {
        let (layout, partitions) = (spec.layout(), spec.partitions());
        let spare = SortedChunk::bytes_max(layout, sizing.staging, partitions);
        let spare = Area::try_new(consumer, spare)?;
        Ok(Self {
            spare_bytes: spare.len() as u64,
            spare: Some(spare),
            staging: Staging::try_new(consumer, layout, sizing.staging)?,
            sort: CountingSort::try_new(consumer, sizing.staging.rows, partitions)?,
            encoder: BlockEncoder::try_new(consumer, layout, spec.codec(), sizing.block_bytes)?,
            chunks: Vector::try_with_capacity(consumer, CHUNKS)?,
            slices: Vector::try_with_capacity(consumer, SLICES)?,
        })
    }

    /// Staged rows are few: they stay, and the run is no smaller than a chunk.
    fn before_spill(_engine: &mut Engine<Self>) -> Result<()> {
        Ok(())
    }

    fn before_finish(engine: &mut Engine<Self>) -> Result<()> {
        engine.sort_last()
    }

    fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    fn rewind(&mut self) {
        for chunk in self.chunks.iter_mut() {
            chunk.rewind();
        }
    }

    fn flush_partition(
        &mut self,
        spec: &ShuffleSpec,
        partition: u32,
        sink: &mut FileSink<'_>,
    ) -> Result<u64> {
        let Self { encoder, slices, chunks, .. } = self;
        Blocks { layout: spec.layout(), encoder, slices }.flush_partition(partition, chunks, sink)
    }

    fn release(&mut self) {
        while let Some(chunk) = self.chunks.pop() {
            if self.spare.is_none() && chunk.bytes() >= self.spare_bytes {
                self.spare = Some(chunk.into_area());
            }
        }
    }

    fn reclaimable(&self) -> u64 {
        let held: u64 = self.chunks.iter().map(SortedChunk::bytes).sum();
        let kept = if self.spare.is_some() { 0 } else { self.spare_bytes };
        held.saturating_sub(kept)
    }
}

impl RowsSpec for ShuffleSpec {
    fn partitions(&self) -> u32 {
        self.partitions()
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint()
    }

    fn content(&self) -> Content {
        Content::Columns(Arc::clone(self.layout()))
    }

    fn encoded_schema(&self) -> Option<&Arc<[u8]>> {
        Some(self.encoded_schema())
    }
}
