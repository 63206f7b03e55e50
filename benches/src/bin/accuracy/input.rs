//! What is shuffled: four shapes of data, each a few batches that are written again and again.
//!
//! So the harness's own memory stays the same, however much is shuffled. Every row has a hash, from
//! which the digest of a partition is made: of its rows in their order.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bywash_tests::seed::Rng;

use crate::failure::{Result, fail};

/// The kinds of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Two int64.
    Narrow,
    /// A hundred columns of numbers and short strings.
    Wide,
    /// A key and four strings of up to 200 bytes, a tenth of them null.
    Strings,
    /// Most rows in one partition, and now and then a row larger than a staging chunk.
    Skewed,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [Self::Narrow, Self::Wide, Self::Strings, Self::Skewed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Narrow => "narrow",
            Self::Wide => "wide",
            Self::Strings => "strings",
            Self::Skewed => "skewed",
        }
    }
}

/// Batches and the hash of each row.
pub(crate) struct Input {
    pub(crate) shape: Shape,
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) hashes: Vec<Vec<u64>>,
    /// Bytes of all batches.
    pub(crate) bytes: u64,
}

impl Input {
    /// The batches of `shape`; `huge` is the size of the largest value of the skewed one.
    pub(crate) fn generate(shape: Shape, seed: u64, huge: usize) -> Result<Self> {
        let (count, rows) = match shape {
            Shape::Narrow => (16, 8192),
            Shape::Wide => (4, 2048),
            Shape::Strings | Shape::Skewed => (8, 4096),
        };
        let types = types(shape);
        let fields = (0..).zip(&types).map(|(index, data_type): (usize, _)| {
            Field::new(
                format!("{data_type}_{index}"),
                data_type.clone(),
                *data_type == DataType::Utf8,
            )
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut batches = Vec::new();
        let mut hashes = Vec::new();
        let mut bytes = 0;
        for index in 0..count {
            let huge = (shape == Shape::Skewed && index == 0).then_some(huge);
            let columns = (0u64..).zip(&types).map(|(label, data_type)| {
                let mut rng = Rng::labelled(seed, &[shape as u64, index, label]);
                // The last column alone has the huge value.
                let huge = huge.filter(|_| label + 1 == types.len() as u64);
                column(&mut rng, data_type, rows, longest(shape), huge)
            });
            let batch =
                RecordBatch::try_new(Arc::clone(&schema), columns.collect()).map_err(fail)?;
            let mut of_rows = Vec::with_capacity(rows);
            row_hashes(&batch, |hash| of_rows.push(hash))?;
            bytes += batch.get_array_memory_size() as u64;
            batches.push(batch);
            hashes.push(of_rows);
        }
        Ok(Self { shape, schema, batches, hashes, bytes })
    }
}

/// The digest of a partition's rows so far and one more.
pub(crate) const fn digest(rows: u64, next: u64) -> u64 {
    mix(rows.rotate_left(17) ^ next)
}

/// Gives the hash of each row in order. Allocates nothing.
pub(crate) fn row_hashes(batch: &RecordBatch, mut each: impl FnMut(u64)) -> Result<()> {
    let mut block = [0; 1024];
    for start in (0..batch.num_rows()).step_by(block.len()) {
        let length = (batch.num_rows() - start).min(block.len());
        let hashes = &mut block[..length];
        hashes.fill(0);
        for column in batch.columns() {
            hash_column(column, start, hashes)?;
        }
        hashes.iter().copied().for_each(&mut each);
    }
    Ok(())
}

fn hash_column(column: &ArrayRef, start: usize, hashes: &mut [u64]) -> Result<()> {
    let mut fold = |value: &dyn Fn(usize) -> u64| {
        for (row, hash) in (start..).zip(hashes.iter_mut()) {
            let value = if column.is_valid(row) { value(row) } else { u64::MAX };
            *hash = mix(hash.rotate_left(17) ^ value);
        }
    };
    match column.data_type() {
        DataType::Int64 => {
            let values = column.as_primitive::<Int64Type>().values();
            fold(&|row| values[row].cast_unsigned());
        }
        DataType::Int32 => {
            let values = column.as_primitive::<Int32Type>().values();
            fold(&|row| u64::from(values[row].cast_unsigned()));
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().values();
            fold(&|row| values[row].to_bits());
        }
        DataType::Utf8 => {
            let strings = column.as_string::<i32>();
            fold(&|row| {
                let value = strings.value(row).as_bytes();
                u64::from(crc32c::crc32c(value)) << 32 | value.len() as u64
            });
        }
        other => return Err(fail(format!("no hash for {other}"))),
    }
    Ok(())
}

const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value ^ (value >> 29)
}

fn types(shape: Shape) -> Vec<DataType> {
    match shape {
        Shape::Narrow => vec![DataType::Int64; 2],
        Shape::Wide => (0..100)
            .map(|index| match index % 5 {
                0 | 1 => DataType::Int64,
                2 => DataType::Int32,
                3 => DataType::Float64,
                _ => DataType::Utf8,
            })
            .collect(),
        Shape::Strings => {
            let key = std::iter::once(DataType::Int64);
            key.chain(std::iter::repeat_n(DataType::Utf8, 4)).collect()
        }
        Shape::Skewed => vec![DataType::Int64, DataType::Int32, DataType::Utf8],
    }
}

fn longest(shape: Shape) -> u64 {
    match shape {
        Shape::Narrow | Shape::Wide => 12,
        Shape::Strings | Shape::Skewed => 200,
    }
}

fn column(
    rng: &mut Rng,
    data_type: &DataType,
    rows: usize,
    longest: u64,
    huge: Option<usize>,
) -> ArrayRef {
    match data_type {
        DataType::Int32 => Arc::new(Int32Array::from_iter_values(
            (0..rows).map(|_| i32::try_from(rng.below(1000)).unwrap_or(0)),
        )),
        DataType::Float64 => Arc::new(Float64Array::from_iter_values(
            (0..rows).map(|_| f64::from(u32::try_from(rng.below(1 << 20)).unwrap_or(0)) / 8.0),
        )),
        DataType::Utf8 => Arc::new(strings(rng, rows, longest, huge)),
        _ => Arc::new(Int64Array::from_iter_values(
            (0..rows).map(|_| (rng.bits() >> 24).cast_signed()),
        )),
    }
}

/// Words of a small vocabulary, so that codecs have something to do.
fn strings(
    rng: &mut Rng,
    rows: usize,
    longest: u64,
    huge: Option<usize>,
) -> arrow_array::StringArray {
    const WORDS: &str = "the quick brown fox jumps over a lazy dog while sphinx of black quartz judges \
        my vow and five boxing wizards jump quickly past waltzing nymphs who vex bad grafs at dawn ";
    let text = WORDS.repeat(4);
    let mut builder = StringBuilder::new();
    for row in 0..rows {
        let length = usize::try_from(rng.below(longest + 1)).unwrap_or(0);
        let start = rng.index(text.len() - length);
        match huge {
            Some(huge) if row == rows / 2 => {
                builder.append_value(text.repeat(huge / text.len() + 1));
            }
            _ if rng.chance(10) => builder.append_null(),
            _ => builder.append_value(&text[start..start + length]),
        }
    }
    builder.finish()
}
