//! A batch into staging, and staging into sorted chunks.

use std::sync::Arc;

use arrow_array::RecordBatch;
use bywash_core::chunk::{Fit, SortedChunk};
use bywash_core::column::ColumnView;
use bywash_core::memory::{Area, Consumer};
use bywash_core::{Error, Figure, Result};

use super::Columns;
use crate::writer::engine::{Engine, if_room};
use crate::writer::progress::{Counters, Phase};

impl Engine<Columns> {
    /// Whether a batch and its ids can be written; changes nothing.
    pub(in crate::writer) fn check(&self, batch: &RecordBatch, ids: Option<&[u32]>) -> Result<()> {
        self.spec.layout().check_batch(batch)?;
        match ids {
            Some(_) if self.spec.hash().is_some() => Err(TAKES_NO_IDS),
            Some(ids) => check_ids(ids, batch.num_rows(), self.spec.partitions()),
            None if self.spec.hash().is_none() => Err(NEEDS_IDS),
            None => Ok(()),
        }
    }

    /// Stages all rows of a checked batch; `ids` are their partitions unless the spec hashes.
    pub(in crate::writer) fn write(
        &mut self,
        batch: &RecordBatch,
        ids: Option<&[u32]>,
    ) -> Result<()> {
        let layout = Arc::clone(self.spec.layout());
        let views = layout.views(batch);
        let end = batch.num_rows();
        let mut from = 0;
        while from < end {
            self.shared.check_cancelled()?;
            self.answer_reclaim()?;
            match self.set.rows.staging.fit(&views, from, end)? {
                Fit::Rows(rows) => {
                    self.stage(batch, &views, from, rows, ids)?;
                    from += rows;
                }
                Fit::Full => self.sort_staged()?,
                Fit::Oversized => {
                    let mut id = [0];
                    self.place(batch, from, ids, &mut id)?;
                    self.write_oversized(&views, from, id[0])?;
                    from += 1;
                }
            }
        }
        Ok(())
    }

    /// Sorts the staged rows into a chunk, spilling earlier ones if there is no room for it.
    pub(in crate::writer) fn sort_staged(&mut self) -> Result<()> {
        self.sort(false)
    }

    /// As [`Engine::sort_staged`], when no rows will follow. Needs no memory.
    pub(in crate::writer) fn sort_last(&mut self) -> Result<()> {
        self.sort(true)
    }

    fn sort(&mut self, last: bool) -> Result<()> {
        if self.set.rows.staging.rows() == 0 {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let segments = shared.counters.timed(Phase::Sort, || {
            let segments = self.set.rows.sort.sort(self.set.rows.staging.ids());
            let mut start = 0;
            for (partition, end) in self.set.rows.sort.segments() {
                self.set.partitions.rows[partition as usize] += u64::from(end - start);
                start = end;
            }
            segments
        });
        let area = self.area_for_chunk(segments, last)?;
        shared.counters.timed(Phase::Sort, || {
            let layout = self.spec.layout();
            let sort = &self.set.rows.sort;
            let chunk = SortedChunk::gather(area, layout, &self.set.rows.staging, sort, segments);
            self.set.rows.staging.clear();
            self.set.rows.chunks.push_within_capacity(chunk).map_err(|_| NO_ROOM)
        })?;
        // A writer that is finishing gives at its end, and not before.
        if !last {
            self.note_reclaimable();
        }
        Ok(())
    }

    /// An area for the staged rows, and a place in the list. Order: what is free, the spare, what
    /// other consumers give, and at last our own chunks; tasks above their share are asked to give
    /// at their next step. A finish takes the spare at once: it asks for nothing.
    fn area_for_chunk(&mut self, segments: usize, last: bool) -> Result<Area> {
        let bytes = SortedChunk::bytes_for(self.spec.layout(), &self.set.rows.staging, segments);
        if !last {
            if let Some(area) = self.granted_area(bytes, Area::try_new_if_free)? {
                return Ok(area);
            }
            if self.set.rows.spare.is_none()
                && let Some(area) = self.granted_area(bytes, Area::try_new_now)?
            {
                return Ok(area);
            }
        }
        if self.set.rows.spare.is_none() {
            self.consumer.ask_others(self.set.rows.spare_bytes);
            self.spill_for_itself(Area::len_for(bytes) as u64)?;
        }
        self.set.rows.spare.take().ok_or(NO_ROOM)
    }

    /// A new area and a place in the list, or nothing if the ledger has no room. Whatever else keeps
    /// it from granting, such as a host that wants this work to stop, is an error.
    fn granted_area(
        &mut self,
        bytes: usize,
        map: fn(&Consumer, usize) -> Result<Area>,
    ) -> Result<Option<Area>> {
        // The spare's chunk keeps its place in the list.
        let granted = match self.set.rows.chunks.try_reserve_if_free(2) {
            Ok(()) => map(&self.consumer, bytes),
            Err(error) => Err(error),
        };
        if_room(granted)
    }

    fn stage(
        &mut self,
        batch: &RecordBatch,
        views: &[ColumnView],
        from: usize,
        rows: usize,
        ids: Option<&[u32]>,
    ) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let partitions = self.spec.partitions();
        let hash = self.spec.hash();
        let bytes_before = self.set.rows.staging.bytes();
        shared.counters.timed(Phase::Stage, || {
            self.set.rows.staging.append(views, from, rows, |out| {
                match (hash, ids) {
                    (_, Some(ids)) => out.copy_from_slice(&ids[from..from + rows]),
                    (Some(hash), None) => {
                        hash.partition_ids(batch.columns(), from, partitions, out);
                    }
                    (None, None) => return Err(NEEDS_IDS),
                }
                Ok(())
            })
        })?;
        Counters::add(&shared.counters.rows, rows as u64);
        Counters::add(&shared.counters.bytes, self.set.rows.staging.bytes() - bytes_before);
        Ok(())
    }

    fn place(
        &self,
        batch: &RecordBatch,
        row: usize,
        ids: Option<&[u32]>,
        out: &mut [u32; 1],
    ) -> Result<()> {
        match (self.spec.hash(), ids) {
            (_, Some(ids)) => out[0] = ids[row],
            (Some(hash), None) => {
                hash.partition_ids(batch.columns(), row, self.spec.partitions(), out);
            }
            (None, None) => return Err(NEEDS_IDS),
        }
        Ok(())
    }
}

fn check_ids(ids: &[u32], rows: usize, partitions: u32) -> Result<()> {
    if ids.len() != rows {
        return Err(Error::invalid("there must be one partition id for each row of the batch")
            .with(Figure::Expected, rows)
            .with(Figure::Found, ids.len()));
    }
    match ids.iter().position(|&id| id >= partitions) {
        None => Ok(()),
        Some(row) => Err(Error::invalid("a partition id is not below the number of partitions")
            .with(Figure::Row, row)
            .with(Figure::Partition, ids[row])
            .with(Figure::Partitions, partitions)),
    }
}

const NEEDS_IDS: Error = Error::invalid(
    "this shuffle takes partition ids from its caller; use write_with_ids, or hash columns",
);
const TAKES_NO_IDS: Error = Error::invalid(
    "this shuffle hashes columns; use write, or make the shuffle with Partitioning::Ids",
);
const NO_ROOM: Error = Error::internal("a writer's working set lost its spare area");
