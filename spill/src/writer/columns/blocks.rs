//! Rows of sorted chunks into blocks.

use bywash_core::Result;
use bywash_core::block::{BlockEncoder, ChunkRow, RowSlice};
use bywash_core::cast::to_u32;
use bywash_core::chunk::SortedChunk;
use bywash_core::column::Layout;
use bywash_core::memory::Vector;

use crate::writer::write_buffer::FileSink;

/// Rows of a block at most, whatever they take.
const BLOCK_ROWS_MAX: usize = 1 << 24;

/// What turns rows of chunks into blocks.
pub(super) struct Blocks<'a> {
    pub(super) layout: &'a Layout,
    pub(super) encoder: &'a mut BlockEncoder,
    pub(super) slices: &'a mut Vector<RowSlice>,
}

impl Blocks<'_> {
    /// Appends the rows of one partition, chunk by chunk, as blocks as large as they may be; returns
    /// how many.
    pub(super) fn flush_partition(
        &mut self,
        partition: u32,
        chunks: &mut [SortedChunk],
        sink: &mut FileSink<'_>,
    ) -> Result<u64> {
        let raw_bytes_max = self.encoder.raw_bytes_max();
        let (mut rows, mut data_bytes) = (0usize, 0usize);
        let mut rows_in_all = 0;
        self.slices.clear();
        for index in 0..chunks.len() {
            let Some((mut start, end)) = chunks[index].take_segment(partition) else {
                continue;
            };
            rows_in_all += u64::from(end - start);
            while start < end {
                let chunk = &chunks[index];
                let limit = end.min(start.saturating_add(to_u32(BLOCK_ROWS_MAX - rows)));
                let sizes = self.encoder.sizes();
                let (count, data) =
                    sizes.rows_within(chunk, (start, limit), (rows, data_bytes), raw_bytes_max);
                let slice = RowSlice { chunk: to_u32(index), start, end: start + count };
                if count > 0 && self.slices.push_within_capacity(slice).is_ok() {
                    start += count;
                    rows += count as usize;
                    data_bytes += data;
                } else if rows > 0 {
                    self.encoder.encode(self.layout, partition, chunks, self.slices, sink)?;
                    self.slices.clear();
                    (rows, data_bytes) = (0, 0);
                } else {
                    // One row alone is above a block.
                    let row = ChunkRow { chunk, layout: self.layout, row: start };
                    self.encoder.encode_chain(self.layout, partition, &row, sink)?;
                    start += 1;
                }
            }
        }
        if rows > 0 {
            self.encoder.encode(self.layout, partition, chunks, self.slices, sink)?;
        }
        Ok(rows_in_all)
    }
}
