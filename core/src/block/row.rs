//! One row that is too large for a block, piece by piece.

use crate::Result;
use crate::chunk::SortedChunk;
use crate::column::{ColumnView, Layout, Physical, Values};

/// One row, from wherever it lies. No method allocates.
pub trait RowSource {
    /// Whether the row is null at `node`.
    fn is_null(&self, node: usize) -> bool;

    /// The row's bytes at `node`: fixed or variable data; for a boolean one byte, 0 or 1.
    ///
    /// # Errors
    /// `InvalidArgument` for offsets that point outside their data.
    fn bytes(&self, node: usize) -> Result<&[u8]>;
}

/// A row of a sorted chunk.
#[derive(Debug, Clone, Copy)]
pub struct ChunkRow<'a> {
    /// The chunk.
    pub chunk: &'a SortedChunk,
    /// What its rows look like.
    pub layout: &'a Layout,
    /// The row.
    pub row: u32,
}

impl RowSource for ChunkRow<'_> {
    fn is_null(&self, node: usize) -> bool {
        self.chunk.validity(node).is_some_and(|validity| validity[self.row as usize] == 0)
    }

    fn bytes(&self, node: usize) -> Result<&[u8]> {
        let row = self.row as usize;
        Ok(match self.layout.nodes()[node].physical {
            Physical::Null => &[],
            Physical::Bool => &self.chunk.fixed(node, 1)[row..=row],
            Physical::Fixed { width } => {
                let width = width as usize;
                &self.chunk.fixed(node, width)[row * width..(row + 1) * width]
            }
            Physical::Variable { .. } => {
                let offsets = self.chunk.offsets(node);
                &self.chunk.data(node)[offsets[row] as usize..offsets[row + 1] as usize]
            }
        })
    }
}

/// A row of the caller's batch.
#[derive(Debug, Clone, Copy)]
pub struct ArrayRow<'a> {
    /// The batch's columns.
    pub views: &'a [ColumnView],
    /// The row.
    pub row: usize,
}

impl RowSource for ArrayRow<'_> {
    fn is_null(&self, node: usize) -> bool {
        self.views[node].nulls().is_some_and(|nulls| nulls.is_null(self.row))
    }

    fn bytes(&self, node: usize) -> Result<&[u8]> {
        let view = &self.views[node];
        Ok(match view.values() {
            Values::Null => &[],
            values @ Values::Bits { .. } => {
                if values.bit(self.row) {
                    &[1]
                } else {
                    &[0]
                }
            }
            Values::Fixed(bytes) => {
                let width = view.width();
                &bytes[self.row * width..(self.row + 1) * width]
            }
            Values::Narrow(_, data) | Values::Wide(_, data) => &data[view.data_range(self.row)?],
        })
    }
}
