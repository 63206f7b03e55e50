//! Rows as opaque records: copied into arenas, found by sorted pointers, gathered into blocks.

mod take;

use std::sync::Arc;

use bywash_core::Result;
use bywash_core::block::{RECORDS_FINGERPRINT, RecordEncoder};
use bywash_core::memory::Consumer;
use bywash_core::policy::{RecordWriterSizing, minimum_record_sizing, record_sizing};
use bywash_core::record::RecordMemory;

use super::engine::Engine;
use super::rows::{Rows, RowsSpec};
use super::write_buffer::FileSink;
use crate::map_output::Content;
use crate::record_spec::RecordSpec;

/// Records.
#[derive(Debug)]
pub(crate) struct RecordRows {
    memory: RecordMemory,
    encoder: RecordEncoder,
}

impl Rows for RecordRows {
    type Spec = RecordSpec;
    type Sizing = RecordWriterSizing;

    const CONSUMER: &'static str = "record-writer";

    fn sizing(spec: &RecordSpec, budget: u64) -> RecordWriterSizing {
        record_sizing(spec.codec(), budget)
    }

    fn minimum_sizing(spec: &RecordSpec) -> RecordWriterSizing {
        minimum_record_sizing(spec.codec())
    }

    fn write_bytes(sizing: RecordWriterSizing) -> usize {
        sizing.write_bytes
    }

    fn bytes_for(spec: &RecordSpec, sizing: RecordWriterSizing) -> Result<u64> {
        Ok(RecordMemory::bytes_for(sizing.records, spec.partitions())?
            + RecordEncoder::bytes_for(spec.codec(), sizing.block_bytes)?)
    }

    fn try_new(spec: &RecordSpec, consumer: &Consumer, sizing: RecordWriterSizing) -> Result<Self> {
        Ok(Self {
            memory: RecordMemory::try_new(consumer, sizing.records, spec.partitions())?,
            encoder: RecordEncoder::try_new(consumer, spec.codec(), sizing.block_bytes)?,
        })
    }

    fn before_spill(engine: &mut Engine<Self>) -> Result<()> {
        engine.close_group()
    }

    fn before_finish(engine: &mut Engine<Self>) -> Result<()> {
        engine.close_group()
    }

    fn is_empty(&self) -> bool {
        self.memory.records() == 0
    }

    fn rewind(&mut self) {
        self.memory.rewind();
        // A run that failed in another directory may have left a block half filled.
        self.encoder.clear();
    }

    fn flush_partition(
        &mut self,
        _spec: &RecordSpec,
        partition: u32,
        sink: &mut FileSink<'_>,
    ) -> Result<u64> {
        self.memory.flush_partition(partition, &mut self.encoder, sink)
    }

    fn release(&mut self) {
        self.memory.release();
    }

    fn recycle(&mut self) {
        self.memory.recycle();
    }

    fn release_unused(&mut self) {
        self.memory.release_unused();
    }

    fn reclaimable(&self) -> u64 {
        self.memory.reclaimable()
    }
}

impl RowsSpec for RecordSpec {
    fn partitions(&self) -> u32 {
        self.partitions()
    }

    fn fingerprint(&self) -> u64 {
        RECORDS_FINGERPRINT
    }

    fn content(&self) -> Content {
        Content::Records
    }

    fn encoded_schema(&self) -> Option<&Arc<[u8]>> {
        None
    }
}
