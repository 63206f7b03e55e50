//! Rows of chunks gathered into a record batch, in one charged allocation.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions, make_array};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;

use super::RowSlice;
use super::shells::shell_bytes;
use super::slices::Slices;
use crate::cast::to_u32;
use crate::chunk::SortedChunk;
use crate::column::{Layout, Physical, buffers};
use crate::memory::{Block, BlockOwner, ChargeMode, Consumer};
use crate::{Error, Figure, Result};

/// The memory of the last batch, for the next one when the caller has dropped it: mapping memory costs
/// as much as filling it. It stays charged as that batch was.
#[derive(Debug, Default)]
pub struct KeptBlock {
    kept: Option<(Arc<BlockOwner>, u64)>,
}

impl KeptBlock {
    /// Lets go of it.
    pub fn clear(&mut self) {
        self.kept = None;
    }

    /// The memory if it holds `len` bytes, has the same charge beside and nobody else holds it.
    fn take(&mut self, len: usize, shells: u64) -> Option<Arc<BlockOwner>> {
        let (mut owner, charged) = self.kept.take()?;
        let fits = owner.len() >= len && charged == shells && owner.bytes_mut().is_some();
        fits.then_some(owner)
    }
}

/// Gathers the rows of `slices`, in order, into a batch charged to `consumer` as `mode` says.
///
/// # Errors
/// `MemoryLimit` if the budget does not hold the batch; `Unsupported` for more than 2 GiB of one
/// column's strings in it.
pub fn gather_batch(
    layout: &Layout,
    chunks: &[SortedChunk],
    slices: &[RowSlice],
    consumer: &Consumer,
    mode: ChargeMode,
    kept: &mut KeptBlock,
) -> Result<RecordBatch> {
    let source = Slices::new(chunks, slices);
    let rows = source.rows();
    let nodes = layout.nodes();
    // Where each node's parts begin: validity, values or offsets, data.
    let mut parts: Vec<[Option<(usize, usize)>; 3]> = Vec::with_capacity(nodes.len());
    let (mut end, mut count) = (0usize, 0usize);
    for (index, node) in nodes.iter().enumerate() {
        let mut place = |len: usize| {
            let start = end;
            end = (start + len).next_multiple_of(64);
            Some((start, len))
        };
        let has_null = node.physical != Physical::Null && source.has_null(index, node);
        let validity = if has_null { place(rows.div_ceil(8)) } else { None };
        let (values, data) = match node.physical {
            Physical::Null => (None, None),
            Physical::Bool => (place(rows.div_ceil(8)), None),
            Physical::Fixed { width } => (place(rows * width as usize), None),
            Physical::Variable { wide } => {
                let data = source.data_bytes(index);
                if !wide && i32::try_from(data).is_err() {
                    return Err(Error::new(
                        crate::ErrorKind::Unsupported,
                        "a batch would have more than 2 GiB in one column of strings",
                    )
                    .with(Figure::Column, index));
                }
                (place((rows + 1) * if wide { 8 } else { 4 }), place(data))
            }
        };
        count += buffers(node.physical, has_null);
        parts.push([validity, values, data]);
    }
    let shells = shell_bytes(layout, count);
    let mut owner = match kept.take(end, shells) {
        Some(owner) => owner,
        None => Block::try_new_to_keep(consumer, end, shells)?.into_owner(mode),
    };
    let block = owner.bytes_mut().ok_or(NOT_ALONE)?;
    for (index, (node, [validity, values, data])) in nodes.iter().zip(&parts).enumerate() {
        if let Some((start, len)) = *validity {
            source.pack_validity(index, &mut block[start..start + len]);
        }
        let Some((start, len)) = *values else { continue };
        match node.physical {
            Physical::Null => {}
            Physical::Bool => {
                source.pack_booleans(index, &mut block[start..start + len]);
            }
            Physical::Fixed { width } => {
                source.copy_fixed(index, width as usize, &mut block[start..start + len]);
            }
            Physical::Variable { wide } => {
                fill_offsets(source, index, wide, &mut block[start..start + len]);
                if let Some((start, len)) = *data {
                    source.copy_data(index, &mut block[start..start + len]);
                }
            }
        }
    }
    let schema = layout.schema();
    let mut columns = Vec::with_capacity(nodes.len());
    let buffer = |place: &(usize, usize)| -> Result<Buffer> {
        owner
            .buffer(place.0, place.1)
            .ok_or(Error::internal("a batch's buffer is not in its block"))
    };
    for (field, [validity, values, data]) in schema.fields().iter().zip(&parts) {
        let mut builder = ArrayData::builder(field.data_type().clone()).len(rows);
        if let Some(place) = validity {
            builder = builder.null_bit_buffer(Some(buffer(place)?));
        }
        for place in [values, data].into_iter().flatten() {
            builder = builder.add_buffer(buffer(place)?);
        }
        // Builds with full validation: UTF-8, offsets, lengths.
        columns.push(make_array(builder.build().map_err(|error| invalid(&error))?));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| invalid(&error))?;
    // What is the caller's or the host's from now on is not ours to use again.
    kept.kept = (mode == ChargeMode::Ledger).then_some((owner, shells));
    Ok(batch)
}

const NOT_ALONE: Error = Error::internal("a batch's memory is shared before it is filled");

/// The most that a batch of `rows` rows with `data_bytes` of variable data is charged.
pub fn batch_bytes(layout: &Layout, rows: usize, data_bytes: usize) -> u64 {
    let nodes = layout.nodes().iter().map(|node| {
        let values = match node.physical {
            Physical::Null => return 0,
            Physical::Bool => rows.div_ceil(8),
            Physical::Fixed { width } => rows.saturating_mul(width as usize),
            Physical::Variable { wide } => (rows + 1) * if wide { 8 } else { 4 } + 64,
        };
        let validity = if node.nullable { rows.div_ceil(8) + 64 } else { 0 };
        values.saturating_add(validity + 64)
    });
    let len = nodes.fold(data_bytes, usize::saturating_add);
    Block::bytes_to_keep(len, shell_bytes(layout, layout.buffers_max()))
}

fn fill_offsets(source: Slices<'_>, node: usize, wide: bool, target: &mut [u8]) {
    let mut end = 0usize;
    let width = if wide { 8 } else { 4 };
    target[..width].fill(0);
    if wide {
        let mut slots = target.as_chunks_mut::<8>().0.iter_mut().skip(1);
        source.for_each_len(node, |len| {
            end += len as usize;
            if let Some(slot) = slots.next() {
                *slot = (end as u64).to_le_bytes();
            }
        });
    } else {
        let mut slots = target.as_chunks_mut::<4>().0.iter_mut().skip(1);
        source.for_each_len(node, |len| {
            end += len as usize;
            if let Some(slot) = slots.next() {
                *slot = to_u32(end).to_le_bytes();
            }
        });
    }
}

#[cold]
fn invalid(error: &arrow_schema::ArrowError) -> Error {
    Error::corrupt("a batch's columns are not valid").with_detail(error.to_string())
}
