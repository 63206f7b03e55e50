//! The table at the end of a run: where each segment ends.

use bywash_core::cast::to_u32;
use bywash_core::port::BlockSink;
use bywash_core::{Error, Figure, Result};

use crate::writer::FileSink;

/// Bytes of a page.
pub(crate) const PAGE_BYTES: usize = 1024;
const ENTRIES: usize = 126;
const PAGE_NUMBER: usize = ENTRIES * 8;
const PAGE_CRC: usize = PAGE_NUMBER + 4;

/// Appends the table of segments that end at `ends`.
pub(crate) fn write_table(ends: &[u64], sink: &mut FileSink<'_>) -> Result<()> {
    for (number, entries) in (0u32..).zip(ends.chunks(ENTRIES)) {
        let page = &mut sink.space(PAGE_BYTES)?[..PAGE_BYTES];
        page.fill(0);
        for (slot, end) in page.chunks_exact_mut(8).zip(entries) {
            slot.copy_from_slice(&end.to_le_bytes());
        }
        page[PAGE_NUMBER..PAGE_CRC].copy_from_slice(&number.to_le_bytes());
        let crc = crc32c::crc32c(&page[..PAGE_CRC]);
        page[PAGE_CRC..PAGE_CRC + 4].copy_from_slice(&crc.to_le_bytes());
        sink.advance(PAGE_BYTES);
    }
    Ok(())
}

/// The page of a partition's segment and its entry there.
pub(super) fn place(partition: u32) -> (u32, usize) {
    let entries = to_u32(ENTRIES);
    (partition / entries, (partition % entries) as usize)
}

/// Checks a page that was read.
pub(super) fn check_page(page: &[u8], number: u32) -> Result<()> {
    let word = |at: usize| page[at..at + 4].try_into().map_or(0, u32::from_le_bytes);
    if word(PAGE_CRC) != crc32c::crc32c(&page[..PAGE_CRC]) || word(PAGE_NUMBER) != number {
        return Err(Error::corrupt("a run's table does not match its checksum")
            .with(Figure::Offset, number));
    }
    Ok(())
}

/// An entry of a checked page.
pub(super) fn entry(page: &[u8], entry: usize) -> u64 {
    page[entry * 8..entry * 8 + 8]
        .try_into()
        .map_or(0, u64::from_le_bytes)
}
