//! Rows that keys are made of, wherever they lie.

use crate::cast::to_usize;
use crate::chunk::{SortedChunk, Staging};
use crate::column::{ColumnView, Physical, Values};

/// Rows by number. No method allocates.
pub trait KeyRows {
    /// Whether a row is null in a column.
    fn is_null(&self, node: usize, row: usize) -> bool;

    /// A row's bytes in a column, as Arrow has them; of a boolean one byte, 0 or 1. Under a null
    /// anything.
    fn bytes(&self, node: usize, physical: Physical, row: usize) -> &[u8];

    /// A byte a row, 0 where null, if the rows have that and any may be null.
    fn validity(&self, node: usize) -> Option<&[u8]>;

    /// The values of all rows one after another, `width` bytes each, if they lie so; a boolean is a
    /// byte.
    fn fixed(&self, node: usize, width: usize) -> Option<&[u8]>;
}

/// The rows of a sorted chunk.
#[derive(Debug, Clone, Copy)]
pub struct ChunkRows<'a>(pub &'a SortedChunk);

/// The rows of a caller's batch, as views of its columns. Offsets must have been checked.
#[derive(Debug, Clone, Copy)]
pub struct ViewRows<'a>(pub &'a [ColumnView]);

impl KeyRows for ChunkRows<'_> {
    fn is_null(&self, node: usize, row: usize) -> bool {
        self.0.validity(node).is_some_and(|validity| validity[row] == 0)
    }

    fn bytes(&self, node: usize, physical: Physical, row: usize) -> &[u8] {
        match physical {
            Physical::Null => &[],
            Physical::Bool => &self.0.fixed(node, 1)[row..=row],
            Physical::Fixed { width } => {
                let width = width as usize;
                &self.0.fixed(node, width)[row * width..(row + 1) * width]
            }
            Physical::Variable { .. } => {
                let offsets = self.0.offsets(node);
                &self.0.data(node)[offsets[row] as usize..offsets[row + 1] as usize]
            }
        }
    }

    fn validity(&self, node: usize) -> Option<&[u8]> {
        self.0.validity(node)
    }

    fn fixed(&self, node: usize, width: usize) -> Option<&[u8]> {
        Some(self.0.fixed(node, width))
    }
}

impl KeyRows for Staging {
    fn is_null(&self, node: usize, row: usize) -> bool {
        self.node_validity(node).is_some_and(|validity| validity[row] == 0)
    }

    fn bytes(&self, node: usize, physical: Physical, row: usize) -> &[u8] {
        match physical {
            Physical::Null => &[],
            Physical::Bool => &self.node_values(node, 1)[row..=row],
            Physical::Fixed { width } => {
                let width = width as usize;
                &self.node_values(node, width)[row * width..(row + 1) * width]
            }
            Physical::Variable { .. } => {
                let place = self.node_places(node)[row];
                let start = to_usize(place & u64::from(u32::MAX));
                &self.data()[start..start + to_usize(place >> 32)]
            }
        }
    }

    fn validity(&self, node: usize) -> Option<&[u8]> {
        self.node_validity(node)
    }

    fn fixed(&self, node: usize, width: usize) -> Option<&[u8]> {
        Some(self.node_values(node, width))
    }
}

impl KeyRows for ViewRows<'_> {
    fn is_null(&self, node: usize, row: usize) -> bool {
        self.0[node].nulls().is_some_and(|nulls| nulls.is_null(row))
    }

    fn bytes(&self, node: usize, _physical: Physical, row: usize) -> &[u8] {
        let view = &self.0[node];
        match view.values() {
            Values::Null => &[],
            values @ Values::Bits { .. } => {
                if values.bit(row) {
                    &[1]
                } else {
                    &[0]
                }
            }
            Values::Fixed(bytes) => {
                let width = view.width();
                &bytes[row * width..(row + 1) * width]
            }
            values @ (Values::Narrow(_, data) | Values::Wide(_, data)) => {
                values.data_range(row).ok().and_then(|range| data.get(range)).unwrap_or_default()
            }
        }
    }

    fn validity(&self, _node: usize) -> Option<&[u8]> {
        None
    }

    fn fixed(&self, _node: usize, _width: usize) -> Option<&[u8]> {
        None
    }
}
