//! A Parquet file written in bounded memory: row groups are closed by the bytes the writer holds.

use std::fs::Permissions;
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bywash::node::Filesystem;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::failure::{At, Failure, Result};
use crate::spill_dirs;

/// A Parquet file that appears under its name only when it is complete.
pub(crate) struct ParquetFile<'a> {
    writer: ArrowWriter<tempfile::NamedTempFile>,
    path: &'a Path,
}

impl<'a> ParquetFile<'a> {
    /// Starts a file beside its final place, with the mode the user's umask gives; never over
    /// anything that is there.
    pub(crate) fn create(path: &'a Path, schema: &arrow_schema::SchemaRef) -> Result<Self> {
        refuse_no_new_file(path)?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        let file = tempfile::Builder::new()
            .prefix(".bywash-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(parent)
            .map_err(|error| {
                // Its own words name the temporary file.
                let why = std::io::Error::from(error.kind());
                Failure::new(format!(
                    "--out {}: {} takes no file: {why}; name one in a directory that is there and \
                     may be written to",
                    path.display(),
                    parent.display()
                ))
            })?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_data_page_size_limit(PAGE_BYTES)
            .set_dictionary_page_size_limit(PAGE_BYTES)
            .set_write_batch_size(WRITE_BATCH_ROWS)
            .build();
        let writer = ArrowWriter::try_new(file, Arc::clone(schema), Some(properties)).at(path)?;
        Ok(Self { writer, path })
    }

    /// Warns when what is written is memory.
    pub(crate) fn warn_of_memory(&self) -> Result<()> {
        let file = self.writer.inner().as_file();
        let filesystem = Filesystem::of(file, Path::new("/")).at(self.path)?;
        spill_dirs::warn_of_output(&self.path.display(), &filesystem);
        Ok(())
    }

    /// Writes a batch; closes the row group when the writer holds enough.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).at(self.path)?;
        if self.writer.memory_size() >= ROW_GROUP_BYTES {
            self.writer.flush().at(self.path)?;
        }
        Ok(())
    }

    /// Completes and names the file; returns its length.
    pub(crate) fn publish(self) -> Result<u64> {
        let mut file = self.writer.into_inner().at(self.path)?;
        file.flush().at(self.path)?;
        let bytes = file.as_file().metadata().at(self.path)?.len();
        file.persist_noclobber(self.path).map_err(|error| error.error).at(self.path)?;
        Ok(bytes)
    }
}

/// Refuses what cannot become the name of a new file: the temporary one would say so only when all
/// the work was done.
fn refuse_no_new_file(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_bytes();
    // Not by the parts of a path, which leave such ends out.
    if let Some([] | b"." | b"..") = bytes.rsplit(|byte| *byte == b'/').next() {
        return Err(Failure::new(format!(
            "--out {} names a directory; end it with the name of a file",
            path.display()
        )));
    }
    match path.symlink_metadata() {
        Ok(_) => Err(Failure::new(format!(
            "{} is there already; remove it or give another --out",
            path.display()
        ))),
        // The directory may be missing as well; making a file in it tells.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::new(format!(
            "--out {} cannot be the name of a file: {error}; give another",
            path.display()
        ))),
    }
}

const ROW_GROUP_BYTES: usize = 16 << 20;
const PAGE_BYTES: usize = 64 << 10;
const WRITE_BATCH_ROWS: usize = 256;
