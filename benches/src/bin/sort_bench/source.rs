//! Rows made as they are taken, and what is checked of them.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array, RecordBatch};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bywash::SortColumn;
use bywash_cli::lineitem;
use bywash_core::column::Layout;
use bywash_core::key::{Prefix, SortKey, ViewRows};
use bywash_tests::seed::Rng;

use crate::{Result, fail};

/// Where rows come from.
pub(crate) enum Source {
    Wide { rows: u64, batch_rows: usize, schema: SchemaRef, noise: Vec<u8> },
    Lineitem { factor: f64, batch_rows: usize },
}

impl Source {
    /// Rows of two random int64 and 84 bytes, of which 42 are random and 42 the same.
    pub(crate) fn wide(rows: u64, batch_rows: usize) -> Self {
        let fields = [("k", DataType::Int64), ("v", DataType::Int64), ("p", DataType::Binary)];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, false));
        let mut noise = Rng::new(7).bytes(batch_rows * PAYLOAD_BYTES);
        for value in noise.chunks_exact_mut(PAYLOAD_BYTES) {
            value[PAYLOAD_BYTES / 2..].fill(b'x');
        }
        Self::Wide { rows, batch_rows, schema: Arc::new(Schema::new(fields.to_vec())), noise }
    }

    /// TPC-H's lineitem.
    pub(crate) const fn lineitem(factor: f64, batch_rows: usize) -> Self {
        Self::Lineitem { factor, batch_rows }
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        match self {
            Self::Wide { schema, .. } => Arc::clone(schema),
            Self::Lineitem { .. } => lineitem::batches(0.001, 1, 1, 1)
                .next()
                .and_then(std::result::Result::ok)
                .map_or_else(|| Arc::new(Schema::empty()), |batch| batch.schema()),
        }
    }

    /// The columns it is sorted by unless others are asked for.
    pub(crate) fn order(&self) -> Vec<String> {
        let names: &[&str] = match self {
            Self::Wide { .. } => &["k"],
            Self::Lineitem { .. } => &["l_shipdate", "l_orderkey"],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The rows, the same every time.
    pub(crate) fn batches(&self) -> Box<dyn Iterator<Item = Result<RecordBatch>> + '_> {
        match self {
            Self::Lineitem { factor, batch_rows } => Box::new(
                lineitem::batches(*factor, 1, 1, *batch_rows).map(|batch| batch.map_err(fail)),
            ),
            Self::Wide { rows, batch_rows, schema, noise } => {
                let mut rng = Rng::new(11);
                let starts = (0..*rows).step_by(*batch_rows);
                Box::new(starts.map(move |start| {
                    let count = usize::try_from(rows - start).unwrap_or(*batch_rows);
                    wide_batch(&mut rng, schema, noise, start, count.min(*batch_rows))
                }))
            }
        }
    }
}

fn wide_batch(
    rng: &mut Rng,
    schema: &SchemaRef,
    noise: &[u8],
    start: u64,
    count: usize,
) -> Result<RecordBatch> {
    let keys = (0..count).map(|_| rng.bits().cast_signed());
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
    let numbers = (0..count).map(|row| (start + row as u64).cast_signed());
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(PAYLOAD_BYTES, count));
    let data = Buffer::from(&noise[..count * PAYLOAD_BYTES]);
    let payload: ArrayRef = Arc::new(BinaryArray::try_new(offsets, data, None).map_err(fail)?);
    RecordBatch::try_new(Arc::clone(schema), vec![keys, numbers, payload]).map_err(fail)
}

/// Rows counted, and a sum of their first columns that does not depend on their order.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    rows: u64,
    sum: u64,
    last: Prefix,
}

impl Digest {
    pub(crate) fn add(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        let numbers: Vec<&Int64Array> =
            batch.columns().iter().filter_map(|column| column.as_any().downcast_ref()).collect();
        for row in 0..batch.num_rows() {
            let mut hash = 0u64;
            for column in &numbers {
                let value = if column.is_null(row) { 1 } else { column.value(row).cast_unsigned() };
                hash = (hash ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
            }
            self.sum = self.sum.wrapping_add(hash);
        }
    }

    /// Checks that a batch goes on in the order of its keys.
    pub(crate) fn check_order(
        &mut self,
        batch: &RecordBatch,
        columns: &[SortColumn],
    ) -> Result<()> {
        let layout = Layout::try_new(batch.schema()).map_err(fail)?;
        let key = SortKey::try_new(&layout, columns).map_err(fail)?;
        let views = layout.views(batch);
        let mut prefixes = vec![0; batch.num_rows()];
        key.prefixes(&ViewRows(&views), 0..batch.num_rows(), &mut prefixes);
        for prefix in prefixes {
            if prefix < self.last {
                return Err("rows come out of order".to_owned());
            }
            self.last = prefix;
        }
        Ok(())
    }

    pub(crate) const fn sum(&self) -> u64 {
        self.sum.wrapping_add(self.rows)
    }
}

const PAYLOAD_BYTES: usize = 84;
