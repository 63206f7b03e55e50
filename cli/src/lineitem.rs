//! TPC-H lineitem, generated: batches for benchmarks and Parquet files for the demo.
//!
//! The files have pages of at most 64 KiB, no dictionaries, no compression and row groups of a few
//! MiB, so that reading them takes little memory and little time beside the shuffle.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use tpchgen::generators::LineItemGenerator;
use tpchgen_arrow::LineItemArrow;

use crate::failure::{At, Failure, Result};
use crate::watch::Watch;

/// Batches of one part of lineitem, strings as Utf8.
pub fn batches(
    scale_factor: f64,
    part: i32,
    parts: i32,
    batch_rows: usize,
) -> impl Iterator<Item = Result<RecordBatch>> {
    let generator = LineItemGenerator::new(scale_factor, part, parts);
    LineItemArrow::new(generator)
        .with_batch_size(batch_rows)
        .map(|item| item.into_batch().and_then(|batch| plain_strings(&batch)))
        .map(|batch| batch.map_err(|error| Failure::new(error.to_string())))
}

/// Writes lineitem into `files` Parquet files of a directory, each by a thread of its own.
pub fn write_files(scale_factor: f64, files: u32, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out).at(out)?;
    let parts = i32::try_from(files).at(out)?;
    let watch = Watch::default();
    watch.run("generating", estimated_rows(scale_factor), || {
        thread::scope(|scope| {
            let running: Vec<_> = paths(out, files)
                .into_iter()
                .zip(1..)
                .map(|(path, part)| {
                    let watch = &watch;
                    scope.spawn(move || write_file(scale_factor, part, parts, &path, watch))
                })
                .collect();
            running.into_iter().try_for_each(|handle| match handle.join() {
                Ok(written) => written,
                Err(_panic) => Err(Failure::new("a generator panicked")),
            })
        })
    })
}

/// The files that [`write_files`] writes.
pub fn paths(out: &Path, files: u32) -> Vec<PathBuf> {
    (0..files).map(|file| out.join(format!("lineitem-{file:03}.parquet"))).collect()
}

fn write_file(scale_factor: f64, part: i32, parts: i32, path: &Path, watch: &Watch) -> Result<()> {
    let file = File::create_new(path).at(path)?;
    let mut batches = batches(scale_factor, part, parts, BATCH_ROWS).peekable();
    let schema = match batches.peek() {
        Some(Ok(batch)) => batch.schema(),
        Some(Err(failure)) => return Err(failure.clone()),
        None => {
            return Err(Failure::new("the scale factor is too small for a row per file"));
        }
    };
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties())).at(path)?;
    for batch in batches {
        let batch = batch?;
        writer.write(&batch).at(path)?;
        watch.advance(batch.num_rows());
    }
    writer.close().at(path)?;
    Ok(())
}

fn properties() -> WriterProperties {
    // The page limit is looked at between write batches: a page is at most the limit plus the
    // longest write batch, which for lineitem's longest string is below 16 KiB.
    WriterProperties::builder()
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_data_page_size_limit(48 << 10)
        .set_write_batch_size(256)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .build()
}

/// Generators of one version give batches, of another results.
trait IntoBatch {
    fn into_batch(self) -> Result<RecordBatch, ArrowError>;
}

impl IntoBatch for RecordBatch {
    fn into_batch(self) -> Result<RecordBatch, ArrowError> {
        Ok(self)
    }
}

impl IntoBatch for Result<RecordBatch, ArrowError> {
    fn into_batch(self) -> Result<RecordBatch, ArrowError> {
        self
    }
}

fn plain_strings(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let data_type = match field.data_type() {
            DataType::Utf8View => DataType::Utf8,
            other => other.clone(),
        };
        columns.push(arrow_cast::cast(column, &data_type)?);
        fields.push(Field::new(field.name(), data_type, field.is_nullable()));
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    RecordBatch::try_new(schema, columns)
}

/// Four items per order on average; only the progress bar depends on it.
#[expect(clippy::cast_possible_truncation, reason = "a bounded, positive estimate")]
#[expect(clippy::cast_sign_loss, reason = "a bounded, positive estimate")]
fn estimated_rows(scale_factor: f64) -> u64 {
    (scale_factor * 6_000_000.0) as u64
}

const BATCH_ROWS: usize = 8192;
const ROW_GROUP_ROWS: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    #[test]
    fn pages_are_small_and_strings_plain() {
        let dir = tempfile::tempdir().unwrap();
        write_files(0.02, 2, dir.path()).unwrap();
        let mut rows = 0;
        for path in paths(dir.path(), 2) {
            let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
            rows += reader.metadata().file_metadata().num_rows();
            for group in 0..reader.num_row_groups() {
                let group = reader.get_row_group(group).unwrap();
                for column in 0..group.num_columns() {
                    let chunk = group.metadata().column(column);
                    assert!(chunk.dictionary_page_offset().is_none());
                    for page in group.get_column_page_reader(column).unwrap() {
                        let page = page.unwrap();
                        assert!(page.buffer().len() <= 64 << 10, "{}", page.buffer().len());
                    }
                }
            }
            let input = crate::input::Input::open(&[path]).unwrap();
            let views = |field: &Arc<Field>| *field.data_type() == DataType::Utf8View;
            assert!(!input.schema().fields().iter().any(views));
        }
        let whole: usize = batches(0.02, 1, 1, 8192).map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(usize::try_from(rows), Ok(whole));
    }
}
