//! The table at the end of a run: where each segment ends.

use bywash_core::cast::to_u32;
use bywash_core::port::BlockSink;
use bywash_core::{Error, Figure, Result};

use crate::writer::FileSink;
use page_offset as at;

/// Bytes of a page of a run's table.
pub const PAGE_BYTES: usize = 1024;
/// Segments whose ends a page holds.
pub const PAGE_ENTRIES: usize = 126;

/// Offsets of a page's fields.
pub mod page_offset {
    /// `u64` ends of the segments, zeros after the last.
    pub const ENDS: usize = 0;
    /// `u32` number of the page, from 0.
    pub const NUMBER: usize = ENDS + super::PAGE_ENTRIES * 8;
    /// `u32` CRC-32C of the page before this field.
    pub const CRC: usize = NUMBER + 4;
    /// 8 bytes of zeros.
    pub const ZEROS: usize = CRC + 4;
    const _: () = assert!(ZEROS + 8 == super::PAGE_BYTES);
}

/// Appends the table of segments that end at `ends`.
pub(crate) fn write_table(ends: &[u64], sink: &mut FileSink<'_>) -> Result<()> {
    for (number, entries) in (0u32..).zip(ends.chunks(PAGE_ENTRIES)) {
        let page = &mut sink.space(PAGE_BYTES)?[..PAGE_BYTES];
        page.fill(0);
        for (slot, end) in page.chunks_exact_mut(8).zip(entries) {
            slot.copy_from_slice(&end.to_le_bytes());
        }
        page[at::NUMBER..at::CRC].copy_from_slice(&number.to_le_bytes());
        let crc = crc32c::crc32c(&page[..at::CRC]);
        page[at::CRC..at::ZEROS].copy_from_slice(&crc.to_le_bytes());
        sink.advance(PAGE_BYTES);
    }
    Ok(())
}

/// The page of a partition's segment and its entry there.
pub(super) fn place(partition: u32) -> (u32, usize) {
    let entries = to_u32(PAGE_ENTRIES);
    (partition / entries, (partition % entries) as usize)
}

/// Checks a page that was read.
pub(super) fn check_page(page: &[u8], number: u32) -> Result<()> {
    let word = |field: usize| page[field..field + 4].try_into().map_or(0, u32::from_le_bytes);
    if word(at::CRC) != crc32c::crc32c(&page[..at::CRC]) || word(at::NUMBER) != number {
        return Err(Error::corrupt("a run's table does not match its checksum")
            .with(Figure::Offset, number));
    }
    Ok(())
}

/// An entry of a checked page.
pub(super) fn entry(page: &[u8], entry: usize) -> u64 {
    page[entry * 8..entry * 8 + 8].try_into().map_or(0, u64::from_le_bytes)
}
