//! Decoded blocks of runs: as many areas of one size as the budget has.

use bywash_core::cast::to_u32;
use bywash_core::chunk::SortedChunk;
use bywash_core::memory::{Area, Consumer, Vector};
use bywash_core::{Error, Result};

use super::run::Place;

/// Areas that hold a block each.
#[derive(Debug)]
pub(crate) struct Slots {
    chunks: Vector<SortedChunk>,
    /// What each holds.
    origins: Vector<Origin>,
    /// Slots that hold nothing of use.
    free: Vector<u32>,
    /// Slots all of whose rows are picked, and picks refer to.
    pinned: Vector<u32>,
    slot_bytes: usize,
}

/// Where what a slot holds was read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Origin {
    pub(crate) lane: u32,
    pub(crate) place: Place,
}

impl Slots {
    /// So many slots, with room in the lists for no more.
    pub(crate) fn try_new(consumer: &Consumer, count: usize, slot_bytes: usize) -> Result<Self> {
        let mut slots = Self {
            chunks: Vector::try_with_capacity(consumer, count)?,
            origins: Vector::try_with_capacity(consumer, count)?,
            free: Vector::try_with_capacity(consumer, count)?,
            pinned: Vector::try_with_capacity(consumer, count)?,
            slot_bytes,
        };
        for _ in 0..count {
            let chunk = SortedChunk::vacant(Area::try_new(consumer, slot_bytes)?);
            slots.chunks.push_within_capacity(chunk).map_err(|_| NO_SLOT)?;
            slots.origins.push_within_capacity(Origin::default()).map_err(|_| NO_SLOT)?;
        }
        Ok(slots)
    }

    pub(crate) fn bytes_for(count: usize, slot_bytes: usize) -> u64 {
        Vector::<SortedChunk>::bytes_for(count)
            + Vector::<Origin>::bytes_for(count)
            + 2 * Vector::<u32>::bytes_for(count)
            + Area::len_for(slot_bytes) as u64 * count as u64
    }

    /// What a slot more takes.
    pub(crate) fn slot_bytes(&self) -> u64 {
        Area::len_for(self.slot_bytes) as u64
    }

    /// Adds slots while the ledger has memory free, `may_grow` says so and there are fewer than
    /// `count`.
    pub(crate) fn grow(&mut self, consumer: &Consumer, count: usize, may_grow: impl Fn() -> bool) {
        let more = count.saturating_sub(self.chunks.len());
        let lists = self
            .chunks
            .try_reserve_if_free(more)
            .and_then(|()| self.origins.try_reserve_if_free(more))
            .and_then(|()| {
                self.free.clear();
                self.pinned.clear();
                self.free.try_reserve_if_free(count)
            })
            .and_then(|()| self.pinned.try_reserve_if_free(count));
        if lists.is_err() {
            return;
        }
        while self.chunks.len() < count && may_grow() {
            let Ok(area) = Area::try_new_if_free(consumer, self.slot_bytes) else {
                return;
            };
            // There is room in both: it was just made.
            let added = self.origins.push_within_capacity(Origin::default()).is_ok()
                && self.chunks.push_within_capacity(SortedChunk::vacant(area)).is_ok();
            if !added {
                return;
            }
        }
    }

    /// Gives back all slots but `count`.
    pub(crate) fn shrink(&mut self, count: usize) {
        while self.chunks.len() > count {
            drop(self.chunks.pop());
            self.origins.pop();
        }
        self.reset();
    }

    /// Empties all slots.
    pub(crate) fn reset(&mut self) {
        self.free.clear();
        self.pinned.clear();
        for slot in (0..to_u32(self.chunks.len())).rev() {
            self.give_back(slot);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.chunks.len()
    }

    pub(crate) fn chunks(&self) -> &[SortedChunk] {
        &self.chunks
    }

    /// A slot to decode into, if one is free.
    pub(crate) fn take(&mut self) -> Option<u32> {
        self.free.pop()
    }

    pub(crate) fn chunk_mut(&mut self, slot: u32) -> Result<&mut SortedChunk> {
        self.chunks.get_mut(slot as usize).ok_or(NO_SLOT)
    }

    /// Remembers where what a slot holds was read.
    pub(crate) fn set_origin(&mut self, slot: u32, origin: Origin) {
        if let Some(known) = self.origins.get_mut(slot as usize) {
            *known = origin;
        }
    }

    /// Where what a slot holds was read.
    pub(crate) fn origin(&self, slot: u32) -> Result<Origin> {
        self.origins.get(slot as usize).copied().ok_or(NO_SLOT)
    }

    /// A slot that was taken and is of no use.
    pub(crate) fn give_back(&mut self, slot: u32) {
        let kept = self.free.push_within_capacity(slot);
        debug_assert!(kept.is_ok(), "the list has room for every slot");
    }

    /// A slot without rows that are not picked.
    pub(crate) fn pin(&mut self, slot: u32) {
        let kept = self.pinned.push_within_capacity(slot);
        debug_assert!(kept.is_ok(), "the list has room for every slot");
    }

    /// What is picked was gathered: pinned slots are free.
    pub(crate) fn release(&mut self) {
        while let Some(slot) = self.pinned.pop() {
            self.give_back(slot);
        }
    }
}

const NO_SLOT: Error = Error::internal("a merge lost a slot");
