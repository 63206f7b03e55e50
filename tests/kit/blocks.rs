//! Batches and records as blocks of any size, by the library's encoder and without a writer around it.

use arrow_array::RecordBatch;
use bywash_core::Result;
use bywash_core::block::{ArrayRow, BlockEncoder, RecordEncoder, RowSlice};
use bywash_core::chunk::{CountingSort, SortedChunk, Staging, StagingSize};
use bywash_core::codec::Codec;
use bywash_core::column::{ColumnView, Layout, Values};
use bywash_core::memory::{Area, Consumer, MemoryLedger};
use bywash_core::port::BlockSink;

/// One batch as one block, or its one row as a chain.
///
/// # Errors
/// Those of the encoder.
pub fn encode_block(
    layout: &Layout,
    codec: Codec,
    raw_bytes: usize,
    partition: u32,
    batch: &RecordBatch,
) -> Result<Vec<u8>> {
    let consumer = MemoryLedger::unlimited().admit(1, 0)?.remove(0).consumer("kit");
    let mut encoder = BlockEncoder::try_new(&consumer, layout, codec, raw_bytes)?;
    let mut sink = VecSink::default();
    let views = layout.views(batch);
    let rows = batch.num_rows();
    let data_bytes = views.iter().map(data_bytes).sum();
    if rows == 1 && encoder.sizes().raw_bytes(1, data_bytes) > raw_bytes {
        let row = ArrayRow { views: &views, row: 0 };
        encoder.encode_chain(layout, partition, &row, &mut sink)?;
        return Ok(sink.bytes);
    }
    let chunk = sorted_chunk(layout, &consumer, &views, rows, data_bytes)?;
    let whole = RowSlice { chunk: 0, start: 0, end: chunk.rows() };
    encoder.encode(layout, partition, &[chunk], &[whole], &mut sink)?;
    Ok(sink.bytes)
}

/// Records as blocks.
///
/// # Errors
/// Those of the encoder.
pub fn encode_records(
    codec: Codec,
    raw_bytes: usize,
    partition: u32,
    records: &[Vec<u8>],
) -> Result<Vec<u8>> {
    let consumer = MemoryLedger::unlimited().admit(1, 0)?.remove(0).consumer("kit");
    let mut encoder = RecordEncoder::try_new(&consumer, codec, raw_bytes)?;
    let mut sink = VecSink::default();
    for record in records {
        encoder.push(partition, record, &mut sink)?;
    }
    encoder.finish_block(partition, &mut sink)?;
    Ok(sink.bytes)
}

fn sorted_chunk(
    layout: &Layout,
    consumer: &Consumer,
    views: &[ColumnView],
    rows: usize,
    data_bytes: usize,
) -> Result<SortedChunk> {
    let size = StagingSize { rows, data_bytes };
    let mut staging = Staging::try_new(consumer, layout, size)?;
    staging.append(views, 0, rows, |ids| {
        ids.fill(0);
        Ok(())
    })?;
    let mut sort = CountingSort::try_new(consumer, rows, 1)?;
    let segments = sort.sort(staging.ids());
    let bytes = SortedChunk::bytes_for(layout, &staging, segments);
    let area = Area::try_new(consumer, bytes)?;
    Ok(SortedChunk::gather(area, layout, &staging, &sort, segments))
}

/// Bytes of variable data under rows that are not null.
fn data_bytes(view: &ColumnView) -> usize {
    let rows = match view.values() {
        Values::Narrow(offsets, _) => offsets.len() - 1,
        Values::Wide(offsets, _) => offsets.len() - 1,
        _ => 0,
    };
    (0..rows).map(|row| view.data_range(row).map_or(0, |range| range.len())).sum()
}

/// Blocks gathered in memory.
#[derive(Debug, Default)]
struct VecSink {
    bytes: Vec<u8>,
    space: Vec<u8>,
}

impl BlockSink for VecSink {
    fn space(&mut self, len: usize) -> Result<&mut [u8]> {
        self.space.clear();
        // Not zeros: an encoder that leaves a byte unwritten is found out.
        self.space.resize(len, 0xa5);
        Ok(&mut self.space)
    }

    fn advance(&mut self, len: usize) {
        self.bytes.extend_from_slice(&self.space[..len]);
    }
}
