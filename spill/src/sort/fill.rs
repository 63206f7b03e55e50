//! Rows in: staged, sorted a chunk at a time, spilled when memory has no room for the next chunk.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::RecordBatch;
use bywash_core::block::{ArrayRow, RowSource, batch_bytes};
use bywash_core::cast::to_usize;
use bywash_core::chunk::{Fit, SortedChunk};
use bywash_core::column::{ColumnView, Physical};
use bywash_core::key::ViewRows;
use bywash_core::memory::{Area, Consumer, Spill, SpillCause, Vector};
use bywash_core::{ErrorKind, Result};

use super::engine::{Engine, NO_ROOM};
use super::memory::FillMemory;
use crate::merge::SortedRun;
use crate::writer::{Counters, Phase, write_run};

impl Engine {
    /// Stages all rows of a batch of the sort's schema.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let layout = Arc::clone(self.spec.layout());
        let views = layout.views(batch);
        let end = batch.num_rows();
        let mut from = 0;
        while from < end {
            self.signals.check_cancelled()?;
            self.answer_reclaim()?;
            self.make_room_for_runs()?;
            let fill = self.memory.fill.as_mut().ok_or(NO_ROOM)?;
            match fill.staging.fit(&views, from, end)? {
                Fit::Rows(rows) => {
                    let signals = Arc::clone(&self.signals);
                    let before = fill.staging.bytes();
                    signals.counters.timed(Phase::Stage, || {
                        fill.staging.append(&views, from, rows, |_no_partitions| Ok(()))
                    })?;
                    Counters::add(&signals.counters.rows, rows as u64);
                    Counters::add(&signals.counters.bytes, fill.staging.bytes() - before);
                    from += rows;
                }
                Fit::Full => self.sort_staged(false)?,
                Fit::Oversized => {
                    self.write_oversized(&views, from)?;
                    from += 1;
                }
            }
        }
        Ok(())
    }

    /// Sorts the staged rows into a chunk, spilling earlier ones if there is no room for it; when no
    /// rows will follow, it asks for no memory.
    pub(super) fn sort_staged(&mut self, last: bool) -> Result<()> {
        let Some(fill) = &mut self.memory.fill else {
            return Ok(());
        };
        if fill.staging.rows() == 0 {
            return Ok(());
        }
        let bytes = SortedChunk::bytes_for(self.spec.layout(), &fill.staging, 0);
        let area = self.area_for_chunk(bytes, last)?;
        let signals = Arc::clone(&self.signals);
        signals.counters.timed(Phase::Sort, || {
            let FillMemory { staging, sort, .. } = self.memory.fill.as_mut().ok_or(NO_ROOM)?;
            let order = sort.sort(self.spec.key(), staging, staging.rows())?;
            let chunk = SortedChunk::gather_in_order(area, self.spec.layout(), staging, order);
            self.span.add_all(sort.span());
            staging.clear();
            self.memory.chunks.push_within_capacity(chunk).map_err(|_| NO_ROOM)
        })?;
        self.note_reclaimable();
        if last { Ok(()) } else { self.spill_while_cached() }
    }

    /// An area for a chunk, and a place in the lists. Order: what is free, the spare, what other
    /// consumers give, and at last our own chunks; tasks above their share are asked to give at their
    /// next step. At the end it takes the spare at once.
    fn area_for_chunk(&mut self, bytes: usize, last: bool) -> Result<Area> {
        let has_spare =
            |engine: &Self| engine.memory.fill.as_ref().is_some_and(|fill| fill.spare.is_some());
        if !last {
            loop {
                if let Some(area) = self.pooled_area(bytes) {
                    return Ok(area);
                }
                if let Some(area) = self.granted_area(bytes, Area::try_new_if_free)? {
                    return Ok(area);
                }
                // None that is kept holds it: they make room, one after the other.
                let pool = self.memory.fill.as_mut().map(|fill| &mut fill.pool);
                if pool.and_then(Vector::pop).is_none() {
                    break;
                }
            }
            if !has_spare(self)
                && let Some(area) = self.granted_area(bytes, Area::try_new_now)?
            {
                return Ok(area);
            }
        }
        if !has_spare(self) {
            let wanted = self.memory.fill.as_ref().map_or(0, |fill| fill.spare_bytes);
            self.consumer.ask_others(wanted);
            self.spill_for_itself(Area::len_for(bytes) as u64)?;
        }
        self.memory.fill.as_mut().and_then(|fill| fill.spare.take()).ok_or(NO_ROOM)
    }

    /// An area of a chunk that was written out.
    fn pooled_area(&mut self, bytes: usize) -> Option<Area> {
        self.make_places().ok()?;
        let fill = self.memory.fill.as_mut()?;
        let fits = |area: &Area| area.len() >= bytes;
        let place = fill.pool.iter().rposition(fits)?;
        fill.pool.swap_remove(place)
    }

    /// Places in the lists for a chunk and for the spare's.
    fn make_places(&mut self) -> Result<()> {
        let memory = &mut self.memory;
        let chunks = memory.chunks.len() + 2;
        memory.chunks.try_reserve_if_free(2)?;
        if let Some(fill) = &mut memory.fill {
            let places = chunks.saturating_sub(fill.pool.len());
            fill.pool.try_reserve_if_free(places)?;
        }
        memory.picker.try_reserve_if_free(chunks)
    }

    /// A new area, a place in the list and a lane, or nothing if the ledger has no room. Whatever else
    /// keeps it from granting, such as a host that wants this work to stop, is an error.
    fn granted_area(
        &mut self,
        bytes: usize,
        map: fn(&Consumer, usize) -> Result<Area>,
    ) -> Result<Option<Area>> {
        let granted = self.make_places().and_then(|()| map(&self.consumer, bytes));
        match granted {
            Ok(area) => Ok(Some(area)),
            Err(error) if error.kind() == ErrorKind::MemoryLimit => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes one row of the caller's batch as a run of its own. The rows before it are spilled first,
    /// so that equal rows stay in their order.
    fn write_oversized(&mut self, views: &[ColumnView], row: usize) -> Result<()> {
        self.sort_staged(false)?;
        self.spill(SpillCause::OversizedRow)?;
        let signals = Arc::clone(&self.signals);
        let source = ArrayRow { views, row };
        self.span.add(self.spec.key().prefix(&ViewRows(views), row));
        let spilling = self.consumer.begin_spill();
        let (held, start) = (self.consumer.granted(), Instant::now());
        let written: Result<u64> = signals.counters.timed(Phase::Spill, || {
            let layout = self.spec.layout();
            let memory = &mut self.memory;
            let (encoder, write) = (&mut memory.encoder, &mut memory.write);
            let run = write_run(&self.spill_dirs, |file| {
                let mut sink = write.begin_run(file);
                encoder.encode_chain(layout, 0, &source, &mut sink)?;
                sink.flush()?;
                Ok((sink.position(), sink.position()))
            })?;
            let written = run.file_bytes();
            self.add_run(SortedRun::new(run, 1, 0))?;
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
        signals.counters.count_spill(SpillCause::OversizedRow);
        let bytes = row_bytes(self, &source)?;
        let reading = batch_bytes(self.spec.layout(), 1, to_usize(bytes));
        self.memory.reading_bytes = self.memory.reading_bytes.max(reading);
        Counters::add(&signals.counters.rows, 1);
        Counters::add(&signals.counters.bytes, bytes);
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
