//! Rows made up for a workload: a number each, and a payload that follows from it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use bywash::{
    Codec, CombineSpec, Partitioning, RecordSpec, ShuffleSpec, SortColumn, SortSpec,
    minimum_budget, minimum_sort_budget,
};

use super::engine::Engine;
use super::{Step, Workload};
use crate::combine::Collect;
use crate::records::RecordCall;

/// Rows as they are made up.
pub(super) struct Rows {
    name: &'static str,
    schema: Arc<Schema>,
    codec: Codec,
    engine: Engine,
    steps: Vec<Step>,
    /// Of each row's payload.
    lengths: Vec<usize>,
    expected: Vec<Vec<i64>>,
}

impl Rows {
    /// For a writer of batches.
    pub(super) fn new(name: &'static str, partitions: usize, codec: Codec) -> Self {
        let schema = Arc::new(Schema::new(vec![
            Field::new("number", DataType::Int64, false),
            Field::new("payload", DataType::Utf8, false),
        ]));
        Self {
            name,
            schema,
            codec,
            engine: Engine::Columns,
            steps: Vec::new(),
            lengths: Vec::new(),
            expected: vec![Vec::new(); partitions],
        }
    }

    /// For a writer of records.
    pub(super) fn into_records(mut self) -> Self {
        let spec = RecordSpec::new(self.partitions()).expect("a spec");
        self.engine = Engine::Records(spec.with_codec(self.codec));
        self
    }

    /// For a sort by payload: a spill's rows lie between those of others.
    pub(super) fn into_sort(mut self, into_sink: bool) -> Self {
        let by = [SortColumn::ascending(1)];
        let spec = SortSpec::new(Arc::clone(&self.schema), &by).expect("a spec");
        let spec = spec.with_codec(self.codec).with_runs_max(3);
        self.engine = Engine::Sort { spec, into_sink };
        self
    }

    /// For a combiner: a partition's rows are a group.
    pub(super) fn into_combine(mut self, spec: CombineSpec) -> Self {
        self.engine = Engine::Combine(spec.with_codec(self.codec));
        self
    }

    /// A batch of rows whose payloads have these lengths.
    pub(super) fn write(&mut self, lengths: &[usize]) {
        let mut ids = Vec::with_capacity(lengths.len());
        let next = i64::try_from(self.lengths.len()).expect("few");
        let numbers: Vec<i64> = (next..).take(lengths.len()).collect();
        let payloads: Vec<String> =
            numbers.iter().zip(lengths).map(|(number, len)| payload(*number, *len)).collect();
        for &number in &numbers {
            let partitions = u64::try_from(self.expected.len()).expect("few");
            let mixed = number.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            let id = mixed % partitions;
            ids.push(u32::try_from(id).expect("few"));
            self.expected[usize::try_from(id).expect("few")].push(number);
        }
        self.lengths.extend_from_slice(lengths);
        if matches!(self.engine, Engine::Records(_) | Engine::Combine(_)) {
            let rows = numbers.iter().zip(&payloads);
            let records: Vec<Vec<u8>> =
                rows.map(|(number, payload)| record(*number, payload)).collect();
            let records = ids.iter().copied().zip(records.iter().map(Vec::as_slice));
            self.steps.push(Step::Take(RecordCall::of(records)));
            return;
        }
        let payloads: StringArray = payloads.into_iter().map(Some).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(numbers)), Arc::new(payloads)];
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns).expect("a batch");
        self.steps.push(Step::Write(batch, ids));
    }

    pub(super) fn spill(&mut self) {
        self.steps.push(Step::Spill);
    }

    pub(super) fn finish(mut self, small: bool) -> Workload {
        let spec = ShuffleSpec::new(Arc::clone(&self.schema), self.partitions(), Partitioning::Ids);
        let spec = spec.expect("a spec").with_codec(self.codec);
        let budget = match &self.engine {
            Engine::Columns => minimum_budget(&spec, 1),
            Engine::Records(spec) => spec.minimum_budget(1),
            Engine::Sort { spec, .. } => minimum_sort_budget(spec, 1),
            Engine::Combine(spec) => spec.minimum_budget(&Collect),
        };
        if let Engine::Sort { .. } = self.engine {
            let numbers = self.expected.iter_mut().flatten();
            let len_of = |number: i64| self.lengths[usize::try_from(number).expect("a number")];
            let mut rows: Vec<(String, i64)> =
                numbers.map(|number| (payload(*number, len_of(*number)), *number)).collect();
            rows.sort();
            self.expected = vec![rows.into_iter().map(|(_, number)| number).collect()];
        }
        Workload {
            name: self.name,
            budget: budget.expect("a budget"),
            spec,
            engine: self.engine,
            steps: self.steps,
            expected: self.expected,
            small,
        }
    }

    fn partitions(&self) -> u32 {
        u32::try_from(self.expected.len()).expect("few")
    }
}

/// A row as a record.
fn record(number: i64, payload: &str) -> Vec<u8> {
    [&number.to_le_bytes()[..], payload.as_bytes()].concat()
}

/// The number of a record, if all of it is the record's own.
pub(super) fn number_of(record: &[u8]) -> Option<i64> {
    let (number, payload) = record.split_first_chunk()?;
    let number = i64::from_le_bytes(*number);
    is_payload(str::from_utf8(payload).ok()?, number).then_some(number)
}

/// The rows of a batch as records.
pub(super) fn records_of(batch: &RecordBatch) -> impl Iterator<Item = Vec<u8>> {
    let numbers = batch.column(0).as_primitive::<Int64Type>().values();
    let payloads = batch.column(1).as_string::<i32>();
    numbers.iter().zip(payloads).map(|(number, payload)| record(*number, payload.unwrap_or("")))
}

/// Two bytes that change from row to row, repeated.
fn payload(number: i64, len: usize) -> String {
    pattern(number).chars().cycle().take(len).collect()
}

fn is_payload(text: &str, number: i64) -> bool {
    let pattern = pattern(number);
    let mut parts = text.as_bytes().chunks(pattern.len());
    !text.is_empty() && parts.all(|part| pattern.as_bytes().starts_with(part))
}

fn pattern(number: i64) -> String {
    format!("<{number}>")
}
