//! `merge_model`: a sorter whose runs, spills and reads follow the input, against a stable sort.

use std::sync::Arc;

use arrow_array::{BinaryArray, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bywash::{ChargeMode, Codec, MemoryLedger, SortColumn, Sorter, minimum_sort_budget};
use bywash_tests::dirs::Dirs;
use bywash_tests::sort::{SortInput, copy};

/// Input: a byte of settings, then steps: rows with small keys and texts of some length, spills, and,
/// after the last, when to spill while reading.
pub fn merge_model(data: &[u8]) -> bool {
    let Some((settings, steps)) = data.split_first() else {
        return false;
    };
    let fields = [
        Field::new("k", DataType::Int64, true),
        Field::new("t", DataType::Binary, true),
        Field::new("n", DataType::Int64, false),
    ];
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let (mut batches, mut spills, mut next) = (Vec::new(), Vec::new(), 0i64);
    for step in steps.chunks(3).take(STEPS_MAX) {
        let [kind, count, seed] = *step else { break };
        let rows = usize::from(count) * if kind & 4 == 0 { 1 } else { 40 };
        // Long texts are rows larger than a block.
        let len =
            if kind & 8 == 0 { usize::from(kind >> 4) } else { usize::from(kind >> 4) * 9000 };
        let rows = if len > 1000 { rows.min(4) } else { rows };
        let key = |row: usize| {
            let mixed = (row as u64 + 1).wrapping_mul(u64::from(seed) * 2 + 1);
            (mixed % 11 != 10).then_some((mixed % 7).cast_signed())
        };
        let keys: Int64Array = (0..rows).map(key).collect();
        let text = |row: usize| vec![b'a' + seed % 3; if row.is_multiple_of(2) { len } else { 1 }];
        let texts: Vec<Vec<u8>> = (0..rows).map(text).collect();
        let texts: BinaryArray = texts.iter().map(|text| Some(text.as_slice())).collect();
        let end = next + i64::try_from(rows).unwrap_or(0);
        let numbers = Int64Array::from_iter_values(next..end);
        next = end;
        let columns = vec![Arc::new(keys) as _, Arc::new(texts) as _, Arc::new(numbers) as _];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns);
        batches.push(batch.unwrap_or_else(|error| panic!("{error}")));
        spills.push(kind & 1 == 1);
    }
    if batches.is_empty() {
        return false;
    }
    let by = [
        SortColumn { column: 0, descending: settings & 1 == 1, nulls_last: settings & 2 == 2 },
        SortColumn { column: 1, descending: settings & 4 == 4, nulls_last: false },
    ];
    let by = if settings & 8 == 8 { &by[..1] } else { &by[..] };
    let mut input = SortInput::new(&schema, batches, by);
    let codec = if settings & 16 == 16 { Codec::Lz4 } else { Codec::None };
    input.spec = input.spec.with_codec(codec).with_runs_max(2 + usize::from(settings >> 6));
    let sorted = sort(&input, &spills, settings & 32 == 32);
    let sorted = sorted.unwrap_or_else(|error| panic!("{error}"));
    input.check(&sorted).unwrap_or_else(|error| panic!("{error}"));
    true
}

fn sort(input: &SortInput, spills: &[bool], in_memory: bool) -> bywash::Result<Vec<RecordBatch>> {
    let dirs = Dirs::new();
    let minimum = minimum_sort_budget(&input.spec, 1)?;
    let ledger = MemoryLedger::new(minimum + if in_memory { 64 << 20 } else { 1 << 20 });
    let task = ledger.admit(1, minimum)?.remove(0);
    let mut sorter = Sorter::new(&input.spec, &task, &dirs.spill)?;
    for (batch, spill) in input.batches.iter().zip(spills) {
        sorter.write(batch)?;
        if *spill && !in_memory {
            sorter.spill()?;
        }
    }
    let mut sorted = sorter.finish(ChargeMode::Ledger)?;
    let mut batches = Vec::new();
    while let Some(batch) = sorted.next() {
        batches.push(copy(&batch?));
        if spills.get(batches.len()).is_some_and(|spill| *spill) {
            sorted.spill()?;
        }
    }
    Ok(batches)
}

const STEPS_MAX: usize = 12;
