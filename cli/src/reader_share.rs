//! How much memory the Parquet readers may take, bounded from the footers before anything is read.
//!
//! A reader holds, per column, one page as stored, the same page decompressed if it is compressed, and
//! the column of the batch it fills. A footer does not say how long the longest page is, but no page
//! is longer than its column chunk; so the bound is exact for files of one page per chunk and wide for
//! files with small pages. Strings of one batch are likewise bounded by those of the row group, twice,
//! because their buffer grows by doubling.

use arrow_schema::{DataType, SchemaRef};
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use crate::input::{Input, count};

/// The most that `tasks` readers take at once, in bytes.
pub(crate) fn reader_share(input: &Input, tasks: usize, batch_rows: usize) -> u64 {
    let rows = u64::try_from(batch_rows).unwrap_or(u64::MAX);
    let one = input.row_groups().map(|group| group_share(input.schema(), group, rows)).max();
    one.unwrap_or(0).saturating_mul(u64::try_from(tasks).unwrap_or(u64::MAX))
}

/// Bytes of a row group's rows as Arrow arrays. A dictionary-encoded string column without size
/// statistics counts as stored, which may be too little.
pub(crate) fn decoded_bytes(schema: &SchemaRef, group: &RowGroupMetaData) -> u64 {
    let rows = count(group.num_rows());
    columns(schema, group)
        .map(|(data_type, chunk)| match fixed_bits(data_type) {
            Some(bits) => rows.saturating_mul(bits) / 8,
            None => value_bytes(chunk).saturating_add(rows.saturating_mul(4)),
        })
        .fold(0, u64::saturating_add)
}

fn group_share(schema: &SchemaRef, group: &RowGroupMetaData, batch_rows: u64) -> u64 {
    columns(schema, group)
        .map(|(data_type, chunk)| {
            let stored = match chunk.compression() {
                Compression::UNCOMPRESSED => 0,
                _ => count(chunk.compressed_size()),
            };
            let rows = batch_rows.min(count(group.num_rows()));
            let batch = match fixed_bits(data_type) {
                Some(bits) => rows.saturating_mul(bits) / 8,
                None => value_bytes(chunk).saturating_add(rows.saturating_mul(4)) * 2,
            };
            stored
                .saturating_add(count(chunk.uncompressed_size()))
                .saturating_add(batch)
                .saturating_add(READ_BUFFER_BYTES)
        })
        .fold(0, u64::saturating_add)
}

fn columns<'a>(
    schema: &'a SchemaRef,
    group: &'a RowGroupMetaData,
) -> impl Iterator<Item = (&'a DataType, &'a ColumnChunkMetaData)> {
    schema.fields().iter().map(|field| field.data_type()).zip(group.columns())
}

/// Bytes of a chunk's strings.
fn value_bytes(chunk: &ColumnChunkMetaData) -> u64 {
    chunk.unencoded_byte_array_data_bytes().map_or_else(|| count(chunk.uncompressed_size()), count)
}

/// Bits per value, or none for types of variable length.
fn fixed_bits(data_type: &DataType) -> Option<u64> {
    match data_type {
        DataType::Null => Some(0),
        DataType::Boolean => Some(1),
        DataType::FixedSizeBinary(width) => Some(u64::try_from(*width).unwrap_or(0) * 8),
        other => other.primitive_width().map(|width| width as u64 * 8),
    }
}

const READ_BUFFER_BYTES: u64 = 8 << 10;
