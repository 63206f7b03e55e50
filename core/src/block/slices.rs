//! Rows of many chunks, one slice after the other, into one buffer.

use super::RowSlice;
use crate::chunk::SortedChunk;
use crate::column::Node;
use crate::copy::copy_in_steps;

/// Slices of chunks, and how many rows they have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slices<'a> {
    chunks: &'a [SortedChunk],
    parts: &'a [RowSlice],
    rows: usize,
}

impl<'a> Slices<'a> {
    pub(super) fn new(chunks: &'a [SortedChunk], slices: &'a [RowSlice]) -> Self {
        let rows = slices.iter().map(|slice| (slice.end - slice.start) as usize).sum();
        Self { chunks, parts: slices, rows }
    }

    pub(super) const fn rows(self) -> usize {
        self.rows
    }

    fn each(self) -> impl Iterator<Item = (&'a SortedChunk, usize, usize)> {
        let chunks = self.chunks;
        self.parts.iter().map(move |slice| {
            (&chunks[slice.chunk as usize], slice.start as usize, slice.end as usize)
        })
    }

    /// Whether any row is null at a node.
    pub(super) fn has_null(self, index: usize, node: &Node) -> bool {
        node.nullable
            && self.each().any(|(chunk, from, to)| {
                chunk.validity(index).is_some_and(|validity| validity[from..to].contains(&0))
            })
    }

    /// Writes validity, a bit a row; returns the bytes written.
    pub(super) fn pack_validity(self, node: usize, target: &mut [u8]) -> usize {
        self.pack_bits(target, |chunk| chunk.validity(node))
    }

    /// Writes booleans, a bit a row; returns the bytes written.
    pub(super) fn pack_booleans(self, node: usize, target: &mut [u8]) -> usize {
        self.pack_bits(target, |chunk| Some(chunk.fixed(node, 1)))
    }

    /// Writes fixed values; returns the bytes written.
    pub(super) fn copy_fixed(self, node: usize, width: usize, target: &mut [u8]) -> usize {
        match width {
            1 => self.copy_width::<1>(node, target),
            2 => self.copy_width::<2>(node, target),
            4 => self.copy_width::<4>(node, target),
            8 => self.copy_width::<8>(node, target),
            16 => self.copy_width::<16>(node, target),
            _ => {
                let mut end = 0;
                for (chunk, from, to) in self.each() {
                    let values = &chunk.fixed(node, width)[from * width..to * width];
                    target[end..end + values.len()].copy_from_slice(values);
                    end += values.len();
                }
            }
        }
        self.rows * width
    }

    fn copy_width<const WIDTH: usize>(self, node: usize, target: &mut [u8]) {
        let mut slots = target.as_chunks_mut::<WIDTH>().0.iter_mut();
        for (chunk, from, to) in self.each() {
            let values = &chunk.fixed(node, WIDTH).as_chunks::<WIDTH>().0[from..to];
            for (value, slot) in values.iter().zip(slots.by_ref()) {
                *slot = *value;
            }
        }
    }

    /// Shows the lengths of variable values in order.
    pub(super) fn for_each_len(self, node: usize, mut show: impl FnMut(u32)) {
        for (chunk, from, to) in self.each() {
            for pair in chunk.offsets(node)[from..=to].windows(2) {
                show(pair[1] - pair[0]);
            }
        }
    }

    /// Bytes of variable data.
    pub(super) fn data_bytes(self, node: usize) -> usize {
        let bytes = self.each().map(|(chunk, from, to)| {
            let offsets = chunk.offsets(node);
            (offsets[to] - offsets[from]) as usize
        });
        bytes.sum()
    }

    /// Writes variable data; returns the bytes written.
    pub(super) fn copy_data(self, node: usize, target: &mut [u8]) -> usize {
        let mut end = 0;
        for (chunk, from, to) in self.each() {
            let offsets = chunk.offsets(node);
            let (start, past) = (offsets[from] as usize, offsets[to] as usize);
            copy_in_steps::<32>(&chunk.data(node)[start..], past - start, &mut target[end..]);
            end += past - start;
        }
        end
    }

    /// Packs a byte a row into a bit a row; a chunk without bytes has ones. Returns the bytes written.
    fn pack_bits(
        self,
        target: &mut [u8],
        bytes: impl Fn(&'a SortedChunk) -> Option<&'a [u8]>,
    ) -> usize {
        let len = self.rows.div_ceil(8);
        let target = &mut target[..len];
        target.fill(0);
        let mut position = 0;
        for (chunk, from, to) in self.each() {
            match bytes(chunk) {
                Some(values) => {
                    for &value in &values[from..to] {
                        target[position / 8] |= (value & 1) << (position % 8);
                        position += 1;
                    }
                }
                None => {
                    for _ in from..to {
                        target[position / 8] |= 1 << (position % 8);
                        position += 1;
                    }
                }
            }
        }
        len
    }
}
