//! Everything a combiner needs to fill, spill, finish and be read, charged when it is made.

use bywash_core::combine::{AccumulatorSize, Table};
use bywash_core::memory::{Area, Array, Consumer};
use bywash_core::merge::LoserTree;
use bywash_core::policy::CombineSizing;
use bywash_core::{Error, ErrorKind, Figure, Result};

use super::batch::BatchBuffer;
use super::frames::{FrameReader, FrameWriter, RecordReader};
use super::level::Level;
use super::sorted::FAN_IN;
use super::spec::CombineSpec;
use crate::writer::WriteBuffer;

/// Levels that are split by hash; what is left after them is sorted.
pub(super) const HASH_LEVELS: usize = 3;

/// The fixed parts of a combiner.
#[derive(Debug)]
pub(super) struct WorkingSet {
    pub(super) sizing: CombineSizing,
    pub(super) table: Table,
    pub(super) levels: [Level; HASH_LEVELS],
    /// Runs in the order of their keys, of one part.
    pub(super) sorted: Level,
    pub(super) frames: FrameWriter,
    pub(super) write: WriteBuffer,
    pub(super) reader: FrameReader,
    /// Where a run is decoded to while it is the only one that is read.
    pub(super) read: Option<Area>,
    /// Which run's record comes next in a merge by key.
    pub(super) tree: LoserTree,
    /// The record that a merge by key puts together.
    pub(super) pending: Area,
    /// Buffers of a merge by key whose records are too large for the table's floor.
    pub(super) wide: Option<Area>,
    /// What was granted when it was last looked at what a spill would give back.
    pub(super) granted_noted: u64,
}

/// What is made together with a working set, in one request, and as large as its sizes say.
pub(super) trait Beside {
    type Parts;

    /// What it is charged.
    fn bytes_for(&self, sizing: CombineSizing) -> u64;

    fn make(&self, sizing: CombineSizing, consumer: &Consumer) -> Result<Self::Parts>;
}

/// Nothing.
impl Beside for () {
    type Parts = ();

    fn bytes_for(&self, _: CombineSizing) -> u64 {
        0
    }

    fn make(&self, _: CombineSizing, _: &Consumer) -> Result<()> {
        Ok(())
    }
}

impl WorkingSet {
    /// Reserves and allocates all parts, a place for batches and what is `beside`: the largest sizes
    /// that leave at least half of the task's share to entries, else the smallest.
    pub(super) fn try_new<B: Beside>(
        spec: &CombineSpec,
        accumulators: AccumulatorSize,
        consumer: &Consumer,
        beside: &B,
    ) -> Result<(Self, BatchBuffer, B::Parts)> {
        let budget = consumer.task_share();
        let (smallest, wanted) = spec.sizings(accumulators, budget)?;
        let bytes_for = |sizing| -> Result<u64> {
            Ok(Self::bytes_for(spec, sizing)? + beside.bytes_for(sizing))
        };
        let make = |sizing| {
            let (set, batch) = Self::of_size(spec, accumulators, consumer, sizing)?;
            Ok((set, batch, beside.make(sizing, consumer)?))
        };
        let needed = bytes_for(smallest)?;
        if needed > budget {
            return Err(Error::new(
                ErrorKind::MemoryLimit,
                "the memory budget of a task is below what a combiner needs at least",
            )
            .with(Figure::Requested, needed)
            .with(Figure::Available, budget));
        }
        let bytes = bytes_for(wanted)?;
        if bytes <= budget / 2 && wanted != smallest {
            // Nobody waits for more than the least.
            match consumer.begin_birth_now(bytes) {
                Ok(_birth) => return make(wanted),
                Err(error) if error.kind() == ErrorKind::MemoryLimit => {}
                Err(error) => return Err(error),
            }
        }
        let _birth = consumer.begin_birth(needed)?;
        make(smallest)
    }

    fn of_size(
        spec: &CombineSpec,
        accumulators: AccumulatorSize,
        consumer: &Consumer,
        sizing: CombineSizing,
    ) -> Result<(Self, BatchBuffer)> {
        let parts = 1 << sizing.part_bits;
        let level = || Level::try_new(consumer, parts);
        let set = Self {
            sizing,
            table: Table::try_new(consumer, sizing.table, accumulators, spec.hash)?,
            levels: [level()?, level()?, level()?],
            sorted: Level::try_new(consumer, 1)?,
            frames: FrameWriter::try_new(consumer, spec.codec, sizing.frame_bytes)?,
            write: WriteBuffer::try_new(consumer, sizing.write_bytes)?,
            reader: FrameReader::try_new(consumer, spec.codec, sizing.frame_bytes)?,
            read: Some(Area::try_new(consumer, read_bytes(sizing))?),
            tree: LoserTree::try_new(consumer, FAN_IN)?,
            pending: Area::try_new(consumer, sizing.record_bytes)?,
            wide: None,
            granted_noted: 0,
        };
        Ok((set, BatchBuffer::try_new(consumer, sizing.batch_bytes, sizing.batch_rows)?))
    }

    /// What the smallest combiner reserves.
    pub(super) fn minimum_bytes(spec: &CombineSpec, accumulators: AccumulatorSize) -> Result<u64> {
        let (smallest, _) = spec.sizings(accumulators, 0)?;
        Self::bytes_for(spec, smallest)
    }

    fn bytes_for(spec: &CombineSpec, sizing: CombineSizing) -> Result<u64> {
        let parts = [
            Table::bytes_for(sizing.table),
            Level::bytes_for(1 << sizing.part_bits) * HASH_LEVELS as u64,
            Level::bytes_for(1),
            FrameWriter::bytes_for(spec.codec, sizing.frame_bytes)?,
            Array::<u8>::bytes_for(sizing.write_bytes),
            FrameReader::bytes_for(spec.codec, sizing.frame_bytes),
            Area::len_for(read_bytes(sizing)) as u64,
            LoserTree::bytes_for(FAN_IN),
            Area::len_for(sizing.record_bytes) as u64,
            BatchBuffer::bytes_for(sizing.batch_bytes, sizing.batch_rows),
        ];
        Ok(parts.iter().sum())
    }
}

const fn read_bytes(sizing: CombineSizing) -> usize {
    RecordReader::buffer_bytes(sizing.frame_bytes, sizing.record_bytes)
}
