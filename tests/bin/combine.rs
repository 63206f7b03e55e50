//! Grouping at scale, compared with DuckDB's answer: `deep combine [--cases ROWS]`.
//!
//! Rows are made by arithmetic that both do: row `i` has pseudo-random numbers `x` and `y` below
//! 2^24, a key made of them, and a value made of `i`. Both answer with a digest over all groups.
//!
//! Every budget is a process of its own, so that the kernel's peak of its resident memory is that of
//! this one combine: it stays within the budget and the library's stated overhead. A quota on the spill
//! directory holds the disk to [`DISK_BYTES`].
//!
//! Equal hashes: a good hash takes all keys apart, so the hash is one that takes none apart, on no
//! level, and every row goes the way of the sort by key.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bywash::{
    Aggregate, ChargeMode, ColumnCombiner, CombineSpec, FsStore, GroupSpec, MemoryLedger,
    SpillOptions,
};
use bywash_tests::case::admit;
use bywash_tests::dirs::Dirs;
use bywash_tests::{child, skipped};

use crate::python;

/// The keys of one run: a name, and the same expression for both.
struct Keys {
    name: &'static str,
    sql: &'static str,
    key: fn(i64, i64) -> i64,
    constant_hash: bool,
}

const KEYS: [Keys; 5] = [
    Keys { name: "1 key", sql: "0", key: |_, _| 0, constant_hash: false },
    Keys { name: "1,000 keys", sql: "x % 1000", key: |x, _| x % 1000, constant_hash: false },
    Keys {
        name: "10 M keys",
        sql: "x % 10000000",
        key: |x, _| x % 10_000_000,
        constant_hash: false,
    },
    Keys { name: "Zipf", sql: "x >> (y % 24)", key: |x, y| x >> (y % 24), constant_hash: false },
    Keys { name: "equal hashes", sql: "x % 100000", key: |x, _| x % 100_000, constant_hash: true },
];

/// Above the stated minimum.
const BUDGETS: [u64; 4] = [0, 16 << 20, 256 << 20, 2 << 30];

/// Runs all; false if an answer is another one than DuckDB's.
pub(crate) fn run(rows: i64) -> Result<bool, String> {
    let python = python::with_duckdb();
    if python.is_none() {
        skipped(
            "deep combine",
            "no Python with duckdb (ffi/tests/python/install makes one): the \
            groups are compared with each other only",
        );
    }
    let mut right = true;
    for (at, keys) in KEYS.iter().enumerate() {
        let expected = python.as_deref().map(|python| duckdb(python, keys, rows)).transpose()?;
        if let Some(expected) = &expected {
            println!("{}: {rows} rows; DuckDB: {expected}", keys.name);
        }
        let mut first = expected;
        for above in BUDGETS {
            let found = in_a_process(at, rows, above)?;
            let expected = first.get_or_insert_with(|| found.clone());
            if *expected != found {
                println!("{}: minimum + {above}: {found}, where {expected} is right", keys.name);
                right = false;
            }
        }
    }
    Ok(right)
}

/// The digest that [`fn@child`] finds in a process of its own.
fn in_a_process(keys: usize, rows: i64, above: u64) -> Result<String, String> {
    let mut command = Command::new(child::executable());
    command.env(child::VARIABLE, format!("{CHILD}{keys} {rows} {above}"));
    let output = command.stderr(Stdio::inherit()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let (told, digest) = said.trim_end().rsplit_once('\n').unwrap_or((&said, ""));
    println!("{told}");
    if output.status.success() { Ok(digest.to_owned()) } else { Err(output.status.to_string()) }
}

/// What the process of one budget does; nothing if `argument` is for another suite.
pub(crate) fn child(argument: &str) -> Option<Result<(), String>> {
    let numbers = argument.strip_prefix(CHILD)?;
    let numbers: Vec<i64> = numbers.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let [keys, rows, above] = numbers[..] else {
        return Some(Err(format!("three numbers, not {argument}")));
    };
    let digest = ours(&KEYS[usize::try_from(keys).unwrap_or(0)], rows, above.unsigned_abs());
    Some(digest.map(|digest| println!("{digest}")))
}

/// The digest of our groups.
fn ours(keys: &Keys, rows: i64, above: u64) -> Result<String, String> {
    let text = |error: bywash::Error| error.to_string();
    let fields = ["k", "v"].map(|name| Field::new(name, DataType::Int64, false));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let aggregates =
        [Aggregate::Sum(1), Aggregate::Min(1), Aggregate::Max(1), Aggregate::CountRows];
    let mut combine = CombineSpec::new();
    if keys.constant_hash {
        combine = combine.with_constant_hash();
    }
    let spec = GroupSpec::new(Arc::clone(&schema), &[0], &aggregates).map_err(text)?;
    let spec = spec.with_combine(combine);
    let minimum = spec.minimum_budget().map_err(text)?;
    let ledger = MemoryLedger::new(minimum + above);
    let options = SpillOptions { quota_total: Some(DISK_BYTES), ..SpillOptions::default() };
    let dirs = Dirs::with_store(Arc::new(FsStore::new()), options);
    let task = admit(&ledger, minimum)?;
    // What is mapped of the program itself is in the peak, too.
    let program = resident("RssFile:")?;
    let started = Instant::now();
    let mut combiner = ColumnCombiner::new(&spec, &task, &dirs.spill).map_err(text)?;
    let mut from = 0;
    while from < rows {
        let to = rows.min(from + BATCH_ROWS);
        let key: Int64Array = (from..to).map(|i| Some((keys.key)(x(i), y(i)))).collect();
        let value: Int64Array = (from..to).map(|i| Some(v(i))).collect();
        let columns: Vec<ArrayRef> = vec![Arc::new(key), Arc::new(value)];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns);
        combiner.write(&batch.map_err(|error| error.to_string())?).map_err(text)?;
        from = to;
    }
    let canceller = combiner.canceller();
    let (mut groups, mut count, mut digest) = (0usize, 0i128, 0i128);
    for batch in combiner.finish(ChargeMode::Ledger).map_err(text)? {
        let batch = batch.map_err(text)?;
        let integers = |at: usize| batch.column(at).as_primitive::<Int64Type>().values();
        let (key, least, most, rows) = (integers(0), integers(2), integers(3), integers(4));
        let sum = batch.column(1).as_primitive::<Decimal128Type>().values();
        for at in 0..batch.num_rows() {
            let (key, rows) = (i128::from(key[at]), i128::from(rows[at]));
            let (least, most) = (i128::from(least[at]), i128::from(most[at]));
            groups += 1;
            count += rows;
            digest += (key * 7919
                + sum[at] % 1_000_003 * 104_729
                + rows * 1_299_709
                + least * 15_485_863
                + most * 32_452_843)
                % 2_147_483_647;
        }
    }
    if ledger.peak_granted() > ledger.capacity() || ledger.granted() != 0 {
        return Err(format!("the budget did not hold: {:?}", ledger.snapshot()));
    }
    let took = started.elapsed().as_secs_f64();
    let (peak, allowed) = (resident("VmHWM:")?.saturating_sub(program), minimum + above + OVERHEAD);
    if peak > allowed {
        return Err(format!("{peak} bytes were resident, where {allowed} are allowed"));
    }
    let progress = canceller.progress();
    println!(
        "{}: minimum + {} MiB: {took:.1} s, resident {:.1} of {:.1} MiB, {} spills, {} MiB written, \
         {} MiB on disk at most, depth {}, {} parts sorted",
        keys.name,
        above >> 20,
        mebibytes(peak),
        mebibytes(allowed),
        progress.spills(),
        progress.spilled_bytes >> 20,
        dirs.spill.peak_used_bytes() >> 20,
        progress.depth,
        progress.sorted_parts
    );
    Ok(format!("{groups} groups, {count} rows, digest {digest}"))
}

/// A figure of this process's memory, in bytes. The kernel's peak is of all that is resident.
fn resident(name: &str) -> Result<u64, String> {
    let status = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    let figure = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kibibytes = figure.trim().trim_end_matches(" kB").parse::<u64>();
    kibibytes.map(|kib| kib << 10).map_err(|_| format!("/proc/self/status has no {name}"))
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn duckdb(python: &Path, keys: &Keys, rows: i64) -> Result<String, String> {
    let sql = format!(
        "with r as (select ((i % 4294967291) * 1597334677) % 16777259 & 16777215 as x, \
         ((i % 4294967291) * 1431655783) % 16777289 & 16777215 as y, \
         (i * 48271) % 2000003 - 1000001 as v from range({rows}) t(i)), \
         g as (select {} as k, sum(v)::hugeint as s, min(v)::hugeint as mn, max(v)::hugeint as mx, \
         count(*)::hugeint as c from r group by 1) \
         select count(*), sum(c)::hugeint, sum((k::hugeint * 7919 + s % 1000003 * 104729 + c * 1299709 \
         + mn * 15485863 + mx * 32452843) % 2147483647)::hugeint from g",
        keys.sql
    );
    let script = "import duckdb, sys\nr = duckdb.sql(sys.argv[1]).fetchall()[0]\nprint(f'{r[0]} groups, {r[1]} rows, digest {r[2]}')";
    let output = Command::new(python).args(["-c", script, &sql]).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    // Whatever else it prints comes before.
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.lines().last().unwrap_or_default().trim().to_owned())
}

const fn x(i: i64) -> i64 {
    ((i % 4_294_967_291) * 1_597_334_677 % 16_777_259) & 16_777_215
}

const fn y(i: i64) -> i64 {
    ((i % 4_294_967_291) * 1_431_655_783 % 16_777_289) & 16_777_215
}

const fn v(i: i64) -> i64 {
    (i * 48_271) % 2_000_003 - 1_000_001
}

const BATCH_ROWS: i64 = 8192;
/// What the library may hold beside the budget with one thread.
const OVERHEAD: u64 = 17 << 20;
const DISK_BYTES: u64 = 12_000_000_000;
/// With its space: there are workloads whose names begin alike.
const CHILD: &str = "combine ";
