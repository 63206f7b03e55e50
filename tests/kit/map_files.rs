//! The three files of a map output as bytes: made by the document instead of by the writer, taken
//! apart, changed, and given checksums that hold.
//!
//! Everything is placed by the constants that docs/FORMAT.md is compared with. The blocks come from
//! the library's encoder, so that they may be far smaller than a writer makes them.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bywash_core::block::{HEADER_BYTES, Header, RECORDS_FINGERPRINT, filler_bytes, offset};
use bywash_core::codec::Codec;
use bywash_core::column::{Layout, encode_schema};
use bywash_core::{AttemptId, MapId, Result};
use bywash_spill::{
    INDEX_HEADER_BYTES, INDEX_MAGIC, INDEX_VERSION, SCHEMA_HEADER_BYTES, SCHEMA_MAGIC,
    SCHEMA_VERSION, index_offset, schema_offset,
};

use crate::blocks::{encode_block, encode_records};

/// The token in the names of made-up data files.
pub const TOKEN: &str = "0123456789abcdef";

/// A map output's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapFiles {
    /// The data file's name.
    pub data_name: String,
    /// The index file's name.
    pub index_name: String,
    /// The schema file's name; empty where there are records.
    pub schema_name: String,
    /// The data file.
    pub data: Vec<u8>,
    /// The index file.
    pub index: Vec<u8>,
    /// The schema file.
    pub schema: Vec<u8>,
}

impl MapFiles {
    /// Makes an output whose partitions have a block for each of their batches; a batch of one row
    /// above `raw_bytes` becomes a chain.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn build(
        schema: &SchemaRef,
        codec: Codec,
        raw_bytes: usize,
        partitions: &[Vec<RecordBatch>],
    ) -> Result<Self> {
        let layout = Layout::try_new(Arc::clone(schema))?;
        let mut data = Vec::new();
        let mut arrays = IndexArrays::default();
        for (partition, batches) in (0u32..).zip(partitions) {
            for batch in batches {
                data.extend(encode_block(&layout, codec, raw_bytes, partition, batch)?);
            }
            let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
            arrays.ends.push(data.len() as u64);
            arrays.rows.push(rows as u64);
        }
        let name = DataName { map: MapId(7), attempt: AttemptId(3) };
        let mut files = Self {
            data_name: name.text(),
            index_name: format!("{}.index", name.map),
            schema_name: format!("schema-{:016x}", layout.fingerprint()),
            index: encode_index(name, layout.fingerprint(), &arrays, data.len() as u64),
            schema: encode_schema_file(schema)?,
            data,
        };
        files.repair();
        Ok(files)
    }

    /// As [`MapFiles::build`], of opaque records: a block for each list of them; a record above
    /// `raw_bytes` becomes a chain.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn build_records(
        codec: Codec,
        raw_bytes: usize,
        partitions: &[Vec<Vec<Vec<u8>>>],
    ) -> Result<Self> {
        let mut data = Vec::new();
        let mut arrays = IndexArrays::default();
        for (partition, blocks) in (0u32..).zip(partitions) {
            for records in blocks {
                data.extend(encode_records(codec, raw_bytes, partition, records)?);
            }
            let rows = blocks.iter().map(Vec::len).sum::<usize>();
            arrays.ends.push(data.len() as u64);
            arrays.rows.push(rows as u64);
        }
        let name = DataName { map: MapId(7), attempt: AttemptId(3) };
        let mut files = Self {
            data_name: name.text(),
            index_name: format!("{}.index", name.map),
            schema_name: String::new(),
            index: encode_index(name, RECORDS_FINGERPRINT, &arrays, data.len() as u64),
            schema: Vec::new(),
            data,
        };
        files.repair();
        Ok(files)
    }

    /// Reads the files of the one map output in `dir`.
    ///
    /// # Errors
    /// Those of the system.
    pub fn load(dir: &Path) -> std::io::Result<Self> {
        let mut files = Self {
            data_name: String::new(),
            index_name: String::new(),
            schema_name: String::new(),
            data: Vec::new(),
            index: Vec::new(),
            schema: Vec::new(),
        };
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let (name_slot, bytes_slot) = match name.rsplit('.').next() {
                Some("data") => (&mut files.data_name, &mut files.data),
                Some("index") => (&mut files.index_name, &mut files.index),
                _ if name.starts_with("schema-") => (&mut files.schema_name, &mut files.schema),
                _ => continue,
            };
            *bytes_slot = std::fs::read(entry.path())?;
            *name_slot = name;
        }
        Ok(files)
    }

    /// Writes the files to `dir`, creating it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn store(&self, dir: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join(&self.data_name), &self.data)?;
        std::fs::write(dir.join(&self.index_name), &self.index)?;
        // Records have no schema.
        if self.schema_name.is_empty() {
            return Ok(());
        }
        std::fs::write(dir.join(&self.schema_name), &self.schema)
    }

    /// The same output under a data file's name with [`TOKEN`], as if chance had chosen that.
    #[must_use]
    pub fn with_fixed_token(mut self) -> Self {
        let random = self.data_name.rsplit('.').nth(1).unwrap_or_default();
        self.data_name = self.data_name.replace(random, TOKEN);
        let name = self.data_name.as_bytes();
        self.index[index_offset::NAME..][..name.len()].copy_from_slice(name);
        self.repair_index();
        self
    }

    /// The partitions' number.
    pub fn partitions(&self) -> usize {
        get_u32(&self.index, index_offset::PARTITIONS) as usize
    }

    /// Where partition `index` begins, or the last one ends.
    pub fn segment_offset(&self, index: usize) -> u64 {
        get_u64(&self.index, INDEX_HEADER_BYTES + index * 8)
    }

    /// Changes where a partition begins; the index's checksum is left as it is.
    pub fn set_segment_offset(&mut self, index: usize, value: u64) {
        put(&mut self.index, INDEX_HEADER_BYTES + index * 8, &value.to_le_bytes());
    }

    /// The bytes of each block, as long as headers make sense.
    pub fn blocks(&self) -> Vec<Range<usize>> {
        let mut blocks = Vec::new();
        let mut start = 0;
        while let Some(first) = self.data.get(start..start + 8) {
            if let Ok(Some(len)) = filler_bytes(first.try_into().unwrap_or_default()) {
                start += len;
                continue;
            }
            let header = self.data[start..].first_chunk::<HEADER_BYTES>();
            let Some(Ok(header)) = header.map(Header::decode) else {
                break;
            };
            let end = start + usize::try_from(header.block_bytes()).unwrap_or(usize::MAX);
            blocks.push(start..end);
            start = end;
        }
        blocks
    }

    /// Makes every checksum hold, whatever else the bytes say.
    pub fn repair(&mut self) {
        self.repair_blocks(&self.blocks());
    }

    /// As [`MapFiles::repair`], with blocks where they were before the bytes were changed.
    pub fn repair_blocks(&mut self, blocks: &[Range<usize>]) {
        for block in blocks {
            repair_block(&mut self.data[block.clone()]);
        }
        let partitions = self.partitions();
        let crcs = INDEX_HEADER_BYTES + (partitions + 1) * 8 + partitions * 8;
        for partition in 0..partitions {
            let range = self.segment_offset(partition)..self.segment_offset(partition + 1);
            let segment = usize::try_from(range.start).unwrap_or(usize::MAX)
                ..usize::try_from(range.end).unwrap_or(usize::MAX);
            let crc = self.data.get(segment).map_or(0, crc32c::crc32c);
            put(&mut self.index, crcs + partition * 4, &crc.to_le_bytes());
        }
        self.repair_index();
    }

    /// Makes the index's own checksum hold.
    pub fn repair_index(&mut self) {
        let end = self.index.len() - 4;
        let crc = crc32c::crc32c(&self.index[..end]);
        put(&mut self.index, end, &crc.to_le_bytes());
    }

    /// Makes the schema file's checksum hold.
    pub fn repair_schema(&mut self) {
        let crc = crc32c::crc32c(&self.schema[SCHEMA_HEADER_BYTES..]);
        put(&mut self.schema, schema_offset::CRC, &crc.to_le_bytes());
    }
}

/// Makes both checksums of one block hold, with the body as long as its header says where it can
/// be.
pub fn repair_block(block: &mut [u8]) {
    let Some(body) = block.get(HEADER_BYTES..) else {
        return;
    };
    let claimed = get_u32(block, offset::BODY_BYTES) as usize;
    let crc = crc32c::crc32c(body.get(..claimed).unwrap_or(body));
    put(block, offset::BODY_CRC, &crc.to_le_bytes());
    let crc = crc32c::crc32c(&block[..offset::HEADER_CRC]);
    put(block, offset::HEADER_CRC, &crc.to_le_bytes());
}

#[derive(Clone, Copy)]
struct DataName {
    map: MapId,
    attempt: AttemptId,
}

impl DataName {
    fn text(self) -> String {
        format!("{}.{}.{TOKEN}.data", self.map, self.attempt)
    }
}

#[derive(Default)]
struct IndexArrays {
    ends: Vec<u64>,
    rows: Vec<u64>,
}

fn encode_index(name: DataName, fingerprint: u64, arrays: &IndexArrays, data: u64) -> Vec<u8> {
    use index_offset as at;
    let mut index = vec![0; INDEX_HEADER_BYTES];
    let text = name.text();
    let partitions = u32::try_from(arrays.rows.len()).unwrap_or(u32::MAX);
    let rows: u64 = arrays.rows.iter().sum();
    put(&mut index, at::MAGIC, &INDEX_MAGIC.to_le_bytes());
    put(&mut index, at::VERSION, &INDEX_VERSION.to_le_bytes());
    put(&mut index, at::MAP, &name.map.0.to_le_bytes());
    put(&mut index, at::ATTEMPT, &name.attempt.0.to_le_bytes());
    put(&mut index, at::FINGERPRINT, &fingerprint.to_le_bytes());
    put(&mut index, at::DATA_BYTES, &data.to_le_bytes());
    put(&mut index, at::ROWS, &rows.to_le_bytes());
    put(&mut index, at::PARTITIONS, &partitions.to_le_bytes());
    let name_bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
    put(&mut index, at::NAME_BYTES, &name_bytes.to_le_bytes());
    put(&mut index, at::NAME, text.as_bytes());
    index.extend(0u64.to_le_bytes());
    index.extend(arrays.ends.iter().flat_map(|end| end.to_le_bytes()));
    index.extend(arrays.rows.iter().flat_map(|rows| rows.to_le_bytes()));
    // Checksums of the segments and of the index: put in their places by a repair.
    index.resize(index.len() + arrays.rows.len() * 4 + 4, 0);
    index
}

fn encode_schema_file(schema: &SchemaRef) -> Result<Vec<u8>> {
    use schema_offset as at;
    let encoded = encode_schema(schema)?;
    let len = u32::try_from(encoded.len()).unwrap_or(u32::MAX);
    let mut bytes = vec![0; SCHEMA_HEADER_BYTES];
    put(&mut bytes, at::MAGIC, &SCHEMA_MAGIC.to_le_bytes());
    put(&mut bytes, at::VERSION, &SCHEMA_VERSION.to_le_bytes());
    put(&mut bytes, at::LENGTH, &len.to_le_bytes());
    put(&mut bytes, at::CRC, &crc32c::crc32c(&encoded).to_le_bytes());
    bytes.extend(encoded);
    Ok(bytes)
}

fn put(bytes: &mut [u8], offset: usize, field: &[u8]) {
    bytes[offset..offset + field.len()].copy_from_slice(field);
}

fn get_u32(bytes: &[u8], offset: usize) -> u32 {
    bytes[offset..offset + 4].try_into().map_or(0, u32::from_le_bytes)
}

fn get_u64(bytes: &[u8], offset: usize) -> u64 {
    bytes[offset..offset + 8].try_into().map_or(0, u64::from_le_bytes)
}
