//! Parquet input: several files of one schema, dealt to tasks by row group, read in small batches.
//!
//! Footers are read once and shared. Pages are read when they are needed, a column at a time, so what
//! a task holds is a page per column and one batch; the module `reader_share` bounds it. View and
//! dictionary columns are read as their plain types, which is what the shuffle takes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::RowGroupMetaData;
use serde::{Deserialize, Serialize};

use crate::failure::{At, Failure, Result};
use crate::reader_share;

/// Files of one schema, opened.
#[derive(Debug)]
pub struct Input {
    schema: SchemaRef,
    files: Vec<InputFile>,
}

#[derive(Debug)]
struct InputFile {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
}

/// Row groups of one file, in order: what a task reads. Kept in `job.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The file, absolute.
    pub file: PathBuf,
    /// Indexes of its row groups.
    pub row_groups: Vec<usize>,
}

impl Input {
    /// Opens the files and checks that their columns agree.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::with_capacity(paths.len());
        let mut fields: Option<Vec<Arc<Field>>> = None;
        for path in paths {
            let metadata = open_metadata(path)?;
            let found = metadata.schema().fields();
            match &mut fields {
                None => fields = Some(found.to_vec()),
                Some(fields) => merge_fields(fields, found, path, paths)?,
            }
            files.push(InputFile { path: std::path::absolute(path).at(path)?, metadata });
        }
        let fields = fields.ok_or_else(|| Failure::new("no input; name a Parquet file"))?;
        Ok(Self { schema: Arc::new(Schema::new(fields)), files })
    }

    /// The columns of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.row_groups().map(|group| count(group.num_rows())).sum()
    }

    /// All row groups of all files.
    pub fn row_groups(&self) -> impl Iterator<Item = &RowGroupMetaData> {
        self.files.iter().flat_map(|file| file.metadata.metadata().row_groups())
    }

    /// Indexes of the named columns; an unknown name fails with the names there are, and so does one
    /// that two columns have.
    pub fn columns(&self, names: &[String]) -> Result<Vec<usize>> {
        names.iter().map(|name| self.column(name)).collect()
    }

    /// Whether a column has this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.schema.fields().iter().any(|field| field.name() == name)
    }

    /// The index of the column of this name, as [`Input::columns`].
    pub(crate) fn column(&self, name: &str) -> Result<usize> {
        let fields = self.schema.fields();
        let known: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        let mut places = (0..known.len()).filter(|&place| known[place] == name);
        match (places.next(), places.next()) {
            (Some(place), None) => Ok(place),
            (None, _) => Err(Failure::new(format!(
                "there is no column `{name}`; the columns are {}{}",
                known.join(", "),
                if known.iter().any(|name| name.contains(',')) { COMMA } else { "" }
            ))),
            (Some(_), Some(_)) => Err(Failure::new(format!(
                "two columns are named `{name}`; rename one, or name other columns of {}",
                known.join(", ")
            ))),
        }
    }

    /// Splits the row groups among `tasks` by stored bytes. Each task gets neighbours, in order, so
    /// that the same files and tasks always give the same map outputs.
    pub fn deal(&self, tasks: usize) -> Vec<Vec<Piece>> {
        let total: u128 = self.row_groups().map(weight).sum();
        let mut dealt = vec![Vec::<Piece>::new(); tasks];
        let mut before = 0u128;
        for file in &self.files {
            for (index, group) in file.metadata.metadata().row_groups().iter().enumerate() {
                let middle = before + weight(group) / 2;
                before += weight(group);
                let task = usize::try_from(middle * tasks as u128 / total.max(1)).unwrap_or(0);
                let Some(pieces) = dealt.get_mut(task.min(tasks - 1)) else {
                    continue;
                };
                match pieces.last_mut().filter(|piece| piece.file == file.path) {
                    Some(piece) => piece.row_groups.push(index),
                    None => {
                        pieces.push(Piece { file: file.path.clone(), row_groups: vec![index] });
                    }
                }
            }
        }
        dealt
    }

    /// Rows per batch so that a batch of average rows stays near one MiB.
    pub fn batch_rows(&self) -> usize {
        let row_bytes = self
            .row_groups()
            .map(|group| {
                reader_share::decoded_bytes(&self.schema, group) / count(group.num_rows()).max(1)
            })
            .max()
            .unwrap_or(0);
        let rows = BATCH_BYTES / row_bytes.max(1);
        usize::try_from(rows).unwrap_or(BATCH_ROWS_MAX).clamp(1, BATCH_ROWS_MAX)
    }

    /// Reads pieces, in order, in batches of at most `batch_rows` rows.
    pub fn read(&self, pieces: Vec<Piece>, batch_rows: usize) -> PieceReader<'_> {
        PieceReader { input: self, pieces: pieces.into_iter(), batch_rows, open: None }
    }

    fn open_piece(&self, piece: Piece, batch_rows: usize) -> Result<ParquetRecordBatchReader> {
        let path = piece.file;
        let opened = self.files.iter().find(|file| file.path == path).ok_or_else(|| {
            Failure::new(format!("{}: is not among the input files", path.display()))
        })?;
        let groups = opened.metadata.metadata().num_row_groups();
        if let Some(group) = piece.row_groups.iter().find(|group| **group >= groups) {
            return Err(Failure::new(format!(
                "{}: has no row group {group}; it has {groups}",
                path.display()
            )));
        }
        let file = File::open(&path).at(&path)?;
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, opened.metadata.clone())
            .with_row_groups(piece.row_groups)
            .with_batch_size(batch_rows)
            .build()
            .at(&path)
    }
}

/// Batches of some row groups, all with the schema of the [`Input`].
#[derive(Debug)]
pub struct PieceReader<'a> {
    input: &'a Input,
    pieces: std::vec::IntoIter<Piece>,
    batch_rows: usize,
    open: Option<(PathBuf, ParquetRecordBatchReader)>,
}

impl Iterator for PieceReader<'_> {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((path, reader)) = &mut self.open {
                if let Some(batch) = reader.next() {
                    return Some(batch.at(path).and_then(|batch| self.with_schema(batch)));
                }
                self.open = None;
            }
            let piece = self.pieces.next()?;
            let path = piece.file.clone();
            match self.input.open_piece(piece, self.batch_rows) {
                Ok(reader) => self.open = Some((path, reader)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl PieceReader<'_> {
    /// Files may differ in metadata and in what may be null; batches may not.
    fn with_schema(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let (_, columns, rows) = batch.into_parts();
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.input.schema), columns, &options)
            .map_err(|error| Failure::new(error.to_string()))
    }
}

/// A count that a footer gives as a signed number; a negative one counts nothing.
pub(crate) fn count(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn weight(group: &RowGroupMetaData) -> u128 {
    u128::from(count(group.total_byte_size())) + 1
}

fn open_metadata(path: &Path) -> Result<ArrowReaderMetadata> {
    let file = File::open(path).at(path)?;
    let as_stored = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).at(path)?;
    let fields: Vec<Field> =
        as_stored.schema().fields().iter().map(|field| plain_field(field)).collect();
    let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
    ArrowReaderMetadata::try_new(Arc::clone(as_stored.metadata()), options).at(path)
}

fn plain_field(field: &Field) -> Field {
    Field::new(field.name(), plain_type(field.data_type()), field.is_nullable())
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        other => other.clone(),
    }
}

/// Checks that a further file has the same columns; what may be null in one may be null in all.
fn merge_fields(
    fields: &mut [Arc<Field>],
    found: &[Arc<Field>],
    path: &Path,
    paths: &[PathBuf],
) -> Result<()> {
    let first = paths.first().map_or_else(String::new, |path| path.display().to_string());
    if fields.len() != found.len() {
        return Err(Failure::new(format!(
            "{}: has {} columns, {first} has {}; all inputs need the same",
            path.display(),
            found.len(),
            fields.len()
        )));
    }
    for (field, other) in fields.iter_mut().zip(found) {
        if field.name() != other.name() || field.data_type() != other.data_type() {
            return Err(Failure::new(format!(
                "{}: has column `{}` of {}, {first} has `{}` of {} there; all inputs need the same",
                path.display(),
                other.name(),
                other.data_type(),
                field.name(),
                field.data_type()
            )));
        }
        if other.is_nullable() && !field.is_nullable() {
            *field = Arc::new(field.as_ref().clone().with_nullable(true));
        }
    }
    Ok(())
}

const COMMA: &str =
    "; one with a comma in its name needs an option of its own, such as --by a --by b,c";
const BATCH_ROWS_MAX: usize = 8192;
const BATCH_BYTES: u64 = 1 << 20;
