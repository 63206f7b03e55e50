//! How large rows are once in a block.

use super::header::{FRAME_HEADER_BYTES, HEADER_BYTES};
use crate::chunk::SortedChunk;
use crate::column::{Layout, Physical};
use crate::prefetch::prefetch_all;

/// How much memory rows of a layout take in a chunk, at most, beside the bytes of the block they were read from:
/// never less than in a block.
#[derive(Debug, Clone)]
pub struct ChunkSizes {
    row_bytes: usize,
    overhead: usize,
    variable: Box<[usize]>,
    /// Nodes of values of one width, and their width.
    fixed: Box<[(usize, usize)]>,
}

impl ChunkSizes {
    /// Sizes for rows of `layout`.
    pub fn new(layout: &Layout) -> Self {
        let bytes = |physical| match physical {
            Physical::Null => 0,
            // A byte, and its bit.
            Physical::Bool => 2,
            Physical::Fixed { width } => width as usize,
            // Its offset, and its length.
            Physical::Variable { .. } => 4 + physical.length_bytes(),
        };
        let nodes = layout.nodes();
        let row_bytes =
            nodes.iter().map(|node| bytes(node.physical) + 2 * usize::from(node.nullable)).sum();
        let variable = (0..nodes.len())
            .filter(|&node| matches!(nodes[node].physical, Physical::Variable { .. }))
            .collect();
        // What parts lose to alignment is counted for each.
        let overhead = SortedChunk::bytes_at_most(layout, 0, 0)
            + 4 * 32 * nodes.len()
            + layout.prefix_bytes(false)
            + FRAME_HEADER_BYTES
            + 2 * HEADER_BYTES;
        let fixed = nodes.iter().enumerate().filter_map(|(index, node)| match node.physical {
            Physical::Bool => Some((index, 1)),
            Physical::Fixed { width } => Some((index, width as usize)),
            Physical::Null | Physical::Variable { .. } => None,
        });
        Self { row_bytes, overhead, variable, fixed: fixed.collect() }
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

    /// Works out the variable data of each row from `start` on, for each place of `out`, and asks the
    /// processor for these rows, and for the places of as many after them: lanes of a merge are too many for it
    /// to foresee by itself what each will want.
    pub fn data_bytes_ahead(&self, chunk: &SortedChunk, start: u32, out: &mut [u32]) {
        let start = start as usize;
        let end = start + out.len();
        let after = (end + out.len()).min(chunk.rows() as usize);
        out.fill(0);
        for &(node, width) in &self.fixed {
            let places = end * width..after * width;
            prefetch_all(first_of(&chunk.fixed(node, width)[places]));
        }
        for &node in &self.variable {
            let offsets = chunk.offsets(node);
            prefetch_all(bytemuck::cast_slice(&offsets[end..=after]));
            let these = &offsets[start..=end];
            for (bytes, ends) in out.iter_mut().zip(these.windows(2)) {
                *bytes = bytes.saturating_add(ends[1] - ends[0]);
            }
            let (first, last) = (these[0] as usize, these[end - start] as usize);
            prefetch_all(first_of(&chunk.data(node)[first..last]));
        }
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

fn first_of(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(AHEAD_BYTES_MAX)]
}

/// Bytes of a column asked for ahead at most: more would push out of the cache what comes before it.
const AHEAD_BYTES_MAX: usize = 8 << 10;

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
