//! Groups back into batches, in memory that is charged.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow_data::ArrayData;
use arrow_schema::{Field, Schema, SchemaRef};

use super::DAMAGED;
use super::aggregate::Aggregates;
use super::group_key::{GroupKeys, KeyColumn, unescape, unescaped_len};
use super::kind::Kind;
use super::room::BatchRoom;
use crate::block::shell_bytes;
use crate::column::{Layout, Physical};
use crate::memory::{Block, BlockOwner, ChargeMode};
use crate::{Error, Result};

/// Makes batches of groups: the group columns, then the aggregates.
#[derive(Debug)]
pub struct GroupRows {
    keys: GroupKeys,
    aggregates: Aggregates,
    layout: Layout,
    /// The parts of each column in the batch that is made.
    plan: Vec<Part>,
    /// Rows and bytes of that batch.
    planned: (usize, usize),
}

#[derive(Debug, Clone, Default)]
struct Part {
    validity: Range<usize>,
    values: Range<usize>,
    data: Range<usize>,
    nulls: usize,
}

impl GroupRows {
    /// For groups of rows of `input`. No two columns that come out have one name.
    ///
    /// # Errors
    /// As [`Layout::try_new`], for the columns that come out.
    pub fn try_new(input: &Schema, keys: GroupKeys, aggregates: Aggregates) -> Result<Self> {
        let groups = keys.columns.iter().map(|column| input.field(column.index).clone());
        let fields = with_names_of_their_own(groups.chain(aggregates.fields().cloned()));
        let layout = Layout::try_new(Arc::new(Schema::new(fields)))?;
        let plan = vec![Part::default(); layout.nodes().len()];
        Ok(Self { keys, aggregates, layout, plan, planned: (0, 0) })
    }

    /// Groups of the batch that is planned.
    pub const fn planned_rows(&self) -> usize {
        self.planned.0
    }

    /// The columns of the batches.
    pub const fn schema(&self) -> &SchemaRef {
        self.layout.schema()
    }

    /// Bytes that groups of so many bytes and rows need at most for a batch, or, where they have nulls
    /// of fixed widths, as many of them as fit.
    pub fn bytes_max(&self, bytes: usize, rows: usize) -> u64 {
        // A value is no longer in a batch than in a key but for offsets and bits. A null is: there is
        // room for one row of them.
        let columns = self.layout.nodes().len();
        let each = 8 * (rows + 1) + rows.div_ceil(8) + 128;
        let bytes = bytes + columns * each + self.null_bytes();
        Block::bytes_to_keep(bytes, self.shell_bytes())
    }

    /// Plans a batch of the first of `rows` groups, given by `group`, that fit into `bytes`, one at
    /// least; what it takes.
    ///
    /// # Errors
    /// `Corrupt` for what is not groups of these columns.
    pub fn plan_within<'a>(
        &mut self,
        rows: usize,
        group: impl Fn(usize) -> (&'a [u8], &'a [u8]),
        bytes: u64,
    ) -> Result<u64> {
        let (mut rows, shells) = (rows, self.shell_bytes());
        loop {
            let needed = Block::bytes_to_keep(self.plan(rows, &group)?, shells);
            if rows <= 1 || needed <= bytes {
                return Ok(needed);
            }
            rows = rows.div_ceil(2);
        }
    }

    /// What a row whose group is all nulls takes in a batch and not in its key.
    fn null_bytes(&self) -> usize {
        let columns = self.keys.columns.iter().filter(|column| column.nullable);
        columns.map(|column| column.width).sum()
    }

    fn shell_bytes(&self) -> u64 {
        shell_bytes(&self.layout, 3 * self.plan.len())
    }

    /// Makes the batch that was planned of these very groups, given as key and accumulator, in `room`.
    ///
    /// # Errors
    /// `MemoryLimit` if the room does not hold it; `InvalidArgument` for a sum that its type does
    /// not hold; `Corrupt` for what is not groups of these columns.
    pub fn batch<'a>(
        &mut self,
        group: impl Fn(usize) -> (&'a [u8], &'a [u8]),
        room: &mut BatchRoom,
        mode: ChargeMode,
    ) -> Result<RecordBatch> {
        let (rows, bytes) = self.planned;
        let mut block = room.block(bytes, self.shell_bytes())?;
        let mut data_ends: Vec<usize> = self.plan.iter().map(|part| part.data.start).collect();
        for row in 0..rows {
            let (mut key, accumulator) = group(row);
            let columns = self.keys.columns.iter().zip(&mut self.plan);
            for ((column, part), data_end) in columns.zip(&mut data_ends) {
                key = column.read(key, row, part, data_end, &mut block)?;
            }
            if !key.is_empty() {
                return Err(DAMAGED);
            }
            let first = self.keys.columns.len();
            for (at, part) in self.plan.iter_mut().skip(first).enumerate() {
                let width = self.aggregates.each[at].output_width;
                let start = part.values.start + row * width;
                let target = block.get_mut(start..start + width).ok_or(DAMAGED)?;
                let is_there = self.aggregates.read(at, accumulator, target)?;
                part.set_validity(row, is_there, &mut block);
            }
        }
        self.assemble(rows, &room.owner(block, mode))
    }

    /// Works out where all columns go; the bytes of all.
    fn plan<'a>(
        &mut self,
        rows: usize,
        group: impl Fn(usize) -> (&'a [u8], &'a [u8]),
    ) -> Result<usize> {
        let has_data = |column: &KeyColumn| column.kind == Kind::Variable;
        for part in &mut self.plan {
            *part = Part::default();
        }
        if self.keys.columns.iter().any(has_data) {
            for row in 0..rows {
                let (mut key, _) = group(row);
                for (column, part) in self.keys.columns.iter().zip(&mut self.plan) {
                    let (is_there, rest) = column.read_marker(key)?;
                    key = match (is_there, column.kind) {
                        (false, _) => rest,
                        (true, Kind::Variable) => {
                            let (len, rest) = unescaped_len(rest)?;
                            part.data.end += len;
                            rest
                        }
                        (true, _) => rest.get(column.width..).ok_or(DAMAGED)?,
                    };
                }
            }
        }
        let mut end = 0;
        let mut place = |bytes: usize| {
            let start = end;
            end = (start + bytes).next_multiple_of(64);
            start..start + bytes
        };
        for (node, part) in self.layout.nodes().iter().zip(&mut self.plan) {
            let data = part.data.end;
            part.validity = place(if node.nullable { rows.div_ceil(8) } else { 0 });
            part.values = place(match node.physical {
                Physical::Null => 0,
                Physical::Bool => rows.div_ceil(8),
                Physical::Fixed { width } => rows * width as usize,
                Physical::Variable { wide: true } => (rows + 1) * 8,
                Physical::Variable { wide: false } => (rows + 1) * 4,
            });
            part.data = place(data);
        }
        self.planned = (rows, end);
        Ok(end)
    }

    fn assemble(&self, rows: usize, owner: &Arc<BlockOwner>) -> Result<RecordBatch> {
        let schema = self.layout.schema();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.plan.len());
        let fields = self.layout.nodes().iter().zip(schema.fields());
        for ((node, field), part) in fields.zip(&self.plan) {
            let mut data = ArrayData::builder(field.data_type().clone()).len(rows);
            if part.nulls > 0 && node.physical != Physical::Null {
                data = data.null_bit_buffer(Some(buffer(owner, &part.validity)?));
            }
            match node.physical {
                Physical::Null => {}
                Physical::Bool | Physical::Fixed { .. } => {
                    data = data.add_buffer(buffer(owner, &part.values)?);
                }
                Physical::Variable { .. } => {
                    data = data.add_buffer(buffer(owner, &part.values)?);
                    data = data.add_buffer(buffer(owner, &part.data)?);
                }
            }
            // Builds with full validation: UTF-8, offsets, lengths.
            columns.push(make_array(data.build().map_err(|error| invalid(&error))?));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
            .map_err(|error| invalid(&error))
    }
}

impl KeyColumn {
    /// Moves this column's value from the start of `key` to its places; what is left of the key.
    fn read<'a>(
        &self,
        key: &'a [u8],
        row: usize,
        part: &mut Part,
        data_end: &mut usize,
        block: &mut [u8],
    ) -> Result<&'a [u8]> {
        let (is_there, mut rest) = self.read_marker(key)?;
        part.set_validity(row, is_there, block);
        match self.kind {
            Kind::Null => {}
            Kind::Variable => {
                let start = *data_end;
                if is_there {
                    let (len, _) = unescaped_len(rest)?;
                    let target = block.get_mut(start..start + len).ok_or(DAMAGED)?;
                    rest = unescape(rest, target)?;
                    *data_end = start + len;
                }
                let end = *data_end - part.data.start;
                let width = if self.is_wide { 8 } else { 4 };
                let place = part.values.start + (row + 1) * width;
                let target = block.get_mut(place..place + width).ok_or(DAMAGED)?;
                target.copy_from_slice(&(end as u64).to_le_bytes()[..width]);
            }
            Kind::Bool => {
                if is_there {
                    let mut bit = [0];
                    rest = self.read_fixed(rest, &mut bit)?;
                    let byte = block.get_mut(part.values.start + row / 8).ok_or(DAMAGED)?;
                    *byte |= (bit[0] & 1) << (row % 8);
                }
            }
            _ => {
                if is_there {
                    let start = part.values.start + row * self.width;
                    let target = block.get_mut(start..start + self.width).ok_or(DAMAGED)?;
                    rest = self.read_fixed(rest, target)?;
                }
            }
        }
        Ok(rest)
    }
}

impl Part {
    fn set_validity(&mut self, row: usize, is_there: bool, block: &mut [u8]) {
        if !is_there {
            self.nulls += 1;
        } else if let Some(byte) = block.get_mut(self.validity.start + row / 8)
            && !self.validity.is_empty()
        {
            *byte |= 1 << (row % 8);
        }
    }
}

/// The fields, where a name that an earlier one has gets `_2`, `_3` and so on: whoever looks a column
/// up by its name finds that one and no other.
fn with_names_of_their_own(fields: impl Iterator<Item = Field>) -> Vec<Field> {
    let mut taken = BTreeSet::new();
    let with_own = |field: Field| {
        if taken.insert(field.name().clone()) {
            return field;
        }
        let mut numbered = (2u64..).map(|number| format!("{}_{number}", field.name()));
        match numbered.find(|name| taken.insert(name.clone())) {
            Some(name) => field.with_name(name),
            None => field,
        }
    };
    fields.map(with_own).collect()
}

fn buffer(owner: &Arc<BlockOwner>, range: &Range<usize>) -> Result<arrow_buffer::Buffer> {
    owner.buffer(range.start, range.len()).ok_or(DAMAGED)
}

fn invalid(error: &arrow_schema::ArrowError) -> Error {
    Error::internal("groups do not make a valid batch").with_detail(error.to_string())
}
