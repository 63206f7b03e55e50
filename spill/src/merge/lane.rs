//! Where one source of a merge stands.

use bywash_core::key::{ChunkRows, Prefix};

use super::Rows;

/// Rows whose parts and sizes a lane works out at once.
const RING: usize = 32;

/// A row of one source, and those after it.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    /// The chunk or slot that holds its rows.
    pub(super) chunk: u32,
    pub(super) row: u32,
    pub(super) rows: u32,
    /// Its one row is a chain of blocks, and so in no chunk.
    is_wide: bool,
    /// Its chunk is a slot that nobody else holds.
    holds_slot: bool,
    /// The row to go back to.
    pub(super) mark: u32,
    wide_prefix: Prefix,
    /// The rows whose parts are in `ring`, and whose variable data is in `data_bytes`.
    ring_start: u32,
    ring_end: u32,
    ring: [u64; RING],
    data_bytes: [u32; RING],
}

impl Lane {
    /// Without rows.
    pub(crate) const EMPTY: Self = Self {
        chunk: 0,
        row: 0,
        rows: 0,
        is_wide: false,
        holds_slot: false,
        mark: 0,
        wide_prefix: 0,
        ring_start: 0,
        ring_end: 0,
        ring: [0; RING],
        data_bytes: [0; RING],
    };

    /// Begins with the rows of a chunk.
    pub(crate) const fn set_chunk(&mut self, chunk: u32, rows: u32) {
        self.chunk = chunk;
        (self.row, self.rows) = (0, rows);
        (self.ring_start, self.ring_end) = (0, 0);
        self.is_wide = false;
    }

    /// Begins with one row that is in no chunk.
    pub(crate) const fn set_wide(&mut self, prefix: Prefix) {
        (self.row, self.rows) = (0, 1);
        self.wide_prefix = prefix;
        self.is_wide = true;
    }

    /// Begins with the rows of a slot, which it gives up when they are picked.
    pub(crate) const fn set_slot(&mut self, slot: u32, rows: u32) {
        self.set_chunk(slot, rows);
        self.holds_slot = true;
    }

    /// The slot it held, once its rows are picked.
    pub(crate) const fn take_slot(&mut self) -> Option<u32> {
        if self.holds_slot {
            self.holds_slot = false;
            return Some(self.chunk);
        }
        None
    }

    /// Remembers `row` of its next chunk as the one to go back to, and has no rows meanwhile.
    pub(crate) fn empty_with_mark(&mut self, row: u32) {
        *self = Self { mark: row, ..Self::EMPTY };
    }

    /// Goes on from the row that was remembered.
    pub(crate) const fn go_back_to_mark(&mut self) {
        self.go_back(self.mark);
    }

    /// The row that was remembered.
    pub(crate) const fn mark(&self) -> u32 {
        self.mark
    }

    /// Remembers a row to go back to.
    pub(crate) const fn set_mark(&mut self, row: u32) {
        self.mark = row;
    }

    /// Goes past its row.
    pub(crate) const fn skip(&mut self) {
        self.row += 1;
    }

    /// Goes back to a row of its chunk.
    pub(super) const fn go_back(&mut self, row: u32) {
        self.row = row;
        (self.ring_start, self.ring_end) = (0, 0);
    }

    pub(crate) const fn is_dry(&self) -> bool {
        self.row >= self.rows
    }

    pub(crate) const fn is_wide(&self) -> bool {
        self.is_wide
    }

    /// The chunk of its row, and the row there.
    pub(crate) const fn place(&self) -> (u32, u32) {
        (self.chunk, self.row)
    }

    /// What of its row's key is compared first, if it has a row.
    #[inline]
    pub(super) fn head(&mut self, rows: &Rows<'_>) -> Option<u64> {
        if self.row >= self.rows {
            return None;
        }
        if self.is_wide {
            return Some(rows.part.take(self.wide_prefix));
        }
        if self.row < self.ring_start || self.row >= self.ring_end {
            self.fill_ring(rows);
        }
        Some(self.ring[(self.row - self.ring_start) as usize])
    }

    /// Bytes of variable data of its row, which [`Lane::head`] was asked for and which lies in a chunk.
    #[inline]
    pub(super) fn data_bytes(&self) -> usize {
        self.data_bytes[(self.row - self.ring_start) as usize] as usize
    }

    #[inline(never)]
    fn fill_ring(&mut self, rows: &Rows<'_>) {
        const STEP: u32 = 32;
        const _: () = assert!(STEP as usize == RING);
        self.ring_start = self.row;
        self.ring_end = self.rows.min(self.row.saturating_add(STEP));
        let range = self.ring_start as usize..self.ring_end as usize;
        let chunk = &rows.chunks[self.chunk as usize];
        let count = range.len();
        let mut prefixes: [Prefix; RING] = [0; RING];
        rows.key.prefixes(&ChunkRows(chunk), range, &mut prefixes[..count]);
        for (part, prefix) in self.ring.iter_mut().zip(&prefixes[..count]) {
            *part = rows.part.take(*prefix);
        }
        rows.sizes.data_bytes_ahead(chunk, self.ring_start, &mut self.data_bytes[..count]);
    }
}
