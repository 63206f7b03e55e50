//! What is left of many runs into one, while they are read.
//!
//! Merging many runs takes a decoded block of each, out of what memory was free when reading began. Others may be
//! granted what is left of it, or the capacity may fall: then a batch finds none. One run needs a few blocks, so
//! all rows that were not given yet are written once more.

use std::time::Instant;

use bywash_core::memory::{Spill, SpillCause};
use bywash_core::{Error, Result};

use super::engine::{Engine, Stage};
use super::merge::{Source, merge};
use crate::merge::SortedRun;
use crate::writer::{Counters, Phase, write_run};

impl Engine {
    /// Whether [`Engine::merge_rest`] would give memory back.
    pub(super) fn has_spare_slots(&self) -> bool {
        self.stage == Stage::Runs && self.memory.slots.len() > self.memory.sizing.slots
    }

    /// Merges the rows of all runs that were not given out into one run, for the `wanted` bytes of a batch, and
    /// goes on with that. Needs no memory.
    pub(super) fn merge_rest(&mut self, wanted: u64) -> Result<()> {
        self.signals.check_cancelled()?;
        self.kept.clear();
        let spilling = self.consumer.begin_spill();
        let (held, start) = (self.consumer.granted(), Instant::now());
        let signals = std::sync::Arc::clone(&self.signals);
        let merged = signals.counters.timed(Phase::Spill, || self.write_rest());
        let written = merged.as_ref().map_or(0, SortedRun::bytes);
        let failed = merged.is_err();
        if !failed {
            self.memory.picker.clear();
            self.memory.runs.clear();
            self.memory.slots.shrink(self.memory.sizing.slots);
        }
        drop(spilling);
        self.consumer.record_spill(&Spill {
            cause: SpillCause::Pressure,
            asked: Some((self.consumer.party(), wanted)),
            held,
            freed: held - self.consumer.granted(),
            written,
            took: start.elapsed(),
            failed,
        });
        let merged = merged?;
        signals.counters.count_spill(SpillCause::Pressure);
        Counters::add(&signals.counters.spilled_bytes, written);
        Counters::add(&signals.counters.run_merges, 1);
        let passes = u64::from(merged.depth()) + 1;
        signals.passes.fetch_max(passes, std::sync::atomic::Ordering::Relaxed);
        self.memory.runs.push_within_capacity(merged).map_err(|_| NO_PLACE)?;
        self.run_merge(0..1)?.open()
    }

    fn write_rest(&mut self) -> Result<SortedRun> {
        let limits = self.memory.block_limits();
        let depth = self.memory.runs.iter().map(SortedRun::depth).max().unwrap_or(0) + 1;
        let runs = self.memory.runs.len();
        let rows = self.run_merge(0..runs)?.mark()?;
        let memory = &mut self.memory;
        let (write, encoder, runs) = (&mut memory.write, &mut memory.encoder, &mut memory.runs);
        let run = write_run(&self.spill_dirs, |file| {
            let source = Source::Runs {
                runs: &mut *runs,
                reader: &mut memory.reader,
                slots: &mut memory.slots,
            };
            let (sizes, picker) = (&memory.sizes, &mut memory.picker);
            let mut merge = merge(&self.spec, self.span, sizes, picker, source);
            merge.open_at_mark()?;
            let mut sink = write.begin_run(file);
            let written = merge.write_all(limits, encoder, &self.signals, &mut sink)?;
            if written != rows {
                return Err(LOST_ROWS);
            }
            sink.flush()?;
            Ok((sink.position(), sink.position()))
        })?;
        Ok(SortedRun::new(run, rows, depth))
    }
}

const LOST_ROWS: Error = Error::corrupt("a merge of runs has lost rows");
const NO_PLACE: Error = Error::internal("the list of runs has no place for the only one");
