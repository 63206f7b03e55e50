//! The index file: who wrote which data file, and where each partition lies in it.
//!
//! ```text
//! | header 128 | offsets (P+1) x 8 | rows P x 8 | checksums P x 4 | CRC-32C 4 |
//! ```
//! All integers are little-endian; the last field covers everything before it.

use std::sync::Arc;

use bywash_core::cast::to_u32;
use bywash_core::memory::Array;
use bywash_core::{AttemptId, Error, ErrorKind, Figure, MapId, Result};

use crate::names::DataName;
use crate::output_dir::OutputDir;
use crate::spec::PARTITIONS_MAX;
use crate::store::{Access, Name, Store, StoreDir, StoreFile, read_exact_at};
use crate::writer::{FileSink, PartitionArrays};

/// The first four bytes, "BWIX" in a file.
pub const INDEX_MAGIC: u32 = u32::from_le_bytes(*b"BWIX");
/// The format version this library writes.
pub const INDEX_VERSION: u32 = 1;
/// Bytes of the header.
pub const INDEX_HEADER_BYTES: usize = 128;
/// Bytes of the checksum at the end.
const CRC_BYTES: usize = 4;

/// Offsets of the header's fields.
pub mod index_offset {
    /// `u32` magic.
    pub const MAGIC: usize = 0;
    /// `u32` version.
    pub const VERSION: usize = MAGIC + 4;
    /// `u64` map id.
    pub const MAP: usize = VERSION + 4;
    /// `u64` attempt id.
    pub const ATTEMPT: usize = MAP + 8;
    /// `u64` schema fingerprint.
    pub const FINGERPRINT: usize = ATTEMPT + 8;
    /// `u64` length of the data file.
    pub const DATA_BYTES: usize = FINGERPRINT + 8;
    /// `u64` rows of all partitions.
    pub const ROWS: usize = DATA_BYTES + 8;
    /// `u32` number of partitions.
    pub const PARTITIONS: usize = ROWS + 8;
    /// `u32` bytes of the data file's name.
    pub const NAME_BYTES: usize = PARTITIONS + 4;
    /// 64 bytes: the data file's name, then zeros.
    pub const NAME: usize = NAME_BYTES + 4;
    /// 8 bytes of zeros.
    pub const RESERVED: usize = NAME + 64;
    const _: () = assert!(RESERVED + 8 == super::INDEX_HEADER_BYTES);
}

/// An index without its arrays.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexHeader {
    pub(crate) map: MapId,
    pub(crate) attempt: AttemptId,
    pub(crate) fingerprint: u64,
    pub(crate) data_bytes: u64,
    pub(crate) rows: u64,
    pub(crate) partitions: u32,
    pub(crate) data_name: Name,
}

impl IndexHeader {
    /// Reads the header and checks all that can be checked without the arrays; in particular the
    /// file's length, so that the arrays may be asked memory for.
    pub(crate) fn read(out: &Arc<OutputDir>, file: &StoreFile, map: MapId) -> Result<Self> {
        let header = read_header(out.store(), file)?;
        if header.map != map {
            return Err(Error::corrupt("an index is of another map than its name says")
                .with(Figure::Expected, map.0)
                .with(Figure::Found, header.map.0)
                .at(file.place()));
        }
        Ok(header)
    }

    /// Compares the file with its checksum, without a place for the arrays. Needs no memory.
    ///
    /// # Errors
    /// `Corrupt` when it is damaged or ends early; those of the system.
    pub(crate) fn check_file(&self, out: &Arc<OutputDir>, file: &StoreFile) -> Result<()> {
        let end = self.file_bytes() - CRC_BYTES as u64;
        let mut position = INDEX_HEADER_BYTES as u64;
        let mut crc = crc32c::crc32c(&self.encode());
        let mut buffer = [0; 4 << 10];
        while position < end {
            let len =
                usize::try_from(end - position).map_or(buffer.len(), |left| left.min(buffer.len()));
            let part = buffer.get_mut(..len).unwrap_or_default();
            read_exact_at(out.store(), file, part, position)?;
            position += len as u64;
            crc = crc32c::crc32c_append(crc, part);
        }
        check_crc(out, file, position, crc)
    }

    /// Bytes of the output's own files: the index and its data.
    pub(crate) fn committed_bytes(&self) -> u64 {
        self.file_bytes().saturating_add(self.data_bytes)
    }

    /// Bytes of the index file.
    fn file_bytes(&self) -> u64 {
        let partitions = u64::from(self.partitions);
        INDEX_HEADER_BYTES as u64 + (partitions + 1) * 8 + partitions * 12 + CRC_BYTES as u64
    }

    fn encode(&self) -> [u8; INDEX_HEADER_BYTES] {
        use index_offset as at;
        let mut bytes = [0; INDEX_HEADER_BYTES];
        let mut put = |offset: usize, field: &[u8]| {
            bytes[offset..offset + field.len()].copy_from_slice(field);
        };
        put(at::MAGIC, &INDEX_MAGIC.to_le_bytes());
        put(at::VERSION, &INDEX_VERSION.to_le_bytes());
        put(at::MAP, &self.map.0.to_le_bytes());
        put(at::ATTEMPT, &self.attempt.0.to_le_bytes());
        put(at::FINGERPRINT, &self.fingerprint.to_le_bytes());
        put(at::DATA_BYTES, &self.data_bytes.to_le_bytes());
        put(at::ROWS, &self.rows.to_le_bytes());
        put(at::PARTITIONS, &self.partitions.to_le_bytes());
        let name = self.data_name.as_bytes();
        put(at::NAME_BYTES, &to_u32(name.len()).to_le_bytes());
        put(at::NAME, name);
        bytes
    }

    fn decode(bytes: &[u8; INDEX_HEADER_BYTES]) -> Result<Self> {
        use index_offset as at;
        let u32_at =
            |offset: usize| bytes[offset..offset + 4].try_into().map_or(0, u32::from_le_bytes);
        let u64_at =
            |offset: usize| bytes[offset..offset + 8].try_into().map_or(0, u64::from_le_bytes);
        if u32_at(at::MAGIC) != INDEX_MAGIC {
            return Err(Error::corrupt("this is not an index"));
        }
        if u32_at(at::VERSION) != INDEX_VERSION {
            return Err(Error::new(ErrorKind::Unsupported, "an index of a newer format version")
                .with(Figure::Found, u32_at(at::VERSION)));
        }
        let partitions = u32_at(at::PARTITIONS);
        if partitions == 0 || partitions > PARTITIONS_MAX {
            return Err(Error::corrupt("an index has an impossible number of partitions")
                .with(Figure::Found, partitions));
        }
        let name = bytes[at::NAME..at::RESERVED].get(..u32_at(at::NAME_BYTES) as usize);
        let (map, attempt) = (MapId(u64_at(at::MAP)), AttemptId(u64_at(at::ATTEMPT)));
        let of_attempt = |data: DataName| (data.map, data.attempt) == (map, attempt);
        let data_name = name
            .and_then(|name| Name::from_bytes(name).ok())
            // A data file's name and nothing else: no path of another's choosing is ever opened.
            // And one of this attempt: a sweep looks for a data file's index by the map in its name.
            .filter(|name| DataName::parse(name).is_some_and(of_attempt))
            .ok_or(Error::corrupt("an index does not name its data file"))?;
        Ok(Self {
            map,
            attempt,
            fingerprint: u64_at(at::FINGERPRINT),
            data_bytes: u64_at(at::DATA_BYTES),
            rows: u64_at(at::ROWS),
            partitions,
            data_name,
        })
    }
}

/// Writes an index. Needs no memory.
pub(crate) fn write_index(
    header: &IndexHeader,
    arrays: &PartitionArrays,
    sink: &mut FileSink<'_>,
) -> Result<()> {
    sink.take_segment_crc();
    sink.append(&header.encode())?;
    sink.append(bytemuck::cast_slice(&arrays.offsets))?;
    sink.append(bytemuck::cast_slice(&arrays.rows))?;
    sink.append(bytemuck::cast_slice(&arrays.crcs))?;
    let crc = sink.take_segment_crc();
    sink.append(&crc.to_le_bytes())?;
    sink.flush()
}

/// Fills the arrays of an index whose header was read, and checks them. Needs no memory.
pub(crate) fn read_index(
    out: &Arc<OutputDir>,
    file: &StoreFile,
    header: &IndexHeader,
    arrays: &mut PartitionArrays,
) -> Result<()> {
    let store = out.store();
    let mut position = INDEX_HEADER_BYTES as u64;
    let mut crc = crc32c::crc32c(&header.encode());
    let PartitionArrays { offsets, rows, crcs } = arrays;
    for part in [as_bytes(offsets), as_bytes(rows), as_bytes(crcs)] {
        read_exact_at(store, file, part, position)?;
        position += part.len() as u64;
        crc = crc32c::crc32c_append(crc, part);
    }
    check_crc(out, file, position, crc)?;
    // A checksum is not trust: another process wrote this.
    let rising = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let ends = offsets.first() == Some(&0) && offsets.last() == Some(&header.data_bytes);
    let rows = rows.iter().try_fold(0u64, |sum, &rows| sum.checked_add(rows));
    if !rising || !ends || rows != Some(header.rows) {
        return Err(Error::corrupt("an index contradicts itself").at(file.place()));
    }
    Ok(())
}

/// Compares the checksum at `position` with that of what comes before it.
fn check_crc(out: &Arc<OutputDir>, file: &StoreFile, position: u64, crc: u32) -> Result<()> {
    let mut stored = [0; CRC_BYTES];
    read_exact_at(out.store(), file, &mut stored, position)?;
    if u32::from_le_bytes(stored) != crc {
        return Err(Error::corrupt("an index does not match its checksum").at(file.place()));
    }
    Ok(())
}

/// The data file an index names, for the sweep.
pub(crate) fn data_file_named_by(
    store: &dyn Store,
    dir: &StoreDir,
    name: &Name,
) -> Result<Option<Name>> {
    let file = store.open(dir, name, Access::Read)?;
    read_header(store, &file).map(|header| Some(header.data_name))
}

fn read_header(store: &dyn Store, file: &StoreFile) -> Result<IndexHeader> {
    let mut bytes = [0; INDEX_HEADER_BYTES];
    read_exact_at(store, file, &mut bytes, 0)?;
    let header = IndexHeader::decode(&bytes).map_err(|error| error.at(file.place()))?;
    // Fields that decoding does not keep must be what encoding would write.
    let found = store.len(file)?;
    if header.encode() != bytes || found != header.file_bytes() {
        return Err(Error::corrupt("an index does not have the length or header it should have")
            .with(Figure::Expected, header.file_bytes())
            .with(Figure::Found, found)
            .at(file.place()));
    }
    Ok(header)
}

fn as_bytes<T: bytemuck::Pod>(array: &mut Array<T>) -> &mut [u8] {
    bytemuck::cast_slice_mut(array)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_data_file_of_its_own_attempt() {
        let header = |map, attempt| IndexHeader {
            map: MapId(map),
            attempt: AttemptId(attempt),
            fingerprint: 1,
            data_bytes: 2,
            rows: 3,
            partitions: 4,
            data_name: Name::new("7.3.0123456789abcdef.data").unwrap(),
        };
        assert!(IndexHeader::decode(&header(7, 3).encode()).is_ok());
        assert!(IndexHeader::decode(&header(8, 3).encode()).is_err());
        assert!(IndexHeader::decode(&header(7, 4).encode()).is_err());
    }
}
