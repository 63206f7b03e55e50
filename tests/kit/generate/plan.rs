//! A random input as plain numbers: schema, batches, metadata.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::column::{Texture, column};
use super::types::random_type;
use crate::seed::Rng;

/// One column: its type and what its values look like.
#[derive(Debug, Clone)]
pub struct ColumnPlan {
    /// The data type.
    pub data_type: DataType,
    /// Whether the field is nullable; if not there are no nulls.
    pub nullable: bool,
    /// Nulls in 100 values, where nullable.
    pub null_percent: u64,
    /// What the values look like.
    pub texture: Texture,
    /// The longest string.
    pub value_bytes_max: usize,
    /// The stream of this column, kept when columns beside it go.
    pub label: u64,
}

/// An input: columns and the rows of each batch. The same numbers give the same data.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Seed of all values.
    pub seed: u64,
    /// The columns; may be none.
    pub columns: Vec<ColumnPlan>,
    /// Rows of each batch; zeros are empty batches.
    pub batch_rows: Vec<usize>,
    /// Metadata on the schema and on every third field.
    pub metadata: bool,
}

impl Plan {
    /// At most `columns_max` columns and `rows_max` rows.
    pub fn random(rng: &mut Rng, columns_max: usize, rows_max: usize) -> Self {
        let columns: Vec<ColumnPlan> = (0..rng.size(0, columns_max) as u64)
            .map(|label| ColumnPlan::random(rng, random_type, label))
            .collect();
        let rows = if rng.chance(30) { rng.size(0, rows_max) } else { rng.index(rows_max + 1) };
        let batches = rng.size(0, 12);
        let mut batch_rows: Vec<usize> = match batches {
            0 => vec![],
            _ => (0..batches).map(|_| rng.index(2 * rows / batches + 1)).collect(),
        };
        if rng.chance(25) {
            batch_rows.insert(rng.index(batch_rows.len() + 1), 0);
        }
        Self { seed: rng.bits(), columns, batch_rows, metadata: rng.chance(30) }
    }

    /// The schema.
    pub fn schema(&self) -> SchemaRef {
        let fields: Vec<Field> = self
            .columns
            .iter()
            .map(|column| {
                // Names need not be unique, nor be anything at all.
                let name = match column.label % 7 {
                    5 => String::new(),
                    6 => "same".to_owned(),
                    label => format!("column {label} \u{fc}"),
                };
                let field = Field::new(name, column.data_type.clone(), column.nullable);
                if self.metadata && column.label.is_multiple_of(3) {
                    field.with_metadata(metadata("field"))
                } else {
                    field
                }
            })
            .collect();
        let metadata = if self.metadata { metadata("schema") } else { HashMap::new() };
        Arc::new(Schema::new_with_metadata(fields, metadata))
    }

    /// All batches in order.
    pub fn batches(&self) -> Vec<RecordBatch> {
        let schema = self.schema();
        self.batch_rows
            .iter()
            .enumerate()
            .map(|(batch, &rows)| {
                let columns: Vec<ArrayRef> =
                    self.columns.iter().map(|c| c.array(self.seed, batch as u64, rows)).collect();
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
                    .expect("columns of the schema")
            })
            .collect()
    }

    /// Rows of all batches.
    pub fn rows(&self) -> usize {
        self.batch_rows.iter().sum()
    }

    /// Plans one step smaller, the biggest cut first.
    pub fn smaller(&self) -> Vec<Self> {
        let mut plans = Vec::new();
        let batches = self.batch_rows.len();
        if batches > 1 {
            plans
                .push(Self { batch_rows: self.batch_rows[..batches / 2].to_vec(), ..self.clone() });
            plans
                .push(Self { batch_rows: self.batch_rows[batches / 2..].to_vec(), ..self.clone() });
        }
        for cut in [2, 8] {
            let batch_rows: Vec<usize> =
                self.batch_rows.iter().map(|rows| rows - rows.div_ceil(cut)).collect();
            if batch_rows != self.batch_rows {
                plans.push(Self { batch_rows, ..self.clone() });
            }
        }
        if batches == 1 && self.batch_rows[0] > 0 {
            plans.push(Self { batch_rows: vec![self.batch_rows[0] - 1], ..self.clone() });
        }
        for index in 0..self.columns.len() {
            let mut columns = self.columns.clone();
            columns.remove(index);
            plans.push(Self { columns, ..self.clone() });
        }
        for index in 0..self.columns.len() {
            if self.columns[index].null_percent > 0 {
                let mut columns = self.columns.clone();
                columns[index].null_percent = 0;
                plans.push(Self { columns, ..self.clone() });
            }
        }
        if self.metadata {
            plans.push(Self { metadata: false, ..self.clone() });
        }
        plans
    }
}

impl ColumnPlan {
    /// A column of a type that `choose` takes.
    pub fn random(rng: &mut Rng, choose: fn(&mut Rng) -> DataType, label: u64) -> Self {
        let data_type = choose(rng);
        // Arrow wants the null type to be nullable.
        let nullable = data_type == DataType::Null || rng.chance(70);
        Self {
            data_type,
            nullable,
            null_percent: if nullable { *rng.pick(&[0, 1, 10, 50, 99, 100]) } else { 0 },
            texture: Texture::random(rng),
            value_bytes_max: *rng.pick(&[0, 5, 40, 300, 5000]),
            label,
        }
    }

    /// Of `data_type`, nullable, with noise in it.
    pub const fn plain(data_type: DataType, label: u64) -> Self {
        Self {
            data_type,
            nullable: true,
            null_percent: 10,
            texture: Texture::Noise,
            value_bytes_max: 60,
            label,
        }
    }

    fn array(&self, seed: u64, batch: u64, rows: usize) -> ArrayRef {
        let mut rng = Rng::labelled(seed, &[self.label, batch]);
        let nulls = if self.nullable { self.null_percent } else { 0 };
        column(&mut rng, &self.data_type, rows, nulls, self.texture, self.value_bytes_max)
    }
}

fn metadata(whose: &str) -> HashMap<String, String> {
    [("whose", whose), ("", "empty key"), ("empty value", "")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::run_seed;

    #[test]
    fn the_same_numbers_give_the_same_data() {
        for case in 0..50 {
            let plan = Plan::random(&mut Rng::labelled(run_seed(), &[case]), 8, 2000);
            assert_eq!(plan.batches(), plan.batches());
            assert_eq!(
                plan.rows(),
                plan.batches().iter().map(RecordBatch::num_rows).sum::<usize>()
            );
        }
    }

    #[test]
    fn every_cut_is_smaller_so_that_shrinking_ends() {
        let plan = Plan::random(&mut Rng::labelled(run_seed(), &[3]), 8, 2000);
        let size = |p: &Plan| {
            let nulls: usize = p.columns.iter().filter(|c| c.null_percent > 0).count();
            p.rows() + p.batch_rows.len() + p.columns.len() + nulls + usize::from(p.metadata)
        };
        for smaller in plan.smaller() {
            assert!(size(&smaller) < size(&plan));
        }
    }
}
