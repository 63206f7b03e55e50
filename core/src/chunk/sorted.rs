//! Rows in partition order, in one area of exactly the size they need.
//!
//! The area begins with a table of where each node's parts lie and the list of segments (partition,
//! end row), so that nothing about a chunk lives outside its charged memory.

use super::counting_sort::CountingSort;
use super::gather::{OVERCOPY_BYTES, gather_fixed, gather_variable};
use super::staging::Staging;
use crate::cast::{to_u32, to_usize};
use crate::column::{Layout, Node, Physical};
use crate::memory::Area;

/// Words of the table for each node: values or offsets, validity or 0, data.
const TABLE_WORDS: usize = 3;

/// Rows of one staging area, sorted by partition.
#[derive(Debug)]
pub struct SortedChunk {
    area: Area,
    rows: u32,
    segments: u32,
    segments_start: u32,
    /// The next segment a flush has not taken yet, and its partition.
    cursor: u32,
    cursor_partition: u32,
}

impl SortedChunk {
    /// The most bytes a chunk of a full staging area can need.
    pub fn bytes_max(layout: &Layout, size: super::StagingSize, partitions: u32) -> usize {
        let segments = size.rows.min(partitions as usize);
        let (end, _) =
            arrange(layout, size.rows, segments, |_| true, |_| size.data_bytes, |_, _| {});
        // Each variable node was given room for all the data; together they share it, and each may
        // lose up to 15 bytes to alignment.
        let variable = layout.variable_nodes();
        end - size.data_bytes * variable.saturating_sub(1) + variable * OVERCOPY_BYTES
    }

    /// The bytes these staged rows will need, once sorted into `segments` partitions.
    pub fn bytes_for(layout: &Layout, staging: &Staging, segments: usize) -> usize {
        let columns = staging.columns();
        let has_nulls = |node: usize| columns[node].has_nulls;
        let data = |node: usize| columns[node].data_len;
        arrange(layout, staging.rows(), segments, has_nulls, data, |_, _| {}).0
    }

    /// Gathers the staged rows, which `sort` has just sorted, into `area`, which holds
    /// [`SortedChunk::bytes_for`] of them. Never allocates.
    pub fn gather(
        area: Area,
        layout: &Layout,
        staging: &Staging,
        sort: &CountingSort,
        segments: usize,
    ) -> Self {
        let mut chunk = Self::empty(area, layout, staging, segments);
        let start = chunk.segments_start as usize;
        let pairs: &mut [u32] = bytemuck::cast_slice_mut(&mut chunk.area[start..][..segments * 8]);
        for (pair, (partition, end)) in pairs.chunks_exact_mut(2).zip(sort.segments()) {
            pair.copy_from_slice(&[partition, end]);
        }
        chunk.gather_rows(staging, sort.permutation(staging.rows()));
        chunk
    }

    /// Gathers the staged rows in the order of `permutation`, without partitions, into `area`, which
    /// holds [`SortedChunk::bytes_for`] of them with no segments. Never allocates.
    pub fn gather_in_order(
        area: Area,
        layout: &Layout,
        staging: &Staging,
        permutation: &[u32],
    ) -> Self {
        let mut chunk = Self::empty(area, layout, staging, 0);
        chunk.gather_rows(staging, permutation);
        chunk
    }

    /// A chunk for the staged rows, its parts in their places.
    fn empty(area: Area, layout: &Layout, staging: &Staging, segments: usize) -> Self {
        let columns = staging.columns();
        let has_nulls = |node: usize| columns[node].has_nulls;
        let data = |node: usize| columns[node].data_len;
        Self::arranged(area, layout, staging.rows(), segments, has_nulls, data)
    }

    /// A chunk of `rows` rows in an area that holds it, its parts in their places and yet to be
    /// filled.
    fn arranged(
        mut area: Area,
        layout: &Layout,
        rows: usize,
        segments: usize,
        has_nulls: impl Fn(usize) -> bool,
        data_len: impl Fn(usize) -> usize,
    ) -> Self {
        let write = |word: usize, value: usize| {
            let table: &mut [u64] = bytemuck::cast_slice_mut(&mut area[word * 8..word * 8 + 8]);
            table[0] = value as u64;
        };
        let (_, segments_start) = arrange(layout, rows, segments, has_nulls, data_len, write);
        Self {
            area,
            rows: to_u32(rows),
            segments: to_u32(segments),
            segments_start: to_u32(segments_start),
            cursor: 0,
            cursor_partition: 0,
        }
    }

    fn gather_rows(&mut self, staging: &Staging, permutation: &[u32]) {
        let chunk = self;
        let (rows, columns) = (staging.rows(), staging.columns());
        for (node, column) in columns.iter().enumerate() {
            if let Some(validity) = staging.validity(column) {
                let start = chunk.word(node, 1);
                gather_fixed(validity, 1, permutation, &mut chunk.area[start..start + rows]);
            }
            let start = chunk.word(node, 0);
            match column.physical {
                Physical::Null => {}
                Physical::Bool => {
                    let target = &mut chunk.area[start..start + rows];
                    gather_fixed(staging.values(column, 1), 1, permutation, target);
                }
                Physical::Fixed { width } => {
                    let width = width as usize;
                    let target = &mut chunk.area[start..start + rows * width];
                    gather_fixed(staging.values(column, width), width, permutation, target);
                }
                Physical::Variable { .. } => {
                    let data = chunk.word(node, 2);
                    let (head, tail) = chunk.area.split_at_mut(data);
                    let offsets = &mut head[start..start + (rows + 1) * 4];
                    gather_variable(
                        staging.data(),
                        staging.places(column),
                        permutation,
                        bytemuck::cast_slice_mut(offsets),
                        &mut tail[..column.data_len + OVERCOPY_BYTES],
                    );
                }
            }
        }
        chunk.rewind();
    }

    /// A chunk without rows in an area that is to hold others, in place of it.
    pub fn vacant(area: Area) -> Self {
        Self { area, rows: 0, segments: 0, segments_start: 0, cursor: 0, cursor_partition: 0 }
    }

    /// The bytes that a chunk of `rows` rows with `data_bytes` of variable data takes at most.
    pub fn bytes_at_most(layout: &Layout, rows: usize, data_bytes: usize) -> usize {
        Self::bytes_max(layout, super::StagingSize { rows, data_bytes }, 0)
    }

    /// Makes place for other rows in the same area; false if they do not fit.
    pub(crate) fn arrange_anew(
        &mut self,
        layout: &Layout,
        rows: usize,
        has_nulls: impl Fn(usize) -> bool,
        data_len: impl Fn(usize) -> usize,
    ) -> bool {
        let (bytes, _) = arrange(layout, rows, 0, &has_nulls, &data_len, |_, _| {});
        if bytes > self.area.len() {
            return false;
        }
        let area = &mut self.area;
        let write = |word: usize, value: usize| {
            let table: &mut [u64] = bytemuck::cast_slice_mut(&mut area[word * 8..word * 8 + 8]);
            table[0] = value as u64;
        };
        arrange(layout, rows, 0, has_nulls, data_len, write);
        self.rows = to_u32(rows);
        (self.segments, self.segments_start, self.cursor) = (0, 0, 0);
        true
    }

    /// What a block of `rows` rows takes in front of its bytes where it is decoded in place, at most: the table,
    /// and what is not as a chunk has it. The table alone tells where the rest lies.
    pub(crate) fn front_bytes(layout: &Layout, rows: usize) -> usize {
        let table = (layout.nodes().len() * TABLE_WORDS * 8).next_multiple_of(16);
        let node = |node: &Node| {
            let values = match node.physical {
                Physical::Null | Physical::Fixed { .. } => 0,
                Physical::Bool => rows,
                Physical::Variable { .. } => rows.saturating_add(1).saturating_mul(4),
            };
            let validity = if node.nullable { rows } else { 0 };
            values.saturating_add(31) / 16 * 16 + validity.saturating_add(31) / 16 * 16
        };
        layout.nodes().iter().map(node).fold(table, usize::saturating_add)
    }

    /// All of its area, for a block that is to be decoded in place.
    pub(crate) fn area_mut(&mut self) -> &mut [u8] {
        &mut self.area
    }

    /// Begins to have these rows, whose places are in the table already.
    pub(crate) fn set_rows(&mut self, rows: usize) {
        self.rows = to_u32(rows);
        (self.segments, self.segments_start, self.cursor) = (0, 0, 0);
    }

    /// Gives the memory back for another use.
    pub fn into_area(self) -> Area {
        self.area
    }

    /// Bytes charged for it.
    pub fn bytes(&self) -> u64 {
        self.area.len() as u64
    }

    /// Rows in it.
    pub const fn rows(&self) -> u32 {
        self.rows
    }

    /// Begins a walk over the partitions.
    pub fn rewind(&mut self) {
        self.cursor = 0;
        self.cursor_partition = self.segment(0).0;
    }

    /// The rows of `partition`, if it is the next one that has any; a walk asks in rising order.
    pub fn take_segment(&mut self, partition: u32) -> Option<(u32, u32)> {
        if self.cursor_partition != partition {
            return None;
        }
        let start = if self.cursor == 0 { 0 } else { self.segment(self.cursor - 1).1 };
        let end = self.segment(self.cursor).1;
        self.cursor += 1;
        self.cursor_partition = self.segment(self.cursor).0;
        Some((start, end))
    }

    /// A byte a row, 0 where null, if any row of the chunk is null here.
    #[inline]
    pub fn validity(&self, node: usize) -> Option<&[u8]> {
        match self.word(node, 1) {
            0 => None,
            start => Some(&self.area[start..start + self.rows as usize]),
        }
    }

    /// Fixed values of `width` bytes; booleans are a byte each.
    #[inline]
    pub fn fixed(&self, node: usize, width: usize) -> &[u8] {
        let start = self.word(node, 0);
        &self.area[start..start + self.rows as usize * width]
    }

    /// Offsets into [`SortedChunk::data`], one more than rows.
    #[inline]
    pub fn offsets(&self, node: usize) -> &[u32] {
        let start = self.word(node, 0);
        bytemuck::cast_slice(&self.area[start..start + (self.rows as usize + 1) * 4])
    }

    /// Variable data, ends given by the offsets.
    #[inline]
    pub fn data(&self, node: usize) -> &[u8] {
        &self.area[self.word(node, 2)..]
    }

    pub(crate) fn validity_mut(&mut self, node: usize) -> Option<&mut [u8]> {
        match self.word(node, 1) {
            0 => None,
            start => Some(&mut self.area[start..start + self.rows as usize]),
        }
    }

    pub(crate) fn fixed_mut(&mut self, node: usize, width: usize) -> &mut [u8] {
        let start = self.word(node, 0);
        &mut self.area[start..start + self.rows as usize * width]
    }

    pub(crate) fn offsets_mut(&mut self, node: usize) -> &mut [u32] {
        let start = self.word(node, 0);
        bytemuck::cast_slice_mut(&mut self.area[start..start + (self.rows as usize + 1) * 4])
    }

    pub(crate) fn data_mut(&mut self, node: usize) -> &mut [u8] {
        let start = self.word(node, 2);
        &mut self.area[start..]
    }

    /// (partition, end row); past the end a partition that none has.
    fn segment(&self, index: u32) -> (u32, u32) {
        if index >= self.segments {
            return (u32::MAX, self.rows);
        }
        let start = self.segments_start as usize + index as usize * 8;
        let pair: &[u32] = bytemuck::cast_slice(&self.area[start..start + 8]);
        (pair[0], pair[1])
    }

    #[inline]
    fn word(&self, node: usize, word: usize) -> usize {
        let start = (node * TABLE_WORDS + word) * 8;
        let table: &[u64] = bytemuck::cast_slice(&self.area[start..start + 8]);
        to_usize(table[0])
    }
}

/// Places a chunk's parts; tells `write` the table's words; returns all bytes and where the
/// segments start.
fn arrange(
    layout: &Layout,
    rows: usize,
    segments: usize,
    has_nulls: impl Fn(usize) -> bool,
    data_len: impl Fn(usize) -> usize,
    mut write: impl FnMut(usize, usize),
) -> (usize, usize) {
    let mut end = layout.nodes().len() * TABLE_WORDS * 8;
    let mut place = |bytes: usize| {
        let start = end;
        end = start.saturating_add(bytes).next_multiple_of(16);
        start
    };
    let segments_start = place(segments * 8);
    for (index, node) in layout.nodes().iter().enumerate() {
        let word = index * TABLE_WORDS;
        let values = match node.physical {
            Physical::Null => 0,
            Physical::Bool => rows,
            Physical::Fixed { width } => rows.saturating_mul(width as usize),
            Physical::Variable { .. } => (rows + 1) * 4,
        };
        write(word, place(values));
        let bitmap = node.nullable && node.physical != Physical::Null && has_nulls(index);
        write(word + 1, if bitmap { place(rows) } else { 0 });
        if matches!(node.physical, Physical::Variable { .. }) {
            write(word + 2, place(data_len(index) + OVERCOPY_BYTES));
        } else {
            write(word + 2, 0);
        }
    }
    (end, segments_start)
}
