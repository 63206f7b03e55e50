//! A row larger than a block as a chain of blocks.
//!
//! The row's *image* is what its block would hold before compression: all buffers, one after
//! another. Each block of the chain carries one fragment of the image in one frame; the first one
//! also carries the prefix, with 64-bit data lengths.

use super::encode::{put_frame_header, seal};
use super::header::{
    FLAG_FIRST, FLAG_LAST, FLAG_MIDDLE, FRAME_HEADER_BYTES, HEADER_BYTES, Header, KIND_COLUMNS,
};
use super::{BlockEncoder, RowSource};
use crate::Result;
use crate::cast::to_u32;
use crate::column::{Layout, Physical};
use crate::port::BlockSink;

impl BlockEncoder {
    /// Encodes one row as a chain, or as one block if its image fits. Returns the bytes written.
    /// Never allocates: the image passes through the block buffer.
    ///
    /// # Errors
    /// What the sink or the source fails with.
    pub fn encode_chain(
        &mut self,
        layout: &Layout,
        partition: u32,
        row: &dyn RowSource,
        sink: &mut dyn BlockSink,
    ) -> Result<u64> {
        let mut image_bytes = 0u64;
        for_each_piece(layout, row, |piece| {
            image_bytes += piece.len() as u64;
            Ok(())
        })?;
        let mut chain =
            Chain { layout, partition, row, image_bytes, offset: 0, filled: 0, written: 0 };
        for_each_piece(layout, row, |mut piece| {
            while !piece.is_empty() {
                let len = piece.len().min(self.raw.len() - chain.filled);
                let (now, later) = piece.split_at(len);
                self.raw[chain.filled..chain.filled + len].copy_from_slice(now);
                chain.filled += len;
                piece = later;
                // The last fragment is sealed at the end, so that it is known to be the last.
                if chain.filled == self.raw.len() && !chain.is_last() {
                    chain.seal_fragment(self, sink)?;
                }
            }
            Ok(())
        })?;
        chain.seal_fragment(self, sink)?;
        Ok(chain.written)
    }
}

struct Chain<'a> {
    layout: &'a Layout,
    partition: u32,
    row: &'a dyn RowSource,
    image_bytes: u64,
    offset: u64,
    filled: usize,
    written: u64,
}

impl Chain<'_> {
    fn is_last(&self) -> bool {
        self.offset + self.filled as u64 == self.image_bytes
    }

    fn seal_fragment(
        &mut self,
        encoder: &mut BlockEncoder,
        sink: &mut dyn BlockSink,
    ) -> Result<()> {
        let codec = encoder.compressor.codec();
        let raw_max = encoder.raw_bytes_max();
        let space = sink.space(BlockEncoder::block_bytes_max(self.layout, codec, raw_max))?;
        let (first, last) = (self.offset == 0, self.is_last());
        let alone = first && last;
        let mut body = HEADER_BYTES;
        if first {
            let prefix_bytes = self.layout.prefix_bytes(!alone);
            let prefix = &mut space[body..body + prefix_bytes];
            put_prefix(self.layout, self.row, alone, prefix)?;
            body += prefix_bytes;
        }
        let (frame_header, frame) = space[body..].split_at_mut(FRAME_HEADER_BYTES);
        let fragment = &encoder.raw[..self.filled];
        let (tag, stored_bytes) = encoder.compressor.compress(fragment, frame);
        let buffers = if alone { buffers(self.layout, self.row) } else { 0 };
        put_frame_header(frame_header, tag, buffers, self.filled, stored_bytes);
        body += FRAME_HEADER_BYTES + stored_bytes;
        let header = Header {
            kind: KIND_COLUMNS,
            flags: match (first, last) {
                (true, true) => 0,
                (true, false) => FLAG_FIRST,
                (false, false) => FLAG_MIDDLE,
                (false, true) => FLAG_LAST,
            },
            partition: self.partition,
            rows: u32::from(first),
            body_bytes: to_u32(body - HEADER_BYTES),
            raw_bytes: to_u32(self.filled),
            fingerprint: self.layout.fingerprint(),
            chain_offset: self.offset,
            chain_bytes: if alone { 0 } else { self.image_bytes },
            body_crc: 0,
        };
        let len = seal(header, space);
        sink.advance(len);
        self.written += len as u64;
        self.offset += self.filled as u64;
        self.filled = 0;
        Ok(())
    }
}

/// Shows every piece of the row's image in order.
fn for_each_piece(
    layout: &Layout,
    row: &dyn RowSource,
    mut show: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    for (index, node) in layout.nodes().iter().enumerate() {
        if node.physical == Physical::Null {
            continue;
        }
        if row.is_null(index) {
            show(&[0])?;
        }
        let bytes = row.bytes(index)?;
        match node.physical {
            Physical::Variable { wide: true } => show(&(bytes.len() as u64).to_le_bytes())?,
            Physical::Variable { wide: false } => show(&to_u32(bytes.len()).to_le_bytes())?,
            _ => {}
        }
        show(bytes)?;
    }
    Ok(())
}

fn put_prefix(layout: &Layout, row: &dyn RowSource, alone: bool, prefix: &mut [u8]) -> Result<()> {
    prefix.fill(0);
    let width = if alone { 4 } else { 8 };
    let (bits, lengths) = prefix.split_at_mut(layout.nodes().len().div_ceil(8));
    let mut lengths = lengths.chunks_exact_mut(width);
    for (index, node) in layout.nodes().iter().enumerate() {
        if node.physical != Physical::Null && row.is_null(index) {
            bits[index / 8] |= 1 << (index % 8);
        }
        if matches!(node.physical, Physical::Variable { .. })
            && let Some(length) = lengths.next()
        {
            length.copy_from_slice(&(row.bytes(index)?.len() as u64).to_le_bytes()[..width]);
        }
    }
    Ok(())
}

fn buffers(layout: &Layout, row: &dyn RowSource) -> usize {
    let nodes = layout.nodes().iter().enumerate();
    nodes.map(|(index, node)| crate::column::buffers(node.physical, row.is_null(index))).sum()
}
