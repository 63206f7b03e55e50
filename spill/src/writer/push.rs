//! A finish into a sink: segments go to a service, not to a file.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use bywash_core::port::{ByteSink, PartitionSink};
use bywash_core::{AttemptId, MapId, Result};

use super::engine::Engine;
use super::progress::{Counters, Phase};
use super::rows::{Rows, RowsSpec};
use super::working_set::PartitionArrays;

/// What a finish into a sink sent: for each partition its bytes, rows and checksum.
///
/// Charged to the writer's task: 20 bytes a partition.
pub struct PushedOutput {
    map: MapId,
    attempt: AttemptId,
    fingerprint: u64,
    arrays: PartitionArrays,
}

impl PushedOutput {
    /// The map it is the output of.
    pub const fn map(&self) -> MapId {
        self.map
    }

    /// The attempt that sent it.
    pub const fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// Identifies the schema in blocks, or says that they hold records.
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The number of partitions.
    pub fn partitions(&self) -> u32 {
        bywash_core::cast::to_u32(self.arrays.rows.len())
    }

    /// Rows of a partition; 0 for one that does not exist.
    pub fn rows(&self, partition: u32) -> u64 {
        self.arrays.rows.get(partition as usize).copied().unwrap_or(0)
    }

    /// Bytes sent of a partition; 0 for one that does not exist.
    pub fn bytes(&self, partition: u32) -> u64 {
        let offsets = &self.arrays.offsets;
        let start = offsets.get(partition as usize).copied().unwrap_or(0);
        offsets.get(partition as usize + 1).map_or(0, |end| end - start)
    }

    /// CRC-32C of a partition's bytes; 0 for one that does not exist.
    pub fn crc32c(&self, partition: u32) -> u32 {
        self.arrays.crcs.get(partition as usize).copied().unwrap_or(0)
    }

    /// Rows in all.
    pub fn total_rows(&self) -> u64 {
        self.arrays.rows.iter().sum()
    }

    /// Bytes in all.
    pub fn total_bytes(&self) -> u64 {
        self.arrays.offsets.last().copied().unwrap_or(0)
    }
}

impl fmt::Debug for PushedOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushedOutput")
            .field("map", &self.map)
            .field("attempt", &self.attempt)
            .field("partitions", &self.partitions())
            .field("total_rows", &self.total_rows())
            .field("total_bytes", &self.total_bytes())
            .finish_non_exhaustive()
    }
}

impl<R: Rows> Engine<R> {
    /// Sends every partition's segment to `sink`, in ascending order.
    pub(super) fn finish_into(mut self, sink: &mut dyn PartitionSink) -> Result<PushedOutput> {
        let shared = Arc::clone(&self.shared);
        shared.check_cancelled()?;
        R::before_finish(&mut self)?;
        let sent = shared.counters.timed(Phase::Output, || {
            let partition = Cell::new(0);
            let mut target = Target { sink, partition: &partition };
            // The buffer never holds bytes of two partitions.
            self.write_segments(&mut target, |done, sink| {
                sink.flush()?;
                partition.set(done + 1);
                Ok(())
            })
        })?;
        Counters::add(&shared.counters.output_bytes, sent);
        Ok(PushedOutput {
            map: self.map,
            attempt: self.attempt,
            fingerprint: self.spec.fingerprint(),
            arrays: self.set.partitions,
        })
    }
}

/// A sink as something to write to: offsets do not matter, bytes come in their order.
struct Target<'a> {
    sink: &'a mut dyn PartitionSink,
    partition: &'a Cell<u32>,
}

impl ByteSink for Target<'_> {
    fn write_all_at(&mut self, bytes: &[u8], _offset: u64) -> Result<()> {
        self.sink.write(self.partition.get(), bytes)
    }
}
