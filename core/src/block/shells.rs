//! What Arrow allocates around buffers.
//!
//! Charged with the buffers themselves: a batch of many columns and few rows is mostly this.

use arrow_array::types::Int64Type;
use arrow_array::{
    ArrayRef, BooleanArray, FixedSizeBinaryArray, LargeStringArray, NullArray, PrimitiveArray,
    StringArray,
};
use arrow_schema::DataType;

use crate::column::{Layout, Physical};
use crate::memory::BlockOwner;

/// The two counts in front of what an `Arc` holds.
const ARC_BYTES: usize = 2 * size_of::<usize>();
/// Arrow's private `Bytes` behind its `Arc`: address, length, and how to free it, itself an `Arc` of a
/// trait object and a size.
const BUFFER_BYTES: usize = ARC_BYTES + 5 * size_of::<usize>();

/// The handle of the block that buffers lie in.
const BLOCK_BYTES: usize = ARC_BYTES + size_of::<BlockOwner>();

/// What a batch of `layout` with so many buffers keeps allocated beside them: the arrays, the list of
/// columns, the handles of the buffers and of the block they lie in.
pub fn shell_bytes(layout: &Layout, buffers: usize) -> u64 {
    let nodes = layout.nodes().iter().zip(layout.schema().fields());
    let arrays = nodes.map(|(node, field)| {
        let array = match node.physical {
            Physical::Null => size_of::<NullArray>(),
            Physical::Bool => size_of::<BooleanArray>(),
            Physical::Fixed { .. } => match field.data_type() {
                DataType::FixedSizeBinary(_) => size_of::<FixedSizeBinaryArray>(),
                // Every primitive type has the same arrays.
                _ => size_of::<PrimitiveArray<Int64Type>>(),
            },
            Physical::Variable { wide: false } => size_of::<StringArray>(),
            Physical::Variable { wide: true } => size_of::<LargeStringArray>(),
        };
        size_of::<ArrayRef>() + ARC_BYTES + array
    });
    (BLOCK_BYTES + arrays.sum::<usize>() + buffers * BUFFER_BYTES) as u64
}

/// What records that were read keep allocated beside their block.
pub(super) const fn record_shell_bytes() -> u64 {
    BLOCK_BYTES as u64
}
