//! A call's records into memory.

use std::sync::Arc;

use bywash_core::memory::{Area, SpillCause};
use bywash_core::record::{Appended, RecordInput, RecordMemory};
use bywash_core::{Error, Figure, Result};

use super::RecordRows;
use crate::writer::engine::{Engine, if_room};
use crate::writer::progress::{Counters, Phase};
use crate::writer::rows::Rows;

impl Engine<RecordRows> {
    /// Whether a call's records can be taken; changes nothing.
    pub(in crate::writer) fn check_records(&self, input: &RecordInput<'_>) -> Result<()> {
        let RecordInput { base, offsets, lengths, partitions } = *input;
        let records = offsets.len();
        if lengths.len() != records || partitions.len() != records {
            return Err(Error::invalid(
                "there must be one length and one partition for each record's offset",
            )
            .with(Figure::Expected, records)
            .with(
                Figure::Found,
                if lengths.len() == records { partitions } else { lengths }.len(),
            ));
        }
        let base_bytes = base.len() as u64;
        let is_outside = |(&offset, &length): (&u64, &u32)| {
            offset.checked_add(u64::from(length)).is_none_or(|end| end > base_bytes)
        };
        if let Some(record) = offsets.iter().zip(lengths).position(is_outside) {
            return Err(Error::invalid("a record does not lie in the bytes it was given with")
                .with(Figure::Row, record)
                .with(Figure::Offset, offsets[record])
                .with(Figure::RowBytes, lengths[record])
                .with(Figure::Length, base_bytes));
        }
        let count = self.spec.partitions();
        match partitions.iter().position(|&partition| partition >= count) {
            None => Ok(()),
            Some(record) => {
                Err(Error::invalid("a partition id is not below the number of partitions")
                    .with(Figure::Row, record)
                    .with(Figure::Partition, partitions[record])
                    .with(Figure::Partitions, count))
            }
        }
    }

    /// Takes checked records.
    pub(in crate::writer) fn take(&mut self, input: &RecordInput<'_>) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let end = input.offsets.len();
        let mut from = 0;
        while from < end {
            shared.check_cancelled()?;
            self.answer_reclaim()?;
            let allowed = self.allowed_by_thresholds(input, from);
            if allowed == 0 {
                self.spill(SpillCause::Request)?;
                continue;
            }
            let to = from + allowed;
            let part = RecordInput { lengths: &input.lengths[..to], ..*input };
            let memory = &mut self.set.rows.memory;
            match shared.counters.timed(Phase::Stage, || memory.append(&part, from)) {
                Appended::Records(records, bytes) => {
                    Counters::add(&shared.counters.rows, records as u64);
                    Counters::add(&shared.counters.bytes, bytes as u64);
                    from += records;
                }
                Appended::GroupFull => {
                    self.close_group()?;
                    if if_room(self.set.rows.memory.make_room_if_free())?.is_none() {
                        self.spill_for_itself(self.set.rows.memory.arena_bytes() as u64)?;
                    }
                }
                Appended::ArenaFull => self.next_arena()?,
                Appended::Oversized => {
                    self.take_oversized(input, from)?;
                    from += 1;
                }
            }
        }
        Ok(())
    }

    /// Sorts what is pending. Needs no memory.
    pub(super) fn close_group(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        shared
            .counters
            .timed(Phase::Sort, || self.set.rows.memory.close_group(&mut self.set.partitions.rows))
    }

    /// Records from the `from`-th on that may be added before the writer must spill; none if it must
    /// now.
    fn allowed_by_thresholds(&self, input: &RecordInput<'_>, from: usize) -> usize {
        let lengths = &input.lengths[from..];
        let memory = &self.set.rows.memory;
        let (rows_max, bytes_max) = (self.spec.spill_records(), self.spec.spill_bytes());
        let records = rows_max.saturating_sub(memory.records());
        let records = usize::try_from(records).unwrap_or(usize::MAX).min(lengths.len());
        if bytes_max == u64::MAX {
            return records;
        }
        let mut bytes = memory.bytes();
        let below = |length: &&u32| {
            let is_below = bytes < bytes_max;
            bytes += u64::from(**length);
            is_below
        };
        lengths[..records].iter().take_while(below).count()
    }

    /// An empty arena. Order: one of our own, what is free, what other consumers give, and at last our own records;
    /// tasks above their share are asked to give at their next step.
    fn next_arena(&mut self) -> Result<()> {
        self.close_group()?;
        let bytes = self.set.rows.memory.arena_bytes();
        let room = if_room(self.set.rows.memory.make_room_if_free())?;
        if room.is_some() && self.set.rows.memory.next_arena() {
            return Ok(());
        }
        let area = match room {
            Some(()) => match if_room(Area::try_new_if_free(&self.consumer, bytes))? {
                Some(area) => Some(area),
                None => if_room(Area::try_new_now(&self.consumer, bytes))?,
            },
            None => None,
        };
        if let Some(area) = area {
            self.set.rows.memory.add_arena(area)?;
            self.note_reclaimable();
        } else {
            self.consumer.ask_others(bytes as u64);
            self.spill_for_itself(bytes as u64)?;
        }
        Ok(())
    }

    /// Takes a record that no arena holds: into an area of its own if that is free, else straight
    /// from the caller's bytes into a run of its own, after the records before it.
    fn take_oversized(&mut self, input: &RecordInput<'_>, index: usize) -> Result<()> {
        self.close_group()?;
        let length = input.lengths[index];
        // An arena of our own that waits for records would be in its way.
        self.give_back(RecordRows::release_unused);
        let memory = &mut self.set.rows.memory;
        if if_room(memory.make_room_if_free())?.is_some()
            && let Some(area) =
                if_room(Area::try_new_if_free(&self.consumer, RecordMemory::bytes_alone(length)))?
        {
            memory.append_alone(area, input, index, &mut self.set.partitions.rows)?;
            self.note_reclaimable();
            Counters::add(&self.shared.counters.rows, 1);
            Counters::add(&self.shared.counters.bytes, u64::from(length));
            return Ok(());
        }
        self.spill(SpillCause::OversizedRow)?;
        let partition = input.partitions[index];
        let record = input.record(index);
        self.spill_one(partition, u64::from(length), |rows, _spec, sink| {
            rows.encoder.encode_alone(partition, record, sink)
        })
    }
}
