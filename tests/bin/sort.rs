//! Sorting at scale, judged by DuckDB: `deep sort [--cases ROWS]`.
//!
//! DuckDB makes rows of 100 bytes with a random int64, this program makes lineitem; the release build of
//! `bywash sort` sorts both at budgets from 16 MiB up, and once more inside a kernel memory limit of the budget and
//! the program's overhead. DuckDB then says whether the file holds the rows of the input, in the order of the keys
//! and, among equal ones, of the input: it digests each row with its place, of the file as it lies and of the input
//! as it orders it.

use std::path::{Path, PathBuf};
use std::process::Command;

use bywash_tests::{cgroup, dirs, program, skipped};

use crate::python;

/// Budgets in MiB; the last stands for no limit.
const BUDGETS: [u64; 6] = [16, 32, 64, 128, 256, 1 << 20];
/// What the program may have resident beside its budget.
const OVERHEAD: u64 = 64 << 20;
/// Lineitem has about so many rows for each unit of its scale factor.
const LINEITEM_ROWS: u64 = 6_000_000;

/// What is sorted how.
struct Input {
    name: &'static str,
    files: Vec<PathBuf>,
    by: &'static str,
}

/// Runs all; false if an answer is not DuckDB's, or a budget did not hold.
pub(crate) fn run(rows: u64) -> Result<bool, String> {
    let Some(python) = python::with_duckdb() else {
        skipped(
            "deep sort",
            "no Python with duckdb (ffi/tests/python/install makes one; BYWASH_PYTHON names another)",
        );
        return Ok(true);
    };
    let limited = cgroup::run_limited(OVERHEAD, Path::new("true"), &[], &[]);
    if let Err(why) = &limited {
        skipped("deep sort inside a kernel memory limit", why);
    }
    let program = program::path();
    let root = dirs::on_disk();
    let wide = root.path().join("wide.parquet");
    duckdb(&python, &wide_rows(rows, &wide))?;
    let thousandths = rows / (LINEITEM_ROWS / 1000);
    let scale_factor = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    let inputs = [
        Input { name: "rows of 100 bytes", files: vec![wide], by: "key" },
        Input {
            name: "lineitem",
            files: program::generate(&program, &scale_factor, &root.path().join("lineitem")),
            by: "l_shipdate,l_orderkey",
        },
    ];
    let mut right = true;
    for input in &inputs {
        let expected = duckdb(&python, &digest_of_input(input))?;
        println!("{}, by {}; DuckDB: {expected}", input.name, input.by);
        for mebibytes in BUDGETS {
            for is_limited in [false, true] {
                // A limit of a TiB is none.
                if is_limited && (limited.is_err() || mebibytes > 1024) {
                    continue;
                }
                let out = root.path().join("sorted.parquet");
                let found = sort(&program, input, mebibytes, is_limited, &root, &out)?;
                let digest = duckdb(&python, &digest_of_output(&out))?;
                std::fs::remove_file(&out).map_err(|error| error.to_string())?;
                let is_right = digest == expected && found.held;
                println!(
                    "  {} MiB{}: {}{}",
                    mebibytes,
                    if is_limited { " in a kernel limit" } else { "" },
                    found.figures,
                    if is_right { String::new() } else { format!(", WRONG: {digest}") }
                );
                right &= is_right;
            }
        }
    }
    Ok(right)
}

/// What came of a sort beside its file.
struct Sorted {
    figures: String,
    /// Whether ledger and resident memory stayed within the budget.
    held: bool,
}

fn sort(
    program: &Path,
    input: &Input,
    mebibytes: u64,
    is_limited: bool,
    root: &tempfile::TempDir,
    out: &Path,
) -> Result<Sorted, String> {
    let (memory, spill) = (format!("{mebibytes}MiB"), root.path().join("spill"));
    let mut arguments = vec!["sort", "--by", input.by, "--memory", &memory, "--json"];
    arguments.extend(["--spill-dir", text(&spill), "--out", text(out)]);
    arguments.extend(input.files.iter().map(|path| text(path)));
    let budget = mebibytes << 20;
    let output = if is_limited {
        let limited = cgroup::run_limited(budget + OVERHEAD, program, &arguments, &[])?;
        if limited.oom_kills > 0 {
            return Err(format!("killed for memory: {limited:?}"));
        }
        limited.output
    } else {
        Command::new(program).args(&arguments).output().map_err(|error| error.to_string())?
    };
    if !output.status.success() {
        return Err(format!("{memory}: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let figure = |name: &str| report[name].as_u64().unwrap_or(u64::MAX);
    let (granted, live) = (figure("granted_peak_bytes"), figure("live_peak_bytes"));
    let resident = figure("resident_anonymous_peak_bytes");
    Ok(Sorted {
        figures: format!(
            "{:.1} s, {} runs, {} passes, granted {} MiB, live {} MiB, resident {} MiB",
            report["seconds"].as_f64().unwrap_or(f64::NAN),
            figure("runs"),
            figure("passes"),
            granted >> 20,
            live >> 20,
            resident >> 20
        ),
        held: live <= granted && granted <= budget && resident <= budget + OVERHEAD,
    })
}

/// Rows of two int64 and 84 bytes of text, half of it one of 64 phrases; one key in eight comes twice.
fn wide_rows(rows: u64, out: &Path) -> String {
    format!(
        "copy (select (hash(i - (i % 8 = 7)::bigint) >> 1)::bigint - 4611686018427387904 as key, \
         i as number, md5(i::varchar) || substr(md5((i + 1)::varchar), 1, 10) \
         || substr(repeat(md5((hash(i) % 64)::varchar), 2), 1, 42) as text \
         from range({rows}) t(i)) to '{}' (format parquet, row_group_size 20480, compression uncompressed)",
        text(out)
    )
}

/// The digest of the input's rows in the order of the keys, then of files and rows in them.
fn digest_of_input(input: &Input) -> String {
    let files: Vec<String> = input.files.iter().map(|path| format!("'{}'", text(path))).collect();
    digest(&format!(
        "select *, row_number() over (order by {}, filename, file_row_number) - 1 as place \
         from read_parquet([{}], filename = true, file_row_number = true)",
        input.by,
        files.join(", ")
    ))
}

/// The digest of a file's rows as they lie.
fn digest_of_output(out: &Path) -> String {
    digest(&format!(
        "select *, '' as filename, file_row_number as place \
         from read_parquet('{}', file_row_number = true)",
        text(out)
    ))
}

/// Of rows with a place each: how many, and a sum of hashes of a row and its place.
fn digest(rows: &str) -> String {
    format!(
        "select count(*), sum(hash(r)::hugeint) \
         from (select * exclude (filename, file_row_number) from ({rows})) r"
    )
}

fn duckdb(python: &Path, sql: &str) -> Result<String, String> {
    let script = "import duckdb, sys\n\
                  r = duckdb.sql(sys.argv[1])\nr = r.fetchall() if r is not None else []\n\
                  print(*(r[0] if r else []))";
    let output = Command::new(python).args(["-c", script, sql]).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.lines().last().unwrap_or_default().trim().to_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
