//! Runs: what one spill wrote, partitions in order, read back once by a merge.
//!
//! ```text
//! | segment 0 | segment 1 | ... | table page | table page | ... |
//! ```
//!
//! A table page holds the ends of 126 segments, its number and a CRC-32C. A merge reads each run
//! forwards through one page-sized window; in memory a run is a record of fixed size.

mod table;

use bywash_core::block::BlockVerifier;
use bywash_core::port::BlockSink;
use bywash_core::{Error, Figure, Result};

use crate::spill_dirs::SpillFile;
use crate::writer::FileSink;

pub(crate) use table::write_table;
pub use table::{PAGE_BYTES, PAGE_ENTRIES, page_offset};

/// Runs a writer keeps before it merges some: a file descriptor and a window each.
pub(crate) const RUNS_MAX: usize = 64;

/// One spilled file.
#[derive(Debug)]
pub(crate) struct Run {
    file: SpillFile,
    /// Bytes of all segments; the table follows.
    data_bytes: u64,
    file_bytes: u64,
    /// Where the next segment begins, and the table page in the window, while merging.
    position: u64,
    page: Option<u32>,
}

impl Run {
    pub(crate) const fn new(file: SpillFile, data_bytes: u64, file_bytes: u64) -> Self {
        Self { file, data_bytes, file_bytes, position: 0, page: None }
    }

    /// Bytes on disk.
    pub(crate) const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// Fills `bytes` from `offset` of its file.
    pub(crate) fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    /// Begins a merge.
    pub(crate) const fn rewind(&mut self) {
        self.position = 0;
        self.page = None;
    }

    /// Appends the segment of `partition` to `sink`, checking every block; returns its rows. A
    /// merge asks for all partitions in rising order.
    pub(crate) fn copy_segment(
        &mut self,
        partition: u32,
        fingerprint: u64,
        window: &mut [u8],
        sink: &mut FileSink<'_>,
    ) -> Result<u64> {
        let end = self.segment_end(partition, window)?;
        let mut verifier = BlockVerifier::new(partition, fingerprint);
        while self.position < end {
            let left = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            let space = sink.space(left.min(COPY_BYTES_MIN))?;
            let len = left.min(space.len());
            self.file.read_exact_at(&mut space[..len], self.position)?;
            verifier.feed(&space[..len])?;
            sink.advance(len);
            self.position += len as u64;
        }
        verifier.finish()
    }

    fn segment_end(&mut self, partition: u32, window: &mut [u8]) -> Result<u64> {
        let (page, entry) = table::place(partition);
        if self.page != Some(page) {
            let offset = self.data_bytes + u64::from(page) * PAGE_BYTES as u64;
            self.file.read_exact_at(window, offset)?;
            table::check_page(window, page)?;
            self.page = Some(page);
        }
        let end = table::entry(window, entry);
        if end < self.position || end > self.data_bytes {
            return Err(Error::corrupt("a run's table contradicts itself")
                .with(Figure::Partition, partition));
        }
        Ok(end)
    }
}

/// Room asked for before a segment's bytes are read: below, reads would get too small.
const COPY_BYTES_MIN: usize = 16 << 10;
