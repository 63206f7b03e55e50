//! Rows out: batches in order, or blocks into a sink.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_array::RecordBatch;
use bywash_core::block::{BlockDecoder, gather_batch};
use bywash_core::memory::ChargeMode;
use bywash_core::port::{ByteSink, PartitionSink};
use bywash_core::{Error, ErrorKind, Figure, Result};

use super::engine::{Engine, Stage};
use super::merge::{Source, Step};
use crate::writer::{Counters, Phase};

impl Engine {
    /// Begins to give rows out. Needs no memory, and takes what is free for a merge of many runs.
    pub(super) fn begin_reading(&mut self, mode: ChargeMode) -> Result<()> {
        self.signals.check_cancelled()?;
        self.mode = mode;
        self.sort_staged(true)?;
        if self.memory.runs.is_empty() {
            self.memory.fill = None;
            self.stage = Stage::Chunks;
            self.note_reclaimable();
            return self.chunk_merge().open();
        }
        if !self.memory.chunks.is_empty() {
            self.spill_for_itself(self.memory.slots.slot_bytes())?;
        }
        self.memory.fill = None;
        self.stage = Stage::Runs;
        self.note_reclaimable();
        self.merge_to_fan_in()?;
        let runs = self.memory.runs.len();
        let depth = self.memory.runs.iter().map(|run| u64::from(run.depth())).max().unwrap_or(0);
        self.signals.passes.fetch_max(depth + 1, Ordering::Relaxed);
        self.signals.fan_in.store(runs as u64, Ordering::Relaxed);
        self.run_merge(0..runs)?.open()
    }

    /// The next rows, or nothing when all were given.
    pub(super) fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        self.signals.check_cancelled()?;
        let signals = Arc::clone(&self.signals);
        loop {
            let next = signals.counters.timed(Phase::Output, || self.try_next());
            match next {
                // The rows that are not given yet make room for those that are.
                Err(error) if is_about_memory(&error) && self.stage == Stage::Chunks => {
                    self.spill_for_itself(error.figure(Figure::Requested).unwrap_or(0))?;
                }
                Err(error) if is_about_memory(&error) && self.has_spare_slots() => {
                    self.merge_rest(error.figure(Figure::Requested).unwrap_or(0))?;
                }
                Ok(Some(batch)) => {
                    Counters::add(&signals.rows_out, batch.num_rows() as u64);
                    return Ok(Some(batch));
                }
                other => return other,
            }
        }
    }

    fn try_next(&mut self) -> Result<Option<RecordBatch>> {
        let limits = self.memory.batch_limits();
        let (consumer, mode) = (self.consumer.clone(), self.mode);
        let layout = Arc::clone(self.spec.layout());
        let mut kept = std::mem::take(&mut self.kept);
        let mut merge = match self.stage {
            Stage::Filling => return Err(NOT_READING),
            Stage::Chunks => self.chunk_merge(),
            Stage::Runs => {
                let runs = self.memory.runs.len();
                self.run_merge(0..runs)?
            }
        };
        // What was picked for a batch that there was no memory for is still there.
        let step = if merge.picker.rows() > 0 { Step::Rows } else { merge.step(limits)? };
        match step {
            Step::End => {
                self.end_reading();
                Ok(None)
            }
            Step::Rows | Step::Row(_) => {
                let (chunks, picks) = merge.picked();
                let batch = gather_batch(&layout, chunks, picks, &consumer, mode, &mut kept);
                let batch = batch.map_err(|error| consumer.held_by_caller(error))?;
                merge.take_picks();
                self.kept = kept;
                Ok(Some(batch))
            }
            Step::Chain(lane) => {
                let Source::Runs { runs, reader, .. } = &mut merge.source else {
                    return Err(NOT_READING);
                };
                let run = runs.get(lane as usize).ok_or(NOT_READING)?;
                kept.clear();
                let mut decoder = BlockDecoder::new(layout, consumer, mode);
                let batch = run.decode_wide(reader, &mut decoder)?;
                merge.skip_row(lane)?;
                Ok(Some(batch))
            }
        }
    }

    /// Gives back all that is of no more use.
    fn end_reading(&mut self) {
        self.memory.chunks.clear();
        self.memory.runs.clear();
        self.memory.slots.shrink(0);
        self.consumer.set_reclaimable(0);
    }

    /// Sends all rows as blocks of partition 0; returns how many rows and bytes.
    pub(super) fn write_into(&mut self, sink: &mut dyn PartitionSink) -> Result<(u64, u64)> {
        let signals = Arc::clone(&self.signals);
        let limits = self.memory.block_limits();
        let sent = signals.counters.timed(Phase::Output, || {
            let Self { memory, spec, span, stage, .. } = self;
            let source = match stage {
                Stage::Filling => return Err(NOT_READING),
                Stage::Chunks => Source::Chunks(&memory.chunks),
                Stage::Runs => Source::Runs {
                    runs: &mut memory.runs,
                    reader: &mut memory.reader,
                    slots: &mut memory.slots,
                },
            };
            let mut merge =
                super::merge::merge(spec, *span, &memory.sizes, &mut memory.picker, source);
            let mut target = Target { sink };
            let mut blocks = memory.write.begin_run(&mut target);
            let rows = merge.write_all(limits, &mut memory.encoder, &signals, &mut blocks)?;
            blocks.flush()?;
            Ok((rows, blocks.position()))
        })?;
        Counters::add(&signals.rows_out, sent.0);
        Counters::add(&signals.counters.output_bytes, sent.1);
        self.end_reading();
        Ok(sent)
    }
}

/// A sink as something to write to: offsets do not matter, bytes come in their order.
struct Target<'a> {
    sink: &'a mut dyn PartitionSink,
}

impl ByteSink for Target<'_> {
    fn write_all_at(&mut self, bytes: &[u8], _offset: u64) -> Result<()> {
        self.sink.write(0, bytes)
    }
}

pub(super) fn is_about_memory(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::MemoryLimit | ErrorKind::BudgetHeldByCaller)
}

const NOT_READING: Error = Error::internal("a sort is read before it is finished");
