//! Whole reads, writes and creations over a store's partial ones.

use bywash_core::{Error, ErrorKind, Figure, Result};

use super::{Name, Store, StoreDir, StoreFile};

/// Writes all of `bytes` at `offset`. Needs no memory.
///
/// # Errors
/// Those of [`Store::write_at`]; `Io` when the system takes nothing and gives no reason. Part of
/// the bytes may have been written.
pub fn write_all_at(
    store: &dyn Store,
    file: &StoreFile,
    mut bytes: &[u8],
    mut offset: u64,
) -> Result<()> {
    while !bytes.is_empty() {
        let written = store.write_at(file, bytes, offset)?;
        let Some(rest) = bytes.get(written..).filter(|_| written > 0) else {
            return Err(Error::new(ErrorKind::Io, "a write took none of its bytes")
                .with(Figure::Offset, offset)
                .with(Figure::Length, bytes.len())
                .at(file.place()));
        };
        offset = advanced(offset, written)?;
        bytes = rest;
    }
    Ok(())
}

/// Fills `bytes` from `offset`. Needs no memory.
///
/// # Errors
/// Those of [`Store::read_at`]; `Corrupt` when the file ends before.
pub fn read_exact_at(
    store: &dyn Store,
    file: &StoreFile,
    bytes: &mut [u8],
    mut offset: u64,
) -> Result<()> {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let read = store.read_at(file, rest, offset)?;
        if read == 0 || read > rest.len() {
            return Err(Error::corrupt("a file is shorter than its own figures say")
                .with(Figure::Offset, offset)
                .with(Figure::Length, rest.len())
                .at(file.place()));
        }
        offset = advanced(offset, read)?;
        filled += read;
    }
    Ok(())
}

/// Creates a file under a name that nobody else uses; when that fails the name is not there either,
/// though a network filesystem whose answer was lost may have given it. Needs no memory.
///
/// # Errors
/// Those of [`Store::create_new`].
pub(crate) fn create_new_or_nothing(
    store: &dyn Store,
    dir: &StoreDir,
    name: &Name,
) -> Result<Option<StoreFile>> {
    let created = store.create_new(dir, name);
    if created.is_err() {
        // What cannot be removed goes with the session.
        drop(store.remove(dir, name));
    }
    created
}

fn advanced(offset: u64, bytes: usize) -> Result<u64> {
    offset.checked_add(u64::try_from(bytes).unwrap_or(u64::MAX)).ok_or_else(|| {
        Error::invalid("a file offset is at most 2^64 - 1").with(Figure::Offset, offset)
    })
}
