//! The schema file, one for each schema of an output directory: `schema-<fingerprint>`.
//!
//! ```text
//! | magic 4 | version 4 | length 4 | CRC-32C of the encoding 4 | encoding |
//! ```
//! Its name follows from its bytes, so whoever publishes it first has published it for all.

use std::sync::Arc;

use bywash_core::column::{Layout, decode_schema, decoded_bytes_max};
use bywash_core::memory::{Block, Consumer};
use bywash_core::{Error, ErrorKind, Figure, Result};

use super::open_part;
use crate::output_dir::{OutputDir, Rounds, Withdrawn};
use crate::store::{Name, Publish, StoreFile, read_exact_at};
use schema_offset as at;

/// The first four bytes, "BWSC" in a file.
pub const SCHEMA_MAGIC: u32 = u32::from_le_bytes(*b"BWSC");
/// The format version this library writes.
pub const SCHEMA_VERSION: u32 = 1;
/// Bytes before the encoding.
pub const SCHEMA_HEADER_BYTES: usize = 16;
/// Bytes of an encoding at most.
pub const SCHEMA_BYTES_MAX: u64 = 16 << 20;

/// Offsets of the fields before the encoding.
pub mod schema_offset {
    /// `u32` magic.
    pub const MAGIC: usize = 0;
    /// `u32` version.
    pub const VERSION: usize = MAGIC + 4;
    /// `u32` bytes of the encoding.
    pub const LENGTH: usize = VERSION + 4;
    /// `u32` CRC-32C of the encoding.
    pub const CRC: usize = LENGTH + 4;
    const _: () = assert!(CRC + 4 == super::SCHEMA_HEADER_BYTES);
}

/// Publishes a schema's encoding unless it is there; a damaged one is replaced. Needs no memory.
///
/// # Errors
/// Those of the system; `Corrupt` for a damaged one on a filesystem without locks, where replacing is
/// not safe.
pub(crate) fn publish_schema(out: &Arc<OutputDir>, fingerprint: u64, encoded: &[u8]) -> Result<()> {
    let name = schema_name(fingerprint)?;
    let len = u32::try_from(encoded.len()).ok().filter(|len| u64::from(*len) <= SCHEMA_BYTES_MAX);
    let len = len.ok_or_else(|| TOO_LONG.with(Figure::Length, encoded.len()))?;
    let mut header = [0; SCHEMA_HEADER_BYTES];
    header[at::MAGIC..at::VERSION].copy_from_slice(&SCHEMA_MAGIC.to_le_bytes());
    header[at::VERSION..at::LENGTH].copy_from_slice(&SCHEMA_VERSION.to_le_bytes());
    header[at::LENGTH..at::CRC].copy_from_slice(&len.to_le_bytes());
    header[at::CRC..].copy_from_slice(&crc32c::crc32c(encoded).to_le_bytes());
    let mut rounds = Rounds::default();
    loop {
        if let Some(file) = out.open_to_withdraw(&name)? {
            if is_published(out, &file, &header, encoded)? {
                return Ok(());
            }
            match out.withdraw(&name, &file)? {
                Withdrawn::Done | Withdrawn::Gone => {}
                Withdrawn::Busy => rounds.wait()?,
                Withdrawn::WithoutLock => return Err(DAMAGED.at(file.place())),
            }
        }
        let mut file = out.create()?;
        file.write_all_at(&header, 0)?;
        file.write_all_at(encoded, SCHEMA_HEADER_BYTES as u64)?;
        match file.commit(&name)? {
            Publish::Done => return Ok(()),
            // Looked at, too, before it is relied upon.
            Publish::AlreadyExists => rounds.next()?,
        }
    }
}

/// Whether a file is what [`publish_schema`] writes, or another version's.
fn is_published(
    out: &OutputDir,
    file: &StoreFile,
    header: &[u8; SCHEMA_HEADER_BYTES],
    encoded: &[u8],
) -> Result<bool> {
    let store = out.store();
    let mut found = [0; SCHEMA_HEADER_BYTES];
    let whole = (SCHEMA_HEADER_BYTES + encoded.len()) as u64;
    let len = store.len(file)?;
    if len < SCHEMA_HEADER_BYTES as u64 {
        return Ok(false);
    }
    read_exact_at(store, file, &mut found, 0)?;
    let version = found[at::VERSION..at::LENGTH].try_into().map_or(0, u32::from_le_bytes);
    if found[..at::VERSION] == header[..at::VERSION] && version > SCHEMA_VERSION {
        return Ok(true);
    }
    if found != *header || len != whole {
        return Ok(false);
    }
    let mut position = SCHEMA_HEADER_BYTES as u64;
    let mut buffer = [0; 1 << 10];
    for expected in encoded.chunks(buffer.len()) {
        let part = buffer.get_mut(..expected.len()).unwrap_or_default();
        read_exact_at(store, file, part, position)?;
        if part != expected {
            return Ok(false);
        }
        position += expected.len() as u64;
    }
    Ok(true)
}

/// Reads the schema of a fingerprint, taken apart.
pub(crate) fn read_schema(
    out: &Arc<OutputDir>,
    fingerprint: u64,
    consumer: &Consumer,
) -> Result<Layout> {
    let name = schema_name(fingerprint)?;
    let file = open_part(out, &name)?;
    let mut header = [0; SCHEMA_HEADER_BYTES];
    read_exact_at(out.store(), &file, &mut header, 0)?;
    let word = |field: usize| header[field..field + 4].try_into().map_or(0, u32::from_le_bytes);
    let damaged = || DAMAGED.at(file.place());
    if word(at::MAGIC) != SCHEMA_MAGIC {
        return Err(damaged());
    }
    if word(at::VERSION) != SCHEMA_VERSION {
        return Err(Error::new(ErrorKind::Unsupported, "a schema of a newer format version")
            .with(Figure::Found, word(at::VERSION))
            .at(file.place()));
    }
    let len = u64::from(word(at::LENGTH));
    if len > SCHEMA_BYTES_MAX || out.store().len(&file)? != SCHEMA_HEADER_BYTES as u64 + len {
        return Err(damaged());
    }
    let mut encoded = Block::try_new(consumer, word(at::LENGTH) as usize)?;
    read_exact_at(out.store(), &file, &mut encoded, SCHEMA_HEADER_BYTES as u64)?;
    if crc32c::crc32c(&encoded) != word(at::CRC) {
        return Err(damaged());
    }
    // Charged while it is made: whoever wrote the file also chose how much that takes.
    let mut decoded = consumer.reserve(decoded_bytes_max(&encoded))?;
    decoded.set_live(decoded.granted());
    let layout = decode_schema(&encoded)
        .and_then(|schema| Layout::try_new(Arc::new(schema)))
        .map_err(|error| error.at(file.place()))?;
    if layout.fingerprint() != fingerprint {
        return Err(Error::corrupt("a schema file does not have the fingerprint of its name")
            .at(file.place()));
    }
    Ok(layout)
}

fn schema_name(fingerprint: u64) -> Result<Name> {
    Name::format(format_args!("schema-{fingerprint:016x}"))
}

const DAMAGED: Error = Error::corrupt("a schema file is damaged");
const TOO_LONG: Error = Error::invalid("a schema's encoding is above 16 MiB; drop metadata");
