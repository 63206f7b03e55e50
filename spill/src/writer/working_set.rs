//! Everything a writer needs to stage, sort, spill, merge and finish, charged when it is made.

use bywash_core::block::{BlockEncoder, RowSlice};
use bywash_core::chunk::{CountingSort, SortedChunk, Staging};
use bywash_core::codec::Codec;
use bywash_core::memory::{Area, Array, Consumer, Vector};
use bywash_core::policy::{Sizing, minimum_sizing, sizing};
use bywash_core::{Error, ErrorKind, Figure, Result};

use super::write_buffer::WriteBuffer;
use crate::run::{PAGE_BYTES, RUNS_MAX, Run};
use crate::spec::ShuffleSpec;

/// Sorted chunks the list has room for before it grows.
const CHUNKS: usize = 16;
/// Pieces of a block: one for each chunk, or the block ends early.
const SLICES: usize = 1024;

/// The fixed parts of a writer.
#[derive(Debug)]
pub(crate) struct WorkingSet {
    pub(super) staging: Staging,
    pub(super) sort: CountingSort,
    /// Holds any one sorted chunk, so that staged rows can always be sorted; `None` while one does.
    pub(super) spare: Option<Area>,
    pub(super) spare_bytes: u64,
    pub(super) encoder: BlockEncoder,
    pub(super) write: WriteBuffer,
    pub(super) chunks: Vector<SortedChunk>,
    pub(super) slices: Vector<RowSlice>,
    pub(super) runs: Vector<Run>,
    /// A table page for each run.
    pub(super) windows: Array<u8>,
    pub(super) partitions: PartitionArrays,
}

/// What is known of each partition.
#[derive(Debug)]
pub(crate) struct PartitionArrays {
    /// Where each partition begins, and where the last ends: of a run, then of the output.
    pub(crate) offsets: Array<u64>,
    /// Rows of each partition in all.
    pub(crate) rows: Array<u64>,
    /// CRC-32C of each partition's bytes in the output.
    pub(crate) crcs: Array<u32>,
}

impl WorkingSet {
    /// Reserves and allocates all parts: the largest sizes that leave at least half of the task's
    /// share to sorted rows, else the smallest.
    pub(super) fn try_new(spec: &ShuffleSpec, consumer: &Consumer) -> Result<Self> {
        let budget = consumer.task_share();
        let smallest = minimum_sizing(spec.layout(), spec.codec());
        let needed = Self::bytes_for(spec, smallest)?;
        if needed > budget {
            return Err(Error::new(
                ErrorKind::MemoryLimit,
                "the memory budget of a task is below what a writer needs at least",
            )
            .with(Figure::Requested, needed)
            .with(Figure::Available, budget));
        }
        let wanted = sizing(spec.layout(), spec.codec(), budget);
        let bytes = Self::bytes_for(spec, wanted)?;
        if bytes <= budget / 2 && wanted != smallest {
            // A share is not a promise: others may hold the rest of it, and readers of this task.
            // Nobody waits for more than the least.
            match consumer.begin_birth_now(bytes) {
                Ok(_birth) => return Self::of_size(spec, consumer, wanted),
                Err(error) if error.kind() == ErrorKind::MemoryLimit => {}
                Err(error) => return Err(error),
            }
        }
        let _birth = consumer.begin_birth(needed)?;
        Self::of_size(spec, consumer, smallest)
    }

    fn of_size(spec: &ShuffleSpec, consumer: &Consumer, sizing: Sizing) -> Result<Self> {
        let layout = spec.layout();
        let partitions = spec.partitions();
        let rows = sizing.staging.rows;
        let spare = SortedChunk::bytes_max(layout, sizing.staging, partitions);
        let spare = Area::try_new(consumer, spare)?;
        Ok(Self {
            spare_bytes: spare.len() as u64,
            spare: Some(spare),
            staging: Staging::try_new(consumer, layout, sizing.staging)?,
            sort: CountingSort::try_new(consumer, rows, partitions)?,
            encoder: BlockEncoder::try_new(consumer, layout, spec.codec(), sizing.block_bytes)?,
            write: WriteBuffer::try_new(consumer, sizing.write_bytes)?,
            chunks: Vector::try_with_capacity(consumer, CHUNKS)?,
            slices: Vector::try_with_capacity(consumer, SLICES)?,
            runs: Vector::try_with_capacity(consumer, RUNS_MAX + 1)?,
            windows: Array::try_new(consumer, WINDOWS * PAGE_BYTES)?,
            partitions: PartitionArrays::try_new(consumer, partitions)?,
        })
    }

    /// What the smallest writer reserves.
    pub(crate) fn minimum_bytes(spec: &ShuffleSpec) -> Result<u64> {
        Self::bytes_for(spec, minimum_sizing(spec.layout(), spec.codec()))
    }

    fn bytes_for(spec: &ShuffleSpec, sizing: Sizing) -> Result<u64> {
        let layout = spec.layout();
        let partitions = spec.partitions();
        let codec: Codec = spec.codec();
        let parts = [
            Staging::bytes_for(layout, sizing.staging),
            CountingSort::bytes_for(sizing.staging.rows, partitions),
            Area::len_for(SortedChunk::bytes_max(layout, sizing.staging, partitions)) as u64,
            BlockEncoder::bytes_for(layout, codec, sizing.block_bytes)?,
            Array::<u8>::bytes_for(sizing.write_bytes),
            Vector::<SortedChunk>::bytes_for(CHUNKS),
            Vector::<RowSlice>::bytes_for(SLICES),
            Vector::<Run>::bytes_for(RUNS_MAX + 1),
            Array::<u8>::bytes_for(WINDOWS * PAGE_BYTES),
            PartitionArrays::bytes_for(partitions),
        ];
        Ok(parts.iter().sum())
    }
}

impl PartitionArrays {
    pub(crate) fn try_new(consumer: &Consumer, partitions: u32) -> Result<Self> {
        let partitions = partitions as usize;
        Ok(Self {
            offsets: Array::try_new(consumer, partitions + 1)?,
            rows: Array::try_new(consumer, partitions)?,
            crcs: Array::try_new(consumer, partitions)?,
        })
    }

    pub(crate) fn bytes_for(partitions: u32) -> u64 {
        let partitions = partitions as usize;
        Array::<u64>::bytes_for(partitions + 1)
            + Array::<u64>::bytes_for(partitions)
            + Array::<u32>::bytes_for(partitions)
    }
}

const WINDOWS: usize = RUNS_MAX + 1;
