//! Everything a writer needs to take rows, sort, spill, merge and finish, charged when it is made.

use bywash_core::memory::{Array, Consumer, Vector};
use bywash_core::{Error, ErrorKind, Figure, Result};

use super::rows::{Rows, RowsSpec};
use super::write_buffer::WriteBuffer;
use crate::run::{PAGE_BYTES, RUNS_MAX, Run};

/// The fixed parts of a writer.
#[derive(Debug)]
pub(crate) struct WorkingSet<R> {
    pub(super) rows: R,
    pub(super) write: WriteBuffer,
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

impl<R: Rows> WorkingSet<R> {
    /// Reserves and allocates all parts: the largest sizes that leave at least half of the task's
    /// share to sorted rows, else the smallest.
    pub(super) fn try_new(spec: &R::Spec, consumer: &Consumer) -> Result<Self> {
        let budget = consumer.task_share();
        let smallest = R::minimum_sizing(spec);
        let needed = Self::bytes_for(spec, smallest)?;
        if needed > budget {
            return Err(Error::new(
                ErrorKind::MemoryLimit,
                "the memory budget of a task is below what a writer needs at least",
            )
            .with(Figure::Requested, needed)
            .with(Figure::Available, budget));
        }
        let wanted = R::sizing(spec, budget);
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

    fn of_size(spec: &R::Spec, consumer: &Consumer, sizing: R::Sizing) -> Result<Self> {
        Ok(Self {
            rows: R::try_new(spec, consumer, sizing)?,
            write: WriteBuffer::try_new(consumer, R::write_bytes(sizing))?,
            runs: Vector::try_with_capacity(consumer, RUNS_MAX + 1)?,
            windows: Array::try_new(consumer, WINDOWS * PAGE_BYTES)?,
            partitions: PartitionArrays::try_new(consumer, spec.partitions())?,
        })
    }

    /// What the smallest writer reserves.
    pub(crate) fn minimum_bytes(spec: &R::Spec) -> Result<u64> {
        Self::bytes_for(spec, R::minimum_sizing(spec))
    }

    fn bytes_for(spec: &R::Spec, sizing: R::Sizing) -> Result<u64> {
        Ok(R::bytes_for(spec, sizing)?
            + Array::<u8>::bytes_for(R::write_bytes(sizing))
            + Vector::<Run>::bytes_for(RUNS_MAX + 1)
            + Array::<u8>::bytes_for(WINDOWS * PAGE_BYTES)
            + PartitionArrays::bytes_for(spec.partitions()))
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
