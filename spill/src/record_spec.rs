//! What a shuffle of records writes: partitions, codec, when to spill.

use bywash_core::codec::Codec;
use bywash_core::{Error, ErrorKind, Figure, Result};

use crate::spec::PARTITIONS_MAX;
use crate::writer::{RecordRows, WorkingSet};

/// The shape of a shuffle of opaque records; cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSpec {
    partitions: u32,
    codec: Codec,
    spill_records: u64,
    spill_bytes: u64,
}

impl RecordSpec {
    /// A shuffle into `partitions`, compressed with LZ4.
    ///
    /// # Errors
    /// `InvalidArgument` for no partitions or too many.
    pub fn new(partitions: u32) -> Result<Self> {
        if partitions == 0 || partitions > PARTITIONS_MAX {
            return Err(Error::invalid("the number of partitions is 1 to 16777216")
                .with(Figure::Partitions, partitions));
        }
        let codec = Codec::default();
        Ok(Self { partitions, codec, spill_records: u64::MAX, spill_bytes: u64::MAX })
    }

    /// The same shuffle with another codec.
    #[must_use]
    pub const fn with_codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Spills before a record is taken while so many are in memory, however much memory is left; 1 at
    /// least. Default: no such limit. Spark's `spark.shuffle.spill.numElementsForceSpillThreshold`.
    #[must_use]
    pub const fn with_spill_threshold_records(mut self, records: u64) -> Self {
        self.spill_records = if records == 0 { 1 } else { records };
        self
    }

    /// Spills before a record is taken while records of so many bytes are in memory; 1 at least.
    /// Default: no such limit. Spark's `spark.shuffle.spill.maxSizeInBytesForSpillThreshold`, but
    /// of the records' own bytes.
    #[must_use]
    pub const fn with_spill_threshold_bytes(mut self, bytes: u64) -> Self {
        self.spill_bytes = if bytes == 0 { 1 } else { bytes };
        self
    }

    /// The number of partitions.
    pub const fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The codec.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Records in memory that make it spill.
    pub const fn spill_records(&self) -> u64 {
        self.spill_records
    }

    /// Bytes of records in memory that make it spill.
    pub const fn spill_bytes(&self) -> u64 {
        self.spill_bytes
    }

    /// The least capacity of a ledger whose `tasks` tasks write this shuffle at once, in bytes.
    ///
    /// A ledger of exactly this works, whatever the records; with one byte less a task is not admitted
    /// or its writer is not made. It is `tasks` times the sum of a writer's fixed parts at their
    /// smallest:
    ///
    /// ```text
    ///   20 P + 8              offsets, rows and checksums of P partitions
    /// + 256 KiB               an arena
    /// + 32 KiB                pointers that wait to be sorted, and the counters of the sort
    /// + codec                 36 KiB for lz4 (two encoders), Zstandard's context for its level
    /// + 128 KiB               a block, and the lengths of its records
    /// + 128 KiB               the write buffer, or what a block of incompressible records needs
    /// + 65 KiB and lists      windows of up to 65 runs
    /// ```
    ///
    /// each mapped part rounded up to whole pages, from 4 MiB up to whole 2 MiB.
    ///
    /// # Errors
    /// `InvalidArgument` for no tasks or a codec level out of range.
    pub fn minimum_budget(&self, tasks: usize) -> Result<u64> {
        if tasks == 0 {
            return Err(Error::invalid("the number of tasks is at least 1"));
        }
        let each = WorkingSet::<RecordRows>::minimum_bytes(self)?;
        each.checked_mul(tasks as u64).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                "so many tasks need more memory than can be counted",
            )
            .with(Figure::Requested, each)
        })
    }

    /// The most tasks that can write this shuffle at once in a ledger of `budget` bytes: the inverse
    /// of [`RecordSpec::minimum_budget`]. 0 if not even one can.
    ///
    /// # Errors
    /// `InvalidArgument` for a codec level out of range.
    pub fn max_tasks(&self, budget: u64) -> Result<usize> {
        let each = WorkingSet::<RecordRows>::minimum_bytes(self)?;
        Ok(usize::try_from(budget / each).unwrap_or(usize::MAX))
    }
}
