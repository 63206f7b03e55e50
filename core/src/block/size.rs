//! How large rows are once in a block.

use crate::chunk::SortedChunk;
use crate::column::{Layout, Physical};

/// How much memory rows of a layout take in a chunk, at most; never less than in a block.
#[derive(Debug, Clone)]
pub struct ChunkSizes {
    row_bytes: usize,
    overhead: usize,
    variable: Box<[usize]>,
}

impl ChunkSizes {
    /// Sizes for rows of `layout`.
    pub fn new(layout: &Layout) -> Self {
        let bytes = |physical| match physical {
            Physical::Null => 0,
            Physical::Bool => 1,
            Physical::Fixed { width } => width as usize,
            Physical::Variable { .. } => physical.length_bytes(),
        };
        let nodes = layout.nodes();
        let row_bytes =
            nodes.iter().map(|node| bytes(node.physical) + usize::from(node.nullable)).sum();
        let variable = (0..nodes.len())
            .filter(|&node| matches!(nodes[node].physical, Physical::Variable { .. }))
            .collect();
        // What parts lose to alignment is counted for each.
        let overhead = SortedChunk::bytes_at_most(layout, 0, 0) + 3 * 16 * nodes.len();
        Self { row_bytes, overhead, variable }
    }

    /// Bytes of one row without its variable data.
    pub const fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Bytes of `rows` rows with `data_bytes` of variable data.
    pub const fn bytes(&self, rows: usize, data_bytes: usize) -> usize {
        rows.saturating_mul(self.row_bytes).saturating_add(data_bytes)
    }

    /// The length of an area that holds any rows of so many bytes.
    pub const fn area_bytes(&self, bytes: usize) -> usize {
        bytes.saturating_add(self.overhead)
    }

    /// Variable data of rows `start..end` of a chunk.
    #[inline]
    pub fn data_bytes(&self, chunk: &SortedChunk, start: u32, end: u32) -> usize {
        let mut bytes = 0;
        for &node in &self.variable {
            let offsets = chunk.offsets(node);
            bytes += (offsets[end as usize] - offsets[start as usize]) as usize;
        }
        bytes
    }
}

/// The sizes of a layout's rows in a block, worked out once.
#[derive(Debug, Clone)]
pub struct RowSizes {
    row_bytes: usize,
    bitmaps: usize,
    variable: Box<[usize]>,
}

impl RowSizes {
    /// Sizes for rows of `layout`.
    pub fn new(layout: &Layout) -> Self {
        let nodes = layout.nodes();
        let bitmaps = nodes
            .iter()
            .map(|node| match node.physical {
                Physical::Null => 0,
                Physical::Bool => 1 + usize::from(node.nullable),
                _ => usize::from(node.nullable),
            })
            .sum();
        let variable = (0..nodes.len())
            .filter(|&node| matches!(nodes[node].physical, Physical::Variable { .. }))
            .collect();
        Self { row_bytes: layout.fixed_row_bytes(), bitmaps, variable }
    }

    /// Bytes of `rows` rows with `data_bytes` of variable data, at most.
    pub fn raw_bytes(&self, rows: usize, data_bytes: usize) -> usize {
        rows.saturating_mul(self.row_bytes)
            .saturating_add(rows.div_ceil(8) * self.bitmaps)
            .saturating_add(data_bytes)
    }

    /// Variable data of rows `start..end` of a chunk.
    pub fn data_bytes(&self, chunk: &SortedChunk, start: u32, end: u32) -> usize {
        self.variable
            .iter()
            .map(|&node| {
                let offsets = chunk.offsets(node);
                (offsets[end as usize] - offsets[start as usize]) as usize
            })
            .sum()
    }

    /// How many rows of `start..end` of a chunk fit a block that already has `rows` and
    /// `data_bytes` and may reach `raw_bytes_max`; and their variable data.
    pub fn rows_within(
        &self,
        chunk: &SortedChunk,
        (start, end): (u32, u32),
        (rows, data_bytes): (usize, usize),
        raw_bytes_max: usize,
    ) -> (u32, usize) {
        let fits = |count: u32| {
            let data = self.data_bytes(chunk, start, start + count);
            let raw = self.raw_bytes(rows + count as usize, data_bytes + data);
            (raw <= raw_bytes_max).then_some(data)
        };
        // Most segments fit whole: ask once before searching.
        if let Some(data) = fits(end - start) {
            return (end - start, data);
        }
        let (mut least, mut most) = ((0, 0), end - start - 1);
        while least.0 < most {
            let middle = least.0 + (most - least.0).div_ceil(2);
            match fits(middle) {
                Some(data) => least = (middle, data),
                None => most = middle - 1,
            }
        }
        least
    }
}
