//! Runs the real program and makes small Parquet files for it.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use bywash::{FsStore, Store, default_spill_dirs};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::properties::WriterProperties;

/// A fresh directory on a disk: the system's for temporary files may be memory.
pub(crate) fn on_disk() -> tempfile::TempDir {
    let found = default_spill_dirs(&store()).unwrap();
    tempfile::tempdir_in(&found.dirs[0]).unwrap()
}

pub(crate) fn store() -> Arc<dyn Store> {
    Arc::new(FsStore::new())
}

/// The program with arguments given as words.
pub(crate) fn bywash(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bywash")).args(arguments).output().unwrap()
}

/// Runs it, expects success and silence on standard error, gives standard output.
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let output = bywash(arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {} {error}", output.status);
    assert_eq!(error, "", "{arguments:?}: quiet in a pipe");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs it with `--json`, gives the report.
pub(crate) fn report(arguments: &[&str]) -> serde_json::Value {
    serde_json::from_str(&succeed(&[arguments, &["--json"]].concat())).unwrap()
}

/// Runs it, expects one line on standard error and this exit code, gives the line.
pub(crate) fn fail(arguments: &[&str]) -> String {
    let output = bywash(arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("bywash: "), "{error}");
    assert!(output.stdout.is_empty());
    error
}

/// Runs it, expects clap's exit code for wrong arguments, gives what it says.
pub(crate) fn misuse(arguments: &[&str]) -> String {
    let output = bywash(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Writes one Parquet file, a row group per `group_rows`.
pub(crate) fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>, group_rows: usize) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties =
        WriterProperties::builder().set_max_row_group_row_count(Some(group_rows)).build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The rows of a Parquet file as text, in file order.
pub(crate) fn rows(path: &Path) -> Vec<String> {
    let file = File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let options = FormatOptions::default().with_null("<null>");
        let formats: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
            .collect();
        for row in 0..batch.num_rows() {
            let values = formats.iter().map(|format| format.value(row).to_string());
            rows.push(values.collect::<Vec<_>>().join("|"));
        }
    }
    rows
}

/// The same rows in an order of their own, to compare multisets.
pub(crate) fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort_unstable();
    rows
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
