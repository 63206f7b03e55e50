//! Rows too large to stage: straight from the caller's batch into a run of their own.

use bywash_core::Result;
use bywash_core::block::{ArrayRow, RowSource};
use bywash_core::column::{ColumnView, Layout, Physical};
use bywash_core::memory::SpillCause;

use super::Columns;
use crate::writer::engine::Engine;

impl Engine<Columns> {
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
        let source = ArrayRow { views, row };
        let bytes = row_bytes(self.spec.layout(), &source)?;
        self.spill_one(partition, bytes, |columns, spec, sink| {
            columns.encoder.encode_chain(spec.layout(), partition, &source, sink).map(|_bytes| ())
        })
    }
}

fn row_bytes(layout: &Layout, source: &ArrayRow<'_>) -> Result<u64> {
    let mut bytes = 0;
    for (index, node) in layout.nodes().iter().enumerate() {
        if node.physical != Physical::Null {
            bytes += source.bytes(index)?.len() as u64 + node.physical.length_bytes() as u64;
        }
    }
    Ok(bytes)
}
