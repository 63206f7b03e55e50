//! Sorts of more rows than the budget holds, at budgets from 16 MiB up: in the order of the oracle, equal rows as
//! they came, and with no more resident than the budget and the library's overhead; once more inside a kernel
//! memory limit of that sum.
//!
//! Each is a process of its own, which makes its rows as they are taken and so has little beside the sort.
//! `deep sort` is the same at scale, of lineitem too, with DuckDB as the judge.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test prints its figures and fails by panicking"
)]

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int64Type};
use arrow_array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bywash::{ChargeMode, MemoryLedger, SortColumn, SortSpec, Sorter, minimum_sort_budget};
use bywash_tests::dirs::Dirs;
use bywash_tests::{cgroup, child, skipped};

const CHILD: &str = "child";
const ROWS: u32 = 300_000;
const BATCH_ROWS: u32 = 8192;
const BUDGETS: [u64; 3] = [16, 32, 64];
/// What the library may have resident beside its budget, on one thread.
const OVERHEAD: u64 = 17 << 20;

/// Rows of two kinds, as lineitem's and as wide as 100 bytes.
#[derive(Clone, Copy)]
enum Shape {
    /// By an int64.
    Wide,
    /// By a date and an int64, nullable.
    Dated,
}

#[test]
fn sorts_hold_their_budget() {
    for mebibytes in BUDGETS {
        for shape in ["wide", "dated"] {
            print!("{}", figures(&child::run(CHILD, &format!("{shape} {mebibytes}"))));
        }
    }
}

#[test]
fn sorts_hold_their_budget_inside_a_kernel_limit() {
    const NAME: &str = "sorts_hold_their_budget_inside_a_kernel_limit";
    if let Err(why) = cgroup::run_limited(OVERHEAD, std::path::Path::new("true"), &[], &[]) {
        return skipped(NAME, &why);
    }
    let arguments = ["--exact", CHILD, "--nocapture", "--test-threads", "1"];
    for mebibytes in BUDGETS {
        for shape in ["wide", "dated"] {
            let job = format!("{shape} {mebibytes}");
            let variables = [(child::VARIABLE, job.as_str())];
            let limit = (mebibytes << 20) + OVERHEAD;
            let limited =
                cgroup::run_limited(limit, &child::executable(), &arguments, &variables).unwrap();
            let out = String::from_utf8_lossy(&limited.output.stdout).into_owned();
            assert!(
                limited.output.status.success() && limited.oom_kills == 0,
                "{job}: {limited:?}\n{out}"
            );
            print!("in a limit: {}", figures(&out));
        }
    }
}

#[test]
fn child() {
    let Some(job) = child::argument() else { return };
    let (shape, mebibytes) = job.split_once(' ').unwrap();
    let shape = if shape == "wide" { Shape::Wide } else { Shape::Dated };
    sort(&job, shape, mebibytes.parse().unwrap());
}

fn sort(job: &str, shape: Shape, mebibytes: u64) {
    let schema = shape.schema();
    let columns: Vec<SortColumn> = (0..shape.key_columns()).map(SortColumn::ascending).collect();
    let spec = SortSpec::new(Arc::clone(&schema), &columns).unwrap();
    // The oracle: a stable sort of row numbers.
    let mut order: Vec<u32> = (0..ROWS).collect();
    order.sort_by_key(|row| shape.key(*row));

    let dirs = Dirs::new();
    let minimum = minimum_sort_budget(&spec, 1).unwrap();
    let ledger = MemoryLedger::new(mebibytes << 20);
    let task = ledger.admit(1, minimum).unwrap().remove(0);
    let mut most = resident();
    let mut sorter = Sorter::new(&spec, &task, &dirs.spill).unwrap();
    for start in (0..ROWS).step_by(BATCH_ROWS as usize) {
        let batch = shape.batch(&schema, start..ROWS.min(start + BATCH_ROWS));
        sorter.write(&batch).unwrap();
        most = most.max(resident());
    }
    let mut sorted = sorter.finish(ChargeMode::Ledger).unwrap();
    let mut expected = order.iter();
    for batch in sorted.by_ref() {
        let batch = batch.unwrap();
        most = most.max(resident());
        for row in 0..batch.num_rows() {
            let number = *expected.next().unwrap();
            shape.check(&batch, row, number);
        }
    }
    assert_eq!(expected.len(), 0, "rows are missing");
    let progress = sorted.progress();
    assert!(mebibytes > 16 || progress.runs > 1, "at 16 MiB nothing was spilled");
    let (granted, live) = (ledger.peak_granted(), ledger.peak_live());
    println!(
        "FIGURES {job} MiB: {} runs, granted {granted}, live {live}, resident {most}",
        progress.runs
    );
    assert!(live <= granted && granted <= ledger.capacity(), "the budget did not hold");
    assert!(most <= ledger.capacity() + OVERHEAD, "{most} bytes are resident");
}

impl Shape {
    fn schema(self) -> SchemaRef {
        let int = |name| Field::new(name, DataType::Int64, false);
        let text = Field::new("text", DataType::Utf8, false);
        let fields = match self {
            Self::Wide => vec![int("key"), int("number"), text],
            Self::Dated => vec![
                Field::new("date", DataType::Date32, true),
                Field::new("key", DataType::Int64, true),
                int("number"),
                text,
            ],
        };
        Arc::new(Schema::new(fields))
    }

    const fn key_columns(self) -> usize {
        match self {
            Self::Wide => 1,
            Self::Dated => 2,
        }
    }

    /// What a row is sorted by; a null comes first. Every key comes several times.
    fn key(self, row: u32) -> (Option<i32>, Option<i64>) {
        let bits = mix(u64::from(row) / 2 % 50_000);
        match self {
            Self::Wide => (None, Some(bits.cast_signed())),
            Self::Dated => {
                let date = i32::try_from(bits % 2500).unwrap() - 300;
                let key = i64::try_from(bits >> 32 & 0xfff).unwrap();
                (
                    (!bits.is_multiple_of(31)).then_some(date),
                    (!bits.is_multiple_of(37)).then_some(key),
                )
            }
        }
    }

    fn batch(self, schema: &SchemaRef, rows: std::ops::Range<u32>) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone().map(i64::from)));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(rows.clone().map(text)));
        let keys: ArrayRef =
            Arc::new(rows.clone().map(|row| self.key(row).1).collect::<Int64Array>());
        let dates: ArrayRef = Arc::new(rows.map(|row| self.key(row).0).collect::<Date32Array>());
        let columns = match self {
            Self::Wide => vec![keys, numbers, texts],
            Self::Dated => vec![dates, keys, numbers, texts],
        };
        RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
    }

    /// Fails unless a row of a batch is this one.
    fn check(self, batch: &RecordBatch, row: usize, number: u32) {
        let first = self.key_columns();
        let integer = |column: usize| {
            let column = batch.column(column).as_primitive::<Int64Type>();
            arrow_array::Array::is_valid(column, row).then(|| column.value(row))
        };
        assert_eq!(integer(first), Some(i64::from(number)), "another row comes here");
        let (date, key) = self.key(number);
        assert_eq!(integer(first - 1), key, "row {number}");
        if let Self::Dated = self {
            let column = batch.column(0).as_primitive::<Date32Type>();
            let found = arrow_array::Array::is_valid(column, row).then(|| column.value(row));
            assert_eq!(found, date, "row {number}");
        }
        let found = batch.column(first + 1).as_string::<i32>().value(row);
        assert_eq!(found, text(number), "row {number}");
    }
}

/// 84 bytes.
fn text(row: u32) -> String {
    let (one, two) = (mix(u64::from(row)), mix(u64::from(row) + (1 << 40)));
    format!("{one:016x}{two:016x}{:>52}", "the same in all rows")
}

const fn mix(value: u64) -> u64 {
    let bits = value.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits ^ (bits >> 31)
}

/// Anonymous and shared memory of this process that is resident, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    };
    (kib("RssAnon:") + kib("RssShmem:")) << 10
}

/// The line of a child, which the harness may have begun.
fn figures(out: &str) -> String {
    let found = out.lines().find_map(|line| line.split_once("FIGURES "));
    found.map_or_else(String::new, |(_, figures)| format!("{figures}\n"))
}
