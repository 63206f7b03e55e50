//! The rows of the golden files.

use std::sync::Arc;

use arrow_array::{ArrayRef, Decimal128Array, Int32Array, RecordBatch, StringArray, make_array};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, Schema};
use bywash::Codec;
use bywash_core::column::{Layout, Physical};

use crate::types;

/// One golden output.
pub(crate) struct Sample {
    /// Its directory in `tests/golden/v1`.
    pub(crate) name: &'static str,
    pub(crate) codec: Codec,
    pub(crate) partitions: u32,
    pub(crate) batch: RecordBatch,
    /// The partition of each row.
    pub(crate) ids: Vec<u32>,
    /// Whether its bytes depend on this library alone, and not on a version of a codec's.
    pub(crate) reproducible: bool,
}

pub(crate) fn samples() -> Vec<Sample> {
    let mut samples = vec![example()];
    for (name, codec) in
        [("types-none", Codec::None), ("types-lz4", Codec::Lz4), ("types-zstd", Codec::ZSTD)]
    {
        samples.push(every_type(name, codec));
    }
    samples.push(long_row("chain-lz4", Codec::Lz4));
    samples.push(long_row("chain-zstd", Codec::ZSTD));
    samples.push(large_block("frames-lz4", Codec::Lz4));
    samples.push(large_block("frames-zstd", Codec::ZSTD));
    samples
}

/// The worked example of the document.
fn example() -> Sample {
    let fields =
        vec![Field::new("id", DataType::Int32, false), Field::new("name", DataType::Utf8, true)];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![1, 2, 3])),
        Arc::new(StringArray::from(vec![Some("ant"), None, Some("bee")])),
    ];
    sample("example", Codec::None, fields, columns, 3, vec![0, 0, 2])
}

fn every_type(name: &'static str, codec: Codec) -> Sample {
    let rows = 9;
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (name, data_type) in types::all() {
        columns.push(column(&data_type, rows));
        fields.push(Field::new(name, data_type, true));
    }
    let zoned = DataType::Timestamp(arrow_schema::TimeUnit::Nanosecond, Some("+01:00".into()));
    columns.push(column(&zoned, rows));
    let metadata = [("key".to_owned(), "value".to_owned())];
    let metadata: std::collections::HashMap<_, _> = metadata.into_iter().collect();
    fields.push(Field::new("zoned", zoned, true).with_metadata(metadata));
    let ids = (0..rows).map(|row| u32::try_from(row % 4).unwrap());
    sample(name, codec, fields, columns, 5, ids.collect())
}

/// Rows above a block: a chain between ordinary rows.
fn long_row(name: &'static str, codec: Codec) -> Sample {
    let text = |len: usize| "all work and no play ".repeat(len / 21);
    let texts = [text(21), text(300_000), text(42), text(210_000)];
    let fields = vec![
        Field::new("id", DataType::Int32, true),
        Field::new("text", DataType::LargeUtf8, false),
    ];
    let texts = arrow_array::LargeStringArray::from_iter_values(texts);
    let ids = Int32Array::from(vec![Some(1), None, Some(3), Some(4)]);
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(texts)];
    sample(name, codec, fields, columns, 2, vec![0, 0, 0, 1])
}

/// Several frames in a block, several blocks in a partition.
fn large_block(name: &'static str, codec: Codec) -> Sample {
    let rows = 5_000;
    let wide = DataType::Decimal128(20, 0);
    let fields = vec![
        Field::new("a", wide.clone(), false),
        Field::new("b", wide.clone(), true),
        Field::new("text", DataType::Utf8, true),
    ];
    let values = (0..rows).map(|row| i128::try_from(row % 50).unwrap());
    let values = Decimal128Array::from_iter_values(values);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(values.with_precision_and_scale(20, 0).unwrap()),
        column(&wide, rows),
        column(&DataType::Utf8, rows),
    ];
    let ids = (0..rows).map(|row| u32::try_from(row / 4_500).unwrap());
    sample(name, codec, fields, columns, 2, ids.collect())
}

/// Every fourth row is null; values are small, so that they are valid for any type.
fn column(data_type: &DataType, rows: usize) -> ArrayRef {
    let field = Field::new("c", data_type.clone(), true);
    let layout = Layout::try_new(Arc::new(Schema::new(vec![field]))).unwrap();
    let bits = |bit: fn(usize) -> bool| {
        let mut bytes = vec![0u8; rows.div_ceil(8)];
        for row in (0..rows).filter(|&row| bit(row)) {
            bytes[row / 8] |= 1 << (row % 8);
        }
        Buffer::from(bytes)
    };
    let valid = |row: usize| row % 4 != 2;
    let data = ArrayData::builder(data_type.clone()).len(rows);
    let data = match layout.nodes()[0].physical {
        Physical::Null => data,
        Physical::Bool => {
            data.null_bit_buffer(Some(bits(valid))).add_buffer(bits(|row| row % 3 == 0))
        }
        Physical::Fixed { width } => {
            let mut values = vec![0; rows * width as usize];
            for (row, value) in values.chunks_exact_mut(width as usize).enumerate() {
                // Nothing under a null, whose bytes a writer may keep or not.
                value[0] = if valid(row) { u8::try_from(row % 100).unwrap() } else { 0 };
            }
            data.null_bit_buffer(Some(bits(valid))).add_buffer(Buffer::from(values))
        }
        Physical::Variable { wide } => {
            let mut offsets = vec![0u8; if wide { 8 } else { 4 }];
            let mut text = Vec::new();
            for row in 0..rows {
                if valid(row) {
                    text.extend_from_slice(&b"abcdefghij"[..row % 11]);
                }
                let end = text.len() as u64;
                offsets.extend(&end.to_le_bytes()[..if wide { 8 } else { 4 }]);
            }
            data.null_bit_buffer(Some(bits(valid)))
                .add_buffer(Buffer::from(offsets))
                .add_buffer(Buffer::from(text))
        }
    };
    make_array(data.align_buffers(true).build().unwrap())
}

fn sample(
    name: &'static str,
    codec: Codec,
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
    partitions: u32,
    ids: Vec<u32>,
) -> Sample {
    let schema = Arc::new(Schema::new(fields));
    Sample {
        name,
        codec,
        partitions,
        batch: RecordBatch::try_new(schema, columns).unwrap(),
        ids,
        reproducible: codec == Codec::None,
    }
}
