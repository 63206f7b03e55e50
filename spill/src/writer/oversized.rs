//! Rows too large to stage: straight from the caller's batch into a run of their own.

use std::sync::Arc;
use std::time::Instant;

use bywash_core::Result;
use bywash_core::block::{ArrayRow, RowSource};
use bywash_core::column::{ColumnView, Physical};
use bywash_core::memory::{Spill, SpillCause};

use super::engine::Engine;
use super::flush::{for_each_partition, write_run};
use super::progress::{Counters, Phase};
use super::working_set::WorkingSet;

impl Engine {
    /// Writes one row of the caller's batch as a chain of blocks. The rows before it are spilled
    /// first, so that order holds.
    pub(super) fn write_oversized(
        &mut self,
        views: &[ColumnView],
        row: usize,
        partition: u32,
    ) -> Result<()> {
        self.sort_staged()?;
        self.spill(SpillCause::OversizedRow)?;
        let shared = Arc::clone(&self.shared);
        let source = ArrayRow { views, row };
        let spilling = self.consumer.begin_spill();
        let (held, start) = (self.consumer.granted(), Instant::now());
        let written: Result<u64> = shared.counters.timed(Phase::Spill, || {
            self.make_room_for_run()?;
            let layout = self.spec.layout();
            let WorkingSet { encoder, write, partitions, .. } = &mut self.set;
            let run = write_run(&self.spill_dirs, |file| {
                let mut sink = write.begin(file);
                for_each_partition(partitions, &mut sink, |current, sink| {
                    if current == partition {
                        encoder.encode_chain(layout, partition, &source, sink)?;
                    }
                    Ok(())
                })
            })?;
            let written = run.file_bytes();
            Counters::add(&shared.counters.spilled_bytes, written);
            self.add_run(run)?;
            Ok(written)
        });
        drop(spilling);
        self.consumer.record_spill(&Spill {
            cause: SpillCause::OversizedRow,
            asked: None,
            held,
            freed: 0,
            written: *written.as_ref().unwrap_or(&0),
            took: start.elapsed(),
            failed: written.is_err(),
        });
        written?;
        shared.counters.count_spill(SpillCause::OversizedRow);
        self.set.partitions.rows[partition as usize] += 1;
        Counters::add(&shared.counters.rows, 1);
        Counters::add(&shared.counters.bytes, row_bytes(self, &source)?);
        self.answer_reclaim()
    }
}

fn row_bytes(engine: &Engine, source: &ArrayRow<'_>) -> Result<u64> {
    let mut bytes = 0;
    for (index, node) in engine.spec.layout().nodes().iter().enumerate() {
        if node.physical != Physical::Null {
            bytes += source.bytes(index)?.len() as u64 + node.physical.length_bytes() as u64;
        }
    }
    Ok(bytes)
}
