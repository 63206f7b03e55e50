//! Spark's hash of rows, over the chosen columns of Arrow batches.
//!
//! Rows go through in strips, so that the running hashes stay in the nearest cache from the first
//! column to the modulus. Nothing here allocates per row or per call.

use arrow_array::ArrayRef;
use arrow_schema::Schema;

use super::column::{Kernel, kernel_of};
use super::murmur3::SEED;
use super::pmod::pmod_all;
use crate::{Error, ErrorKind, Figure, Result};

/// Spark's `hash` (Murmur3, seed 42) over some columns of a schema, checked when it is made.
///
/// ```
/// use std::sync::Arc;
/// use arrow_array::{ArrayRef, Int64Array, StringArray};
/// use arrow_schema::{DataType, Field, Schema};
/// use bywash_core::partition::SparkHash;
///
/// let schema = Schema::new(vec![
///     Field::new("name", DataType::Utf8, true),
///     Field::new("id", DataType::Int64, false),
/// ]);
/// let by_id = SparkHash::try_new(&schema, &[1])?;
/// let columns: [ArrayRef; 2] = [
///     Arc::new(StringArray::from(vec!["a", "b"])),
///     Arc::new(Int64Array::from(vec![1, 2])),
/// ];
/// let mut ids = [0; 2];
/// by_id.partition_ids(&columns, 0, 200, &mut ids);
/// assert_eq!(ids, [69, 128]);
/// # Ok::<(), bywash_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SparkHash {
    columns: Box<[(usize, Kernel)]>,
}

impl SparkHash {
    /// Prepares hashing by `columns`, indexes into the schema; their order counts and one may come
    /// twice, as in Spark. What each type hashes as is in `docs/PARTITIONING.md`.
    ///
    /// # Errors
    /// `InvalidArgument` without a column or for an index that the schema does not have,
    /// `Unsupported` for a type that cannot be hashed.
    pub fn try_new(schema: &Schema, columns: &[usize]) -> Result<Self> {
        if columns.is_empty() {
            return Err(Error::invalid("hash partitioning needs at least one column"));
        }
        let resolve = |&index: &usize| {
            let Some(field) = schema.fields().get(index) else {
                return Err(Error::invalid("a hash column must be an index into the schema")
                    .with(Figure::Column, index)
                    .with(Figure::Length, schema.fields().len()));
            };
            let kernel = kernel_of(field.data_type()).ok_or_else(|| {
                const MESSAGE: &str = "rows cannot be placed by a hash of this column; \
                    cast it, hash other columns or give partition ids";
                Error::new(ErrorKind::Unsupported, MESSAGE)
                    .with_detail(format!("{} is {}", field.name(), field.data_type()))
                    .with(Figure::Column, index)
            })?;
            Ok((index, kernel))
        };
        Ok(Self { columns: columns.iter().map(resolve).collect::<Result<_>>()? })
    }

    /// Writes the hash of rows `start..start + out.len()` of a batch with these columns; Spark's
    /// signed result as its bits. Sliced arrays and garbage under nulls are fine.
    ///
    /// # Panics
    /// When the columns are not those of the schema given to [`Self::try_new`], or are shorter.
    pub fn hash(&self, columns: &[ArrayRef], start: usize, out: &mut [u32]) {
        let mut row = start;
        for strip in out.chunks_mut(STRIP_ROWS) {
            self.hash_strip(columns, row, strip);
            row += strip.len();
        }
    }

    /// Writes the partition of rows `start..start + out.len()`: the floor modulus of their hash.
    ///
    /// # Panics
    /// As [`Self::hash`], and when `partitions` is zero.
    pub fn partition_ids(
        &self,
        columns: &[ArrayRef],
        start: usize,
        partitions: u32,
        out: &mut [u32],
    ) {
        let mut row = start;
        for strip in out.chunks_mut(STRIP_ROWS) {
            self.hash_strip(columns, row, strip);
            pmod_all(strip, partitions);
            row += strip.len();
        }
    }

    fn hash_strip(&self, columns: &[ArrayRef], row: usize, strip: &mut [u32]) {
        strip.fill(SEED);
        for (index, kernel) in &self.columns {
            kernel(&columns[*index], row, strip);
        }
    }
}

/// 8 KiB of hashes.
const STRIP_ROWS: usize = 2048;

#[cfg(test)]
mod tests;
