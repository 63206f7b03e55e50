//! A committed map output: an index, a data file and, for columns, the schema they share.
//!
//! `<map>.index` is the only commit point: it appears whole, under a name that was free, after the
//! data file and the schema file it needs, and goes before them (docs/FORMAT.md). Opening believes nothing: lengths are
//! checked before memory is asked for, checksums before entries are used.

#[macro_use]
mod figures;
mod index;
mod records;
mod remove;
mod schema_file;

use std::fmt;
use std::sync::{Arc, OnceLock};

use arrow_schema::SchemaRef;
use bywash_core::block::RECORDS_FINGERPRINT;
use bywash_core::column::Layout;
use bywash_core::memory::{ChargeMode, Consumer, TaskMemory};
use bywash_core::port::ByteSource;
use bywash_core::{AttemptId, Error, ErrorKind, Figure, MapId, Result};

use crate::names::index_name;
use crate::output_dir::OutputDir;
use crate::reader::PartitionReader;
use crate::store::{Name, StoreFile, read_exact_at};
use crate::writer::PartitionArrays;

pub use index::{INDEX_HEADER_BYTES, INDEX_MAGIC, INDEX_VERSION, index_offset};
pub(crate) use index::{IndexHeader, data_file_named_by, read_index, write_index};
pub use records::RecordOutput;
pub(crate) use remove::{Standing, standing_output};
pub use schema_file::{
    SCHEMA_BYTES_MAX, SCHEMA_HEADER_BYTES, SCHEMA_MAGIC, SCHEMA_VERSION, schema_offset,
};
pub(crate) use schema_file::{publish_schema, read_schema};

/// One map task's output. Holds its index in memory, charged to the task that made or opened it.
pub struct MapOutput {
    slot: OutputSlot,
}

/// The place of a map output's parts, allocated before there are any.
#[derive(Clone, Default)]
pub(crate) struct OutputSlot(Arc<OnceLock<Shared>>);

/// What readers of its partitions share.
pub(crate) struct Shared {
    pub(crate) content: Content,
    pub(crate) header: IndexHeader,
    pub(crate) arrays: PartitionArrays,
    pub(crate) data: DataFile,
}

/// What the rows of a map output are.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Columns(Arc<Layout>),
    Records,
}

/// The data file, open for reading.
pub(crate) struct DataFile {
    pub(crate) out: Arc<OutputDir>,
    pub(crate) file: StoreFile,
}

impl MapOutput {
    /// Opens the committed output of `map`. Its index is charged to `task`: 20 bytes a partition.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Corrupt` if its files are not what was written or not all
    /// there; `InvalidArgument` if it holds records; `MemoryLimit`.
    pub fn open(out: &Arc<OutputDir>, map: MapId, task: &TaskMemory) -> Result<Self> {
        let slot = open_slot(out, map, task, |fingerprint, consumer| {
            if fingerprint == RECORDS_FINGERPRINT {
                return Err(HOLDS_RECORDS);
            }
            read_schema(out, fingerprint, consumer).map(|layout| Content::Columns(Arc::new(layout)))
        })?;
        Ok(Self::of_slot(slot))
    }

    pub(crate) const fn of_slot(slot: OutputSlot) -> Self {
        Self { slot }
    }

    /// The schema of its rows.
    pub fn schema(&self) -> &SchemaRef {
        self.slot.parts().layout().schema()
    }

    /// Identifies the schema in blocks and file names.
    pub fn fingerprint(&self) -> u64 {
        self.slot.parts().header.fingerprint
    }

    /// Reads a partition's rows in the order they were written. Buffers are charged to `task`,
    /// batches as `mode` says.
    ///
    /// # Errors
    /// `InvalidArgument` for a partition that does not exist, and for [`ChargeMode::Host`] when the
    /// ledger's memory is not lent by a host.
    pub fn read(
        &self,
        partition: u32,
        task: &TaskMemory,
        mode: ChargeMode,
    ) -> Result<PartitionReader> {
        self.slot.check_readable(partition, task, mode)?;
        PartitionReader::new(self.slot.clone(), partition, task, mode)
    }
}

output_figures!(MapOutput);

impl fmt::Debug for MapOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapOutput")
            .field("header", &self.slot.parts().header)
            .finish_non_exhaustive()
    }
}

impl OutputSlot {
    /// Puts together what was read or just written. Cannot fail, needs no memory.
    pub(crate) fn fill(
        self,
        data: DataFile,
        content: Content,
        header: IndexHeader,
        arrays: PartitionArrays,
    ) -> Self {
        let filled = self.0.set(Shared { content, header, arrays, data }).is_ok();
        debug_assert!(filled, "a slot is filled once");
        self
    }

    /// Whether a partition can be read so.
    pub(crate) fn check_readable(
        &self,
        partition: u32,
        task: &TaskMemory,
        mode: ChargeMode,
    ) -> Result<()> {
        let partitions = self.parts().header.partitions;
        if partition >= partitions {
            return Err(Error::invalid("there is no such partition")
                .with(Figure::Partition, partition)
                .with(Figure::Partitions, partitions));
        }
        task.check_charge(mode)
    }

    pub(crate) fn parts(&self) -> &Shared {
        match self.0.get() {
            Some(parts) => parts,
            None => unreachable!("a map output is made by filling its slot"),
        }
    }
}

impl fmt::Debug for OutputSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OutputSlot").field(&self.0.get().is_some()).finish()
    }
}

impl Shared {
    /// The layout of an output that holds columns.
    pub(crate) fn layout(&self) -> &Arc<Layout> {
        match &self.content {
            Content::Columns(layout) => layout,
            Content::Records => unreachable!("an output of records is a RecordOutput"),
        }
    }

    /// Rows of a partition; 0 for one that does not exist.
    pub(crate) fn rows(&self, partition: u32) -> u64 {
        self.arrays.rows.get(partition as usize).copied().unwrap_or(0)
    }

    /// CRC-32C of a partition's stored bytes; 0 for one that does not exist.
    pub(crate) fn crc32c(&self, partition: u32) -> u32 {
        self.arrays.crcs.get(partition as usize).copied().unwrap_or(0)
    }

    /// Stored bytes of a partition; 0 for one that does not exist.
    pub(crate) fn bytes(&self, partition: u32) -> u64 {
        self.range(partition).map_or(0, |(start, end)| end - start)
    }

    /// Where a partition's bytes lie in the data file.
    pub(crate) fn range(&self, partition: u32) -> Option<(u64, u64)> {
        let offsets = self.arrays.offsets.get(partition as usize..)?;
        Some((*offsets.first()?, *offsets.get(1)?))
    }
}

impl ByteSource for DataFile {
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        read_exact_at(self.out.store(), &self.file, bytes, offset)
    }
}

/// Opens the committed output of `map`; `content` says what its rows are, by the fingerprint, before
/// the data file is opened.
fn open_slot(
    out: &Arc<OutputDir>,
    map: MapId,
    task: &TaskMemory,
    content: impl FnOnce(u64, &Consumer) -> Result<Content>,
) -> Result<OutputSlot> {
    let consumer = task.consumer("map-output");
    let file = out.open_read(&index_name(map)?).map_err(|error| match error.kind() {
        ErrorKind::NotFound => NOT_COMMITTED.at(out.path()).with(Figure::Map, map.0),
        _ => error,
    })?;
    let header = IndexHeader::read(out, &file, map)?;
    let mut arrays = PartitionArrays::try_new(&consumer, header.partitions)?;
    read_index(out, &file, &header, &mut arrays)?;
    let content = content(header.fingerprint, &consumer)?;
    let data = open_data(out, &header)?;
    Ok(OutputSlot::default().fill(data, content, header, arrays))
}

/// Opens a file that a committed index needs: without it the output is damaged, not absent.
fn open_part(out: &OutputDir, name: &Name) -> Result<StoreFile> {
    out.open_read(name).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            Error::corrupt("a map output lacks the data or schema file that its index needs")
                .at(out.path())
        }
        _ => error,
    })
}

/// Opens the data file that an index names.
pub(crate) fn open_data(out: &Arc<OutputDir>, header: &IndexHeader) -> Result<DataFile> {
    let file = open_part(out, &header.data_name)?;
    let found = out.store().len(&file)?;
    if found != header.data_bytes {
        return Err(Error::corrupt("a data file does not have the length its index names")
            .with(Figure::Map, header.map.0)
            .with(Figure::Expected, header.data_bytes)
            .with(Figure::Found, found)
            .at(file.place()));
    }
    Ok(DataFile { out: Arc::clone(out), file })
}

const NOT_COMMITTED: Error = Error::new(
    ErrorKind::NotFound,
    "no output of this map was committed in this directory; finish its writer first",
);
const HOLDS_RECORDS: Error =
    Error::invalid("this map output holds records, not columns; open it with RecordOutput");
