//! Columns as trees of buffers.
//!
//! A schema becomes a list of [`Node`]s in pre-order. A node has, in this order, an optional
//! validity bitmap and the buffers of its [`Physical`] shape; nested types will add nodes of their
//! own and follow their parent. Everything that moves rows works on nodes, never on Arrow's types.

mod schema_codec;
mod types;
mod view;

use arrow_schema::{DataType, SchemaRef};
use twox_hash::XxHash3_64;

use crate::{Error, ErrorKind, Figure, Result};

pub use schema_codec::{ENTRIES_MAX, decode_schema, decoded_bytes_max, encode_schema};
pub use view::{ColumnView, Values};

/// Buffers of one block at most: a frame, which may hold all of them, counts them in 16 bits.
const BUFFERS_MAX: usize = 65_535;

/// How a node's values lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Physical {
    /// No buffers at all.
    Null,
    /// One bit a row.
    Bool,
    /// A fixed number of bytes a row.
    Fixed {
        /// Bytes a row.
        width: u32,
    },
    /// Bytes of any length a row: a length for each row, then the data.
    Variable {
        /// Whether Arrow's offsets are 64 bits wide; lengths have the same width.
        wide: bool,
    },
}

impl Physical {
    /// Bytes of one length in a block.
    pub const fn length_bytes(self) -> usize {
        match self {
            Self::Variable { wide: true } => 8,
            Self::Variable { wide: false } => 4,
            _ => 0,
        }
    }
}

/// One node of a column's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// How its values lie in memory.
    pub physical: Physical,
    /// Whether rows may be null here.
    pub nullable: bool,
    /// Nodes after this one that belong to it; none of today's types has any.
    pub descendants: usize,
}

/// A schema taken apart into nodes.
#[derive(Debug, Clone)]
pub struct Layout {
    schema: SchemaRef,
    nodes: Vec<Node>,
    fingerprint: u64,
}

impl Layout {
    /// Takes a schema apart.
    ///
    /// # Errors
    /// `Unsupported`, naming the column, for a type this version does not shuffle, or for more than
    /// 65,535 buffers in all.
    pub fn try_new(schema: SchemaRef) -> Result<Self> {
        let mut nodes = Vec::with_capacity(schema.fields().len());
        for (index, field) in schema.fields().iter().enumerate() {
            let physical = types::physical(field.data_type()).ok_or_else(|| {
                Error::new(
                    ErrorKind::Unsupported,
                    "columns of this type cannot be shuffled by this version; cast or drop it",
                )
                .with(Figure::Column, index)
                .with_detail(format!("{} {}", field.name(), field.data_type()))
            })?;
            nodes.push(Node { physical, nullable: field.is_nullable(), descendants: 0 });
        }
        let fingerprint = XxHash3_64::oneshot(&encode_schema(&schema)?);
        let layout = Self { schema, nodes, fingerprint };
        let buffers = layout.buffers_max();
        if buffers > BUFFERS_MAX {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a schema has more buffers than a frame can count (a nullable column has one \
                 more, one of variable length too); split the table",
            )
            .with(Figure::Found, buffers)
            .with(Figure::Expected, BUFFERS_MAX));
        }
        Ok(layout)
    }

    /// The schema it was made from.
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The nodes in pre-order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Identifies the schema in blocks and file names: XXH3-64 of its encoding.
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Buffers of a block that has every optional one.
    pub fn buffers_max(&self) -> usize {
        self.nodes.iter().map(|node| buffers(node.physical, node.nullable)).sum()
    }

    /// Bytes of a block's prefix: a validity bit for each node, a data length for each variable one.
    pub fn prefix_bytes(&self, chained: bool) -> usize {
        let lengths = self.variable_nodes() * if chained { 8 } else { 4 };
        self.nodes.len().div_ceil(8) + lengths
    }

    /// Nodes of variable length.
    pub fn variable_nodes(&self) -> usize {
        let variable = |node: &&Node| matches!(node.physical, Physical::Variable { .. });
        self.nodes.iter().filter(variable).count()
    }

    /// The least bytes a row takes in a block, bits not counted.
    pub fn fixed_row_bytes(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| match node.physical {
                Physical::Null | Physical::Bool => 0,
                Physical::Fixed { width } => width as usize,
                Physical::Variable { .. } => node.physical.length_bytes(),
            })
            .fold(0, usize::saturating_add)
    }

    /// The columns of a batch of this schema as the engine looks at them. Allocates by the column.
    pub fn views(&self, batch: &arrow_array::RecordBatch) -> Vec<ColumnView> {
        let nodes = self.nodes().iter().zip(batch.columns());
        nodes.map(|(node, column)| ColumnView::new(column, node.physical)).collect()
    }

    /// Whether a batch with these columns can be written: same types, whatever the metadata.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the column.
    pub fn check_batch(&self, batch: &arrow_array::RecordBatch) -> Result<()> {
        let fields = self.schema.fields();
        if batch.num_columns() != fields.len() {
            return Err(Error::invalid(
                "the batch does not have as many columns as the schema this was made for",
            )
            .with(Figure::Expected, fields.len())
            .with(Figure::Found, batch.num_columns()));
        }
        for (index, (field, column)) in fields.iter().zip(batch.columns()).enumerate() {
            let wrong = if column.data_type() != field.data_type() {
                "a column's type is not that of the schema this was made for"
            } else if !field.is_nullable()
                && column.null_count() > 0
                && *field.data_type() != DataType::Null
            {
                "a column that the schema declares non-nullable has nulls"
            } else {
                continue;
            };
            return Err(Error::invalid(wrong).with(Figure::Column, index).with_detail(format!(
                "{} is {}, the batch has {}",
                field.name(),
                field.data_type(),
                column.data_type()
            )));
        }
        Ok(())
    }
}

/// Buffers of a node in a block.
pub const fn buffers(physical: Physical, validity: bool) -> usize {
    let values = match physical {
        Physical::Null => return 0,
        Physical::Bool | Physical::Fixed { .. } => 1,
        Physical::Variable { .. } => 2,
    };
    values + validity as usize
}
