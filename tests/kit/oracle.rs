//! The naive shuffle: all rows of all batches, put in order of partition and then of arrival.

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave;

/// What a shuffle must give back: per partition, rows in insertion order.
#[derive(Debug)]
pub struct Oracle {
    schema: SchemaRef,
    rows: RecordBatch,
    starts: Vec<usize>,
}

impl Oracle {
    /// Shuffles `batches` by `ids`, one id for each row.
    pub fn new(
        schema: &SchemaRef,
        batches: &[RecordBatch],
        ids: &[Vec<u32>],
        partitions: u32,
    ) -> Self {
        let mut order: Vec<(u32, usize, usize)> = Vec::new();
        for (batch, ids) in ids.iter().enumerate() {
            assert_eq!(ids.len(), batches[batch].num_rows(), "one id for each row");
            order.extend(ids.iter().enumerate().map(|(row, &id)| (id, batch, row)));
        }
        order.sort_unstable(); // By partition, then batch, then row: arrival order within a partition.

        let starts = (0..=partitions)
            .map(|partition| order.partition_point(|&(id, _, _)| id < partition))
            .collect();
        let at: Vec<(usize, usize)> = order.iter().map(|&(_, batch, row)| (batch, row)).collect();
        let columns = (0..schema.fields().len()).map(|column| {
            let arrays: Vec<&dyn Array> =
                batches.iter().map(|b| b.column(column).as_ref()).collect();
            interleave(&arrays, &at).expect("arrays of one type")
        });
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(order.len()));
        let rows = if batches.is_empty() {
            RecordBatch::new_empty(Arc::clone(schema))
        } else {
            RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect(), &options)
                .expect("columns of the schema")
        };
        Self { schema: Arc::clone(schema), rows, starts }
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> u32 {
        u32::try_from(self.starts.len() - 1).expect("it came from a u32")
    }

    /// The rows that belong to `partition`.
    pub fn row_count(&self, partition: u32) -> usize {
        self.starts[partition as usize + 1] - self.starts[partition as usize]
    }

    /// Compares what was read from `partition` with what belongs there.
    ///
    /// # Errors
    ///
    /// A text naming partition, row, column and both values.
    pub fn check(&self, partition: u32, read: &[RecordBatch]) -> Result<(), String> {
        let mut check = self.partition(partition);
        read.iter().try_for_each(|batch| check.next(batch))?;
        check.end()
    }

    /// The same, one batch at a time.
    pub fn partition(&self, partition: u32) -> Check<'_> {
        Check { oracle: self, partition, rows: 0, batches: 0 }
    }
}

/// The comparison of one partition's batches as they come.
#[derive(Debug)]
pub struct Check<'a> {
    oracle: &'a Oracle,
    partition: u32,
    rows: usize,
    batches: usize,
}

impl Check<'_> {
    /// Compares the next batch.
    ///
    /// # Errors
    ///
    /// As [`Oracle::check`].
    pub fn next(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let (oracle, partition) = (self.oracle, self.partition);
        let expected = oracle.row_count(partition);
        let after = self.rows + batch.num_rows();
        if after > expected {
            return Err(format!("partition {partition}: {expected} rows expected, {after} read"));
        }
        if batch.schema() != oracle.schema {
            let (ours, theirs) = (&oracle.schema, batch.schema());
            return Err(format!("partition {partition}: schema {ours:?}, read {theirs:?}"));
        }
        let start = oracle.starts[partition as usize] + self.rows;
        let want = oracle.rows.slice(start, batch.num_rows());
        for column in 0..oracle.schema.fields().len() {
            let (want, have) = (want.column(column), batch.column(column));
            compare(want, have).map_err(|what| {
                format!(
                    "partition {partition} of {}, batch {} (from row {} of {expected}), column \
                     {column} ({}): {what}",
                    oracle.partitions(),
                    self.batches,
                    self.rows,
                    want.data_type(),
                )
            })?;
        }
        self.rows = after;
        self.batches += 1;
        Ok(())
    }

    /// Nothing more comes.
    ///
    /// # Errors
    ///
    /// When rows are missing.
    pub fn end(self) -> Result<(), String> {
        let (partition, expected) = (self.partition, self.oracle.row_count(self.partition));
        if self.rows == expected {
            return Ok(());
        }
        Err(format!("partition {partition}: {expected} rows expected, {} read", self.rows))
    }
}

/// Equal types, nulls and bits of values (so NaN payloads count; what lies under nulls does not).
fn compare(want: &dyn Array, have: &dyn Array) -> Result<(), String> {
    let data = have.to_data();
    data.validate_full().map_err(|error| format!("not a valid array: {error}"))?;
    if want.data_type() != have.data_type() {
        return Err(format!("type {} expected, {} read", want.data_type(), have.data_type()));
    }
    if want.to_data() == data {
        return Ok(());
    }
    for row in 0..want.len() {
        let (one, other) = (want.slice(row, 1), have.slice(row, 1));
        if one.to_data() != other.to_data() {
            return Err(format!("row {row}: {} expected, {} read", show(&one), show(&other)));
        }
    }
    Err("the arrays differ, but no single row does".to_owned())
}

fn show(value: &dyn Array) -> String {
    if value.is_null(0) {
        return "null".to_owned();
    }
    let options = FormatOptions::default();
    let text = ArrayFormatter::try_new(value, &options)
        .map_or_else(|error| error.to_string(), |format| format.value(0).to_string());
    format!("{:?} ({} chars)", text.chars().take(80).collect::<String>(), text.chars().count())
}

#[cfg(test)]
mod tests {
    use arrow_array::{Float64Array, Int32Array};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;
    use crate::generate::Plan;
    use crate::seed::{Rng, run_seed};

    fn ints(values: &[i32]) -> RecordBatch {
        RecordBatch::try_from_iter([("v", Arc::new(Int32Array::from(values.to_vec())) as _)])
            .unwrap()
    }

    #[test]
    fn keeps_arrival_order_within_a_partition() {
        let batches = [ints(&[1, 2, 3]), ints(&[]), ints(&[4, 5])];
        let oracle =
            Oracle::new(&batches[0].schema(), &batches, &[vec![2, 0, 2], vec![], vec![0, 2]], 3);
        assert_eq!(oracle.check(0, &[ints(&[2, 4])]), Ok(()));
        assert_eq!(oracle.check(1, &[]), Ok(()));
        assert_eq!(oracle.check(2, &[ints(&[1]), ints(&[3, 5])]), Ok(()));
        assert!(oracle.check(0, &[ints(&[4, 2])]).unwrap_err().contains("row 0"));
        assert!(oracle.check(1, &[ints(&[1])]).unwrap_err().contains("0 rows expected"));
    }

    #[test]
    fn tells_nan_from_nan_and_zero_from_minus_zero() {
        let batch = |value: f64| {
            let array: arrow_array::ArrayRef = Arc::new(Float64Array::from(vec![value]));
            RecordBatch::try_from_iter([("v", array)]).unwrap()
        };
        let nan = batch(f64::NAN);
        let oracle = Oracle::new(&nan.schema(), std::slice::from_ref(&nan), &[vec![0]], 1);
        assert_eq!(oracle.check(0, &[nan]), Ok(()));
        assert!(oracle.check(0, &[batch(f64::from_bits(0x7ff8_0000_0000_0001))]).is_err());
        let zero = batch(0.0);
        let oracle = Oracle::new(&zero.schema(), &[zero], &[vec![0]], 1);
        assert!(oracle.check(0, &[batch(-0.0)]).is_err());
    }

    #[test]
    fn counts_rows_without_columns() {
        let schema = Arc::new(Schema::empty());
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(3));
        let batch =
            RecordBatch::try_new_with_options(Arc::clone(&schema), vec![], &options).unwrap();
        let oracle = Oracle::new(&schema, std::slice::from_ref(&batch), &[vec![1, 1, 1]], 2);
        assert_eq!(oracle.check(1, &[batch]), Ok(()));
        assert_eq!(oracle.row_count(0), 0);
    }

    #[test]
    fn finds_every_generated_input_equal_to_itself() {
        for case in 0..100 {
            let plan = Plan::random(&mut Rng::labelled(run_seed(), &[case]), 8, 2000);
            let batches = plan.batches();
            let ids: Vec<Vec<u32>> = plan.batch_rows.iter().map(|&rows| vec![0; rows]).collect();
            let oracle = Oracle::new(&plan.schema(), &batches, &ids, 1);
            assert_eq!(oracle.check(0, &batches), Ok(()), "{plan:?}");
        }
    }

    #[test]
    fn refuses_another_schema() {
        let batch = ints(&[1]);
        let oracle = Oracle::new(&batch.schema(), std::slice::from_ref(&batch), &[vec![0]], 1);
        let other = Arc::new(Schema::new(vec![Field::new("w", DataType::Int32, false)]));
        let renamed = RecordBatch::try_new(other, batch.columns().to_vec()).unwrap();
        assert!(oracle.check(0, &[renamed]).unwrap_err().contains("schema"));
    }
}
