//! The rows to shuffle: Parquet files or generated lineitem, streamed or decoded before the clock.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bywash_cli::input::Input;
use bywash_cli::lineitem;

use crate::failure::{Result, fail};

/// Where batches come from.
pub(crate) enum Source {
    /// Read again for every run.
    Stream { input: Input, batch_rows: usize, rows_max: usize },
    /// In memory.
    Decoded { schema: SchemaRef, batches: Vec<RecordBatch> },
}

impl Source {
    /// Batches of Parquet files, read again for every run.
    pub(crate) fn open(paths: &[PathBuf], batch_rows: usize, rows_max: usize) -> Result<Self> {
        let input = Input::open(paths).map_err(fail)?;
        Ok(Self::Stream { input, batch_rows, rows_max })
    }

    /// Batches of lineitem, generated now.
    pub(crate) fn generate(scale_factor: f64, batch_rows: usize, rows_max: usize) -> Result<Self> {
        let generated = lineitem::batches(scale_factor, 1, 1, batch_rows);
        Self::decode(generated.map(|batch| batch.map_err(fail)), rows_max)
    }

    /// The same batches, in memory.
    pub(crate) fn decoded(self) -> Result<Self> {
        match self {
            Self::Stream { input, batch_rows, rows_max } => {
                let batches = input.read(input.deal(1).concat(), batch_rows);
                Self::decode(batches.map(|batch| batch.map_err(fail)), rows_max)
            }
            decoded @ Self::Decoded { .. } => Ok(decoded),
        }
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        match self {
            Self::Stream { input, .. } => Arc::clone(input.schema()),
            Self::Decoded { schema, .. } => Arc::clone(schema),
        }
    }

    /// Gives every batch, in order.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        match self {
            Self::Decoded { batches, .. } => batches.iter().try_for_each(each),
            Self::Stream { input, batch_rows, rows_max } => {
                let batches = input.read(input.deal(1).concat(), *batch_rows);
                limited(batches.map(|batch| batch.map_err(fail)), *rows_max)
                    .try_for_each(|batch| each(&batch?))
            }
        }
    }

    fn decode(batches: impl Iterator<Item = Result<RecordBatch>>, rows_max: usize) -> Result<Self> {
        let batches = limited(batches, rows_max).collect::<Result<Vec<_>>>()?;
        let schema = batches.first().ok_or("the input has no rows")?.schema();
        Ok(Self::Decoded { schema, batches })
    }
}

/// Cuts a sequence of batches after so many rows.
fn limited(
    batches: impl Iterator<Item = Result<RecordBatch>>,
    rows_max: usize,
) -> impl Iterator<Item = Result<RecordBatch>> {
    let mut left = rows_max;
    batches.map_while(move |batch| match batch {
        Ok(_) if left == 0 => None,
        Ok(batch) => {
            let rows = batch.num_rows().min(left);
            left -= rows;
            Some(Ok(batch.slice(0, rows)))
        }
        error => Some(error),
    })
}
