//! A sort's parts, and where it stands.

use std::sync::Arc;

use bywash_core::block::KeptBlock;
use bywash_core::chunk::SortedChunk;
use bywash_core::key::PrefixSpan;
use bywash_core::memory::{ChargeMode, Consumer, SpillCause};
use bywash_core::{Error, Result};

use super::memory::SortMemory;
use super::progress::SortSignals;
use super::spec::SortSpec;
use crate::spill_dirs::SpillDirs;

/// Everything behind a sort's lock.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) spec: SortSpec,
    pub(super) consumer: Consumer,
    pub(super) memory: SortMemory,
    pub(super) spill_dirs: Arc<SpillDirs>,
    pub(super) signals: Arc<SortSignals>,
    pub(super) stage: Stage,
    pub(super) mode: ChargeMode,
    pub(super) kept: KeptBlock,
    /// Where the keys of all rows so far differ.
    pub(super) span: PrefixSpan,
}

/// Where the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Still coming.
    Filling,
    /// All in chunks in memory, being merged.
    Chunks,
    /// All in runs, being merged.
    Runs,
}

impl Engine {
    /// Spills if somebody asked while this sort was busy.
    pub(super) fn answer_reclaim(&mut self) -> Result<()> {
        if self.consumer.is_wanted() {
            if self.consumer.reclaimable() == 0 {
                // A run now would be a small one, and nobody's gain.
                self.consumer.take_wanted();
                return Ok(());
            }
            self.spill(SpillCause::Reclaim)?;
        }
        Ok(())
    }

    /// Tells the ledger what a spill would give back.
    pub(super) fn note_reclaimable(&self) {
        let held: u64 = self.memory.chunks.iter().map(SortedChunk::bytes).sum();
        let kept = match &self.memory.fill {
            Some(fill) if fill.spare.is_none() => fill.spare_bytes,
            _ => 0,
        };
        self.consumer.set_reclaimable((held + self.pooled()).saturating_sub(kept));
    }

    /// Gives back areas that are kept for chunks to come; returns their bytes.
    pub(super) fn drop_pool(&mut self) -> u64 {
        let bytes = self.pooled();
        if let Some(fill) = &mut self.memory.fill {
            fill.pool.clear();
        }
        bytes
    }

    fn pooled(&self) -> u64 {
        let areas = self.memory.fill.as_ref().map(|fill| fill.pool.iter());
        areas.map_or(0, |areas| areas.map(|area| area.len() as u64).sum())
    }
}

pub(super) const NO_ROOM: Error = Error::internal("a sort's working set lost its spare area");
