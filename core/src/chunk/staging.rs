//! Rows as they came, column by column, in one charged area that is reused.

use std::ops::Range;

use arrow_buffer::NullBuffer;

use super::gather::{OVERCOPY_BYTES, pack};
use crate::Result;
use crate::cast::to_usize;
use crate::column::{ColumnView, Layout, Node, Physical, Values};
use crate::memory::{Area, Array, Consumer};

/// How much a staging area holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StagingSize {
    /// Rows at most.
    pub rows: usize,
    /// Bytes of variable data at most, below 4 GiB.
    pub data_bytes: usize,
}

/// How many of a batch's rows there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// So many, at least one.
    Rows(usize),
    /// None before the staging area is emptied.
    Full,
    /// The next row alone is above what the staging area can ever hold.
    Oversized,
}

/// Rows waiting to be sorted.
#[derive(Debug)]
pub struct Staging {
    area: Area,
    ids: Array<u32>,
    columns: Vec<StagedColumn>,
    data_start: usize,
    data_len: usize,
    rows: usize,
    size: StagingSize,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct StagedColumn {
    pub(super) physical: Physical,
    /// Fixed: the values. Bool: a byte a row. Variable: a packed place a row.
    values: usize,
    /// A byte a row, if the column may have nulls.
    validity: Option<usize>,
    /// Whether a row since the last clearing is null.
    pub(super) has_nulls: bool,
    /// Bytes of variable data since the last clearing.
    pub(super) data_len: usize,
}

impl Staging {
    /// Room for rows of `layout`.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub fn try_new(consumer: &Consumer, layout: &Layout, size: StagingSize) -> Result<Self> {
        let (columns, data_start, bytes) = arrange(layout.nodes(), size);
        Ok(Self {
            area: Area::try_new(consumer, bytes)?,
            ids: Array::try_new(consumer, size.rows)?,
            columns,
            data_start,
            data_len: 0,
            rows: 0,
            size,
        })
    }

    /// The bytes [`Staging::try_new`] reserves.
    pub fn bytes_for(layout: &Layout, size: StagingSize) -> u64 {
        let (_, _, bytes) = arrange(layout.nodes(), size);
        Area::len_for(bytes) as u64 + Array::<u32>::bytes_for(size.rows)
    }

    /// How many of rows `from..end` of a batch fit.
    ///
    /// # Errors
    /// `InvalidArgument` for a batch whose offsets point outside its data.
    pub fn fit(&self, views: &[ColumnView], from: usize, end: usize) -> Result<Fit> {
        let rows = (end - from).min(self.size.rows - self.rows);
        if rows == 0 {
            return Ok(Fit::Full);
        }
        let room = self.size.data_bytes - self.data_len;
        let fitting = rows_within(views, from, rows, room)?;
        Ok(match fitting {
            0 if rows_within(views, from, 1, self.size.data_bytes)? == 0 => Fit::Oversized,
            0 => Fit::Full,
            rows => Fit::Rows(rows),
        })
    }

    /// Copies rows `from..from + rows` of a batch, which [`Staging::fit`] said fit, and lets `ids`
    /// write their partition ids.
    ///
    /// # Errors
    /// What `ids` returns, or `InvalidArgument`; nothing is staged then.
    pub fn append(
        &mut self,
        views: &[ColumnView],
        from: usize,
        rows: usize,
        ids: impl FnOnce(&mut [u32]) -> Result<()>,
    ) -> Result<()> {
        ids(&mut self.ids[self.rows..self.rows + rows])?;
        let data_len = self.data_len;
        for (index, view) in views.iter().enumerate() {
            if let Err(error) = self.append_column(index, view, from, rows) {
                self.data_len = data_len;
                return Err(error);
            }
        }
        self.rows += rows;
        Ok(())
    }

    /// Forgets all rows; the memory stays.
    pub fn clear(&mut self) {
        self.rows = 0;
        self.data_len = 0;
        for column in &mut self.columns {
            column.has_nulls = false;
            column.data_len = 0;
        }
    }

    /// Bytes of the rows staged: fixed values, lengths and variable data.
    pub fn bytes(&self) -> u64 {
        let row_bytes: usize = self
            .columns
            .iter()
            .map(|column| match column.physical {
                Physical::Null => 0,
                Physical::Bool => 1,
                Physical::Fixed { width } => width as usize,
                Physical::Variable { .. } => column.physical.length_bytes(),
            })
            .sum();
        (self.rows * row_bytes + self.data_len) as u64
    }

    /// Rows staged.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The partition ids of the rows staged.
    pub fn ids(&self) -> &[u32] {
        &self.ids[..self.rows]
    }

    /// A byte a row, 0 where null, if any row is null in a column.
    pub(crate) fn node_validity(&self, node: usize) -> Option<&[u8]> {
        self.validity(&self.columns[node])
    }

    /// The fixed values of a column, `width` bytes each; a boolean is a byte.
    pub(crate) fn node_values(&self, node: usize, width: usize) -> &[u8] {
        self.values(&self.columns[node], width)
    }

    /// The places of a column's variable values in [`Staging::data`]: start in the low half, length
    /// in the high half.
    pub(crate) fn node_places(&self, node: usize) -> &[u64] {
        self.places(&self.columns[node])
    }

    pub(super) fn columns(&self) -> &[StagedColumn] {
        &self.columns
    }

    /// Fixed values, bytes of booleans.
    pub(super) fn values(&self, column: &StagedColumn, width: usize) -> &[u8] {
        &self.area[column.values..column.values + self.rows * width]
    }

    pub(super) fn places(&self, column: &StagedColumn) -> &[u64] {
        bytemuck::cast_slice(self.values(column, 8))
    }

    pub(super) fn validity(&self, column: &StagedColumn) -> Option<&[u8]> {
        let start = column.validity.filter(|_| column.has_nulls)?;
        Some(&self.area[start..start + self.rows])
    }

    /// All variable data, with room to overcopy behind it.
    pub(crate) fn data(&self) -> &[u8] {
        &self.area[self.data_start..self.data_start + self.data_len + OVERCOPY_BYTES]
    }

    fn append_column(
        &mut self,
        index: usize,
        view: &ColumnView,
        from: usize,
        rows: usize,
    ) -> Result<()> {
        self.append_validity(index, view.nulls(), from, rows);
        let column = self.columns[index];
        let start = column.values;
        match (view.values(), column.physical) {
            (Values::Fixed(values), Physical::Fixed { width }) => {
                let width = width as usize;
                let target = start + self.rows * width;
                self.area[target..target + rows * width]
                    .copy_from_slice(&values[from * width..(from + rows) * width]);
            }
            (values @ Values::Bits { .. }, _) => {
                let target = start + self.rows;
                let target = &mut self.area[target..target + rows];
                for (row, slot) in (from..).zip(target) {
                    *slot = u8::from(values.bit(row));
                }
            }
            (values @ (Values::Narrow(..) | Values::Wide(..)), _) => {
                self.append_variable(index, view, values, from, rows)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn append_validity(
        &mut self,
        index: usize,
        nulls: Option<&NullBuffer>,
        from: usize,
        rows: usize,
    ) {
        let column = &mut self.columns[index];
        let Some(start) = column.validity else { return };
        let target = start + self.rows;
        match nulls {
            None if !column.has_nulls => {}
            None => self.area[target..target + rows].fill(1),
            Some(nulls) => {
                if !column.has_nulls {
                    // The rows before were valid and nobody wrote that down.
                    self.area[start..target].fill(1);
                    column.has_nulls = true;
                }
                let target = &mut self.area[target..target + rows];
                for (row, slot) in (from..).zip(target) {
                    *slot = u8::from(nulls.is_valid(row));
                }
            }
        }
    }

    fn append_variable(
        &mut self,
        index: usize,
        view: &ColumnView,
        values: Values<'_>,
        from: usize,
        rows: usize,
    ) -> Result<()> {
        let places = self.columns[index].values + self.rows * 8;
        let data = match values {
            Values::Narrow(_, data) | Values::Wide(_, data) => data,
            _ => &[],
        };
        let data_before = self.data_len;
        let span = values.data_range(from)?.start..values.data_range(from + rows - 1)?.end;
        let (head, tail) = self.area.split_at_mut(self.data_start);
        let places: &mut [u64] = bytemuck::cast_slice_mut(&mut head[places..places + rows * 8]);
        let mut end = self.data_len;
        if view.nulls().is_none() {
            // Without nulls there is no garbage: one copy for all rows.
            let span = data.get(span).ok_or_else(bad_offsets)?;
            tail[end..end + span.len()].copy_from_slice(span);
            for (row, place) in (from..).zip(places) {
                let len = values.data_range(row)?.len();
                *place = pack(end, len);
                end += len;
            }
        } else {
            for (row, place) in (from..).zip(places) {
                let value = &data[view.data_range(row)?];
                tail[end..end + value.len()].copy_from_slice(value);
                *place = pack(end, value.len());
                end += value.len();
            }
        }
        self.data_len = end;
        self.columns[index].data_len += end - data_before;
        Ok(())
    }
}

/// How many of `rows` rows from `from` on have at most `room` bytes of variable data together.
fn rows_within(views: &[ColumnView], from: usize, rows: usize, room: usize) -> Result<usize> {
    let mut fitting = rows;
    // Most batches fit whole: ask once before searching.
    if data_bytes(views, from..from + rows)? <= room as u64 {
        return Ok(rows);
    }
    let mut least = 0;
    while least < fitting {
        let middle = least + (fitting - least).div_ceil(2);
        if data_bytes(views, from..from + middle)? <= room as u64 {
            least = middle;
        } else {
            fitting = middle - 1;
        }
    }
    Ok(least)
}

/// Bytes of variable data of some rows, garbage under nulls not counted.
fn data_bytes(views: &[ColumnView], rows: Range<usize>) -> Result<u64> {
    let mut bytes = 0u64;
    for view in views {
        let values = view.values();
        if !matches!(values, Values::Narrow(..) | Values::Wide(..)) || rows.is_empty() {
            continue;
        }
        if view.nulls().is_none() {
            let start = values.data_range(rows.start)?.start;
            let end = values.data_range(rows.end - 1)?.end;
            bytes += end.checked_sub(start).ok_or_else(bad_offsets)? as u64;
        } else {
            for row in rows.clone() {
                bytes += view.data_range(row)?.len() as u64;
            }
        }
    }
    Ok(bytes)
}

#[cold]
fn bad_offsets() -> crate::Error {
    crate::Error::invalid("a column's offsets point outside its data")
}

/// Places each column's parts one after another; returns them, where data starts and all bytes.
fn arrange(nodes: &[Node], size: StagingSize) -> (Vec<StagedColumn>, usize, usize) {
    let mut end = 0usize;
    let mut place = |bytes: usize| {
        let start = end;
        end = start.saturating_add(bytes).next_multiple_of(64);
        start
    };
    let mut columns = Vec::with_capacity(nodes.len());
    for node in nodes {
        let row_bytes = match node.physical {
            Physical::Null => 0,
            Physical::Bool => 1,
            Physical::Fixed { width } => width as usize,
            Physical::Variable { .. } => 8,
        };
        let values = place(size.rows.saturating_mul(row_bytes));
        let has_bitmap = node.nullable && node.physical != Physical::Null;
        let validity = has_bitmap.then(|| place(size.rows));
        columns.push(StagedColumn {
            physical: node.physical,
            values,
            validity,
            has_nulls: false,
            data_len: 0,
        });
    }
    let data_start = place(size.data_bytes + OVERCOPY_BYTES);
    debug_assert!(to_usize(u64::from(u32::MAX)) >= size.data_bytes, "places have 32 bits");
    (columns, data_start, end)
}
