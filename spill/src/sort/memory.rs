//! Everything a sort needs to stage, sort, spill and merge, charged when it is made.

use bywash_core::block::{BlockEncoder, ChunkSizes, batch_bytes};
use bywash_core::chunk::{KeySort, SortedChunk, Staging};
use bywash_core::memory::{Area, Consumer, Vector};
use bywash_core::policy::{SortSizing, minimum_sort_sizing, sort_sizing};
use bywash_core::{Error, ErrorKind, Figure, Result};

use super::spec::SortSpec;
use crate::merge::{BlockReader, Limits, Picker, Slots, SortedRun};
use crate::writer::WriteBuffer;

/// Sorted chunks the list has room for before it grows.
const CHUNKS: usize = 16;

/// What rows need on their way in: gone when no more come.
#[derive(Debug)]
pub(super) struct FillMemory {
    pub(super) staging: Staging,
    pub(super) sort: KeySort,
    /// Holds any one sorted chunk, so that staged rows can always be sorted; `None` while one does.
    pub(super) spare: Option<Area>,
    pub(super) spare_bytes: u64,
    /// Areas of chunks that were written out, for those to come: mapping them anew costs as much as
    /// filling them.
    pub(super) pool: Vector<Area>,
}

/// What spills, merges and reading need.
#[derive(Debug)]
pub(super) struct SortMemory {
    pub(super) fill: Option<FillMemory>,
    pub(super) chunks: Vector<SortedChunk>,
    pub(super) runs: Vector<SortedRun>,
    pub(super) encoder: BlockEncoder,
    pub(super) write: WriteBuffer,
    pub(super) reader: BlockReader,
    pub(super) slots: Slots,
    pub(super) picker: Picker,
    pub(super) sizes: ChunkSizes,
    pub(super) sizing: SortSizing,
    pub(super) runs_max: usize,
    /// What a batch of the rows so far takes at most.
    pub(super) reading_bytes: u64,
}

impl SortMemory {
    /// Reserves and allocates all parts: the largest sizes that leave at least half of the task's
    /// share to sorted rows, else the smallest.
    pub(super) fn try_new(spec: &SortSpec, consumer: &Consumer) -> Result<Self> {
        let budget = consumer.task_share();
        let smallest = minimum_sort_sizing(spec.layout(), spec.codec());
        let minimum = Self::minimum_bytes(spec)?;
        if minimum > budget {
            return Err(Error::new(
                ErrorKind::MemoryLimit,
                "the memory budget of a task is below what a sort needs at least",
            )
            .with(Figure::Requested, minimum)
            .with(Figure::Available, budget));
        }
        let wanted = sort_sizing(spec.layout(), spec.codec(), budget);
        let bytes = Self::bytes_for(spec, wanted)?;
        if bytes <= budget / 2 && wanted != smallest {
            match consumer.begin_birth_now(bytes) {
                Ok(_birth) => return Self::of_size(spec, consumer, wanted),
                Err(error) if error.kind() == ErrorKind::MemoryLimit => {}
                Err(error) => return Err(error),
            }
        }
        let _birth = consumer.begin_birth(Self::bytes_for(spec, smallest)?)?;
        Self::of_size(spec, consumer, smallest)
    }

    fn of_size(spec: &SortSpec, consumer: &Consumer, sizing: SortSizing) -> Result<Self> {
        let (layout, codec) = (spec.layout(), spec.codec());
        let sizes = ChunkSizes::new(layout);
        let slot_bytes = sizes.area_bytes(sizing.block_bytes);
        let spare =
            SortedChunk::bytes_at_most(layout, sizing.staging.rows, sizing.staging.data_bytes);
        let spare = Area::try_new(consumer, spare)?;
        let fill = FillMemory {
            spare_bytes: spare.len() as u64,
            spare: Some(spare),
            staging: Staging::try_new(consumer, layout, sizing.staging)?,
            sort: KeySort::try_new(consumer, sizing.staging.rows)?,
            pool: Vector::try_with_capacity(consumer, CHUNKS)?,
        };
        let runs_max = sizing.runs_max.min(spec.runs_max());
        Ok(Self {
            fill: Some(fill),
            chunks: Vector::try_with_capacity(consumer, CHUNKS)?,
            runs: Vector::try_with_capacity(consumer, sizing.runs_max + RUNS_MORE)?,
            encoder: BlockEncoder::try_new(consumer, layout, codec, sizing.block_bytes)?,
            write: WriteBuffer::try_new(consumer, sizing.write_bytes)?,
            reader: BlockReader::try_new(consumer, layout, codec, reader_bytes(spec, sizing))?,
            slots: Slots::try_new(consumer, sizing.slots, slot_bytes)?,
            picker: Picker::try_new(consumer, CHUNKS.max(sizing.slots), sizing.rows_max)?,
            sizes,
            sizing,
            runs_max,
            reading_bytes: Self::reading_bytes(spec, sizing),
        })
    }

    /// What the smallest sort reserves, and what reading needs beside it once rows have come.
    pub(super) fn minimum_bytes(spec: &SortSpec) -> Result<u64> {
        let sizing = minimum_sort_sizing(spec.layout(), spec.codec());
        let fill = Self::fill_bytes(spec, sizing);
        Ok(Self::bytes_for(spec, sizing)? + Self::reading_bytes(spec, sizing).saturating_sub(fill))
    }

    /// What a batch takes at most, also one of a single row that was staged.
    fn reading_bytes(spec: &SortSpec, sizing: SortSizing) -> u64 {
        let layout = spec.layout();
        // Fixed values and variable data each as if the others were nothing; a batch may have one row.
        let row_bytes = ChunkSizes::new(layout).row_bytes().max(1);
        let rows = sizing.rows_max.min(sizing.batch_bytes / row_bytes + 1);
        let batch = batch_bytes(layout, rows, sizing.batch_bytes);
        batch.max(batch_bytes(layout, 1, sizing.staging.data_bytes))
    }

    fn fill_bytes(spec: &SortSpec, sizing: SortSizing) -> u64 {
        let (layout, staging) = (spec.layout(), sizing.staging);
        let spare = SortedChunk::bytes_at_most(layout, staging.rows, staging.data_bytes);
        Staging::bytes_for(layout, staging)
            + KeySort::bytes_for(staging.rows)
            + Area::len_for(spare) as u64
            + Vector::<Area>::bytes_for(CHUNKS)
    }

    fn bytes_for(spec: &SortSpec, sizing: SortSizing) -> Result<u64> {
        let (layout, codec) = (spec.layout(), spec.codec());
        let slot_bytes = ChunkSizes::new(layout).area_bytes(sizing.block_bytes);
        let parts = [
            Self::fill_bytes(spec, sizing),
            Vector::<SortedChunk>::bytes_for(CHUNKS),
            Vector::<SortedRun>::bytes_for(sizing.runs_max + RUNS_MORE),
            BlockEncoder::bytes_for(layout, codec, sizing.block_bytes)?,
            WriteBuffer::bytes_for(sizing.write_bytes),
            BlockReader::bytes_for(codec, reader_bytes(spec, sizing)),
            Slots::bytes_for(sizing.slots, slot_bytes),
            Picker::bytes_for(CHUNKS.max(sizing.slots), sizing.rows_max),
        ];
        Ok(parts.iter().sum())
    }

    /// How much a block takes.
    pub(super) const fn block_limits(&self) -> Limits {
        Limits { rows: self.sizing.rows_max, bytes: self.sizing.block_bytes, takes_wide: false }
    }

    /// How much a batch takes: from chunks in memory also a row that is larger.
    pub(super) const fn batch_limits(&self) -> Limits {
        Limits { rows: self.sizing.rows_max, bytes: self.sizing.batch_bytes, takes_wide: true }
    }
}

/// Room for a block before and after compression.
fn reader_bytes(spec: &SortSpec, sizing: SortSizing) -> (usize, usize) {
    let stored = BlockEncoder::block_bytes_max(spec.layout(), spec.codec(), sizing.block_bytes);
    (sizing.block_bytes, stored)
}

/// Runs there is room for when as many as may be are there: of a reclaim, of a row too large to stage,
/// and what a merge of some makes.
pub(super) const RUNS_MORE: usize = 4;
