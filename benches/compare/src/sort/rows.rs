//! The rows to be sorted, made as they are taken.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::failure::Result;

/// Rows of a batch.
pub(super) const BATCH_ROWS: usize = 8192;
/// Bytes of a row's text: half of it random, half one of a few phrases.
const TEXT_BYTES: usize = 84;
const PHRASES: u64 = 64;
/// Batches of text there are, used again and again.
const TEXTS: usize = 16;

#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    /// A random int64, the row's number, and text.
    Wide { rows: u64 },
    /// TPC-H's lineitem of a scale factor.
    #[cfg(feature = "datafusion")]
    Lineitem(f64),
}

/// Batches one after another.
pub(super) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

impl Source {
    /// The names of the columns to sort by.
    pub(super) const fn order(self) -> &'static [&'static str] {
        match self {
            Self::Wide { .. } => &["key"],
            #[cfg(feature = "datafusion")]
            Self::Lineitem(_) => &["l_shipdate", "l_orderkey"],
        }
    }

    pub(super) fn title(self) -> String {
        match self {
            Self::Wide { rows } => format!("{rows} rows x 100 bytes by an int64"),
            #[cfg(feature = "datafusion")]
            Self::Lineitem(factor) => {
                format!("lineitem of scale factor {factor} by (l_shipdate, l_orderkey)")
            }
        }
    }

    /// Schema and rows, the same every time.
    pub(super) fn open(self) -> Result<(SchemaRef, Batches)> {
        match self {
            Self::Wide { rows } => Ok(wide(rows)),
            #[cfg(feature = "datafusion")]
            Self::Lineitem(factor) => lineitem(factor),
        }
    }
}

fn wide(rows: u64) -> (SchemaRef, Batches) {
    let fields = [("key", DataType::Int64), ("number", DataType::Int64), ("text", DataType::Utf8)];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, false));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let mut noise = Random(7);
    let texts: Vec<Buffer> = (0..TEXTS).map(|_| text(&mut noise)).collect();
    let mut keys = Random(11);
    let of_batch = Arc::clone(&schema);
    let batches = (0..rows).step_by(BATCH_ROWS).enumerate().map(move |(index, start)| {
        let count = usize::try_from(rows - start).unwrap_or(BATCH_ROWS).min(BATCH_ROWS);
        let key = Int64Array::from_iter_values((0..count).map(|_| keys.next().cast_signed()));
        let numbers = start.cast_signed()..(start + count as u64).cast_signed();
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(TEXT_BYTES, count));
        let text = texts[index % TEXTS].slice_with_length(0, count * TEXT_BYTES);
        let columns: [ArrayRef; 3] = [
            Arc::new(key),
            Arc::new(Int64Array::from_iter_values(numbers)),
            Arc::new(StringArray::try_new(offsets, text, None)?),
        ];
        Ok(RecordBatch::try_new(Arc::clone(&of_batch), columns.to_vec())?)
    });
    (schema, Box::new(batches))
}

/// The text of a batch's rows.
fn text(random: &mut Random) -> Buffer {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut phrases = Random(3);
    let letters = |random: &mut Random, bytes: &mut Vec<u8>| {
        let letter = |_| LETTERS[(random.next() % 64) as usize];
        bytes.extend((0..TEXT_BYTES / 2).map(letter));
    };
    let mut all = Vec::new();
    (0..PHRASES).for_each(|_| letters(&mut phrases, &mut all));
    let mut bytes = Vec::with_capacity(BATCH_ROWS * TEXT_BYTES);
    for _ in 0..BATCH_ROWS {
        letters(random, &mut bytes);
        let phrase = (random.next() % PHRASES) as usize * (TEXT_BYTES / 2);
        bytes.extend_from_slice(&all[phrase..phrase + TEXT_BYTES / 2]);
    }
    Buffer::from_vec(bytes)
}

/// SplitMix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

/// Lineitem with its strings as Utf8.
#[cfg(feature = "datafusion")]
fn lineitem(factor: f64) -> Result<(SchemaRef, Batches)> {
    use arrow_cast::cast;
    use tpchgen::generators::LineItemGenerator;
    use tpchgen_arrow::{LineItemArrow, RecordBatchIterator};

    let generator = LineItemGenerator::new(factor, 1, 1);
    let items = LineItemArrow::new(generator).with_batch_size(BATCH_ROWS);
    let plain = items.schema().fields().iter().map(|field| match field.data_type() {
        DataType::Utf8View => field.as_ref().clone().with_data_type(DataType::Utf8),
        _ => field.as_ref().clone(),
    });
    let schema = Arc::new(Schema::new(plain.collect::<Vec<_>>()));
    let of_batch = Arc::clone(&schema);
    let batches = items.map(move |batch| {
        let types = of_batch.fields().iter().map(|field| field.data_type());
        let columns = batch.columns().iter().zip(types);
        let columns =
            columns.map(|(column, to)| cast(column, to)).collect::<std::result::Result<_, _>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&of_batch), columns)?)
    });
    Ok((schema, Box::new(batches)))
}
