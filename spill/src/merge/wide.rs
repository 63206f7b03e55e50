//! Rows too large for a block: compared piece by piece, where they lie.

use std::cell::RefCell;
use std::cmp::Ordering;

use bywash_core::block::HEADER_BYTES;
use bywash_core::chunk::SortedChunk;
use bywash_core::column::{Layout, Physical};
use bywash_core::key::{ChunkRows, KeyPieces, KeyRows, Prefix, SortKey};
use bywash_core::{Error, Result};

use super::{BlockReader, Lane, SortedRun};

/// The row at the head of a run, a chain of blocks that was checked.
struct ChainRow<'a> {
    run: &'a SortedRun,
    layout: &'a Layout,
    /// Shared by the rows compared: no bytes in it are of use between two calls.
    reader: &'a RefCell<&'a mut BlockReader>,
}

/// A row of a chunk.
struct ChunkRow<'a> {
    rows: ChunkRows<'a>,
    row: usize,
    layout: &'a Layout,
}

/// The prefix of the row at the head of a run, a chain of blocks.
pub(crate) fn wide_prefix(
    key: &SortKey,
    run: &SortedRun,
    layout: &Layout,
    reader: &mut BlockReader,
) -> Result<Prefix> {
    let reader = RefCell::new(reader);
    key.prefix_of_pieces(&mut ChainRow { run, layout, reader: &reader })
}

/// Compares the rows of two lanes of which one at least is the head of its run.
pub(crate) fn compare_wide(
    (key, layout): (&SortKey, &Layout),
    (runs, chunks): (&[SortedRun], &[SortedChunk]),
    reader: &mut BlockReader,
    lanes: &[Lane],
    (one, other): (u32, u32),
) -> Result<Ordering> {
    fn row<'a>(
        lane: u32,
        lanes: &[Lane],
        runs: &'a [SortedRun],
        chunks: &'a [SortedChunk],
        layout: &'a Layout,
        reader: &'a RefCell<&'a mut BlockReader>,
    ) -> Result<Row<'a>> {
        let at = lanes.get(lane as usize).ok_or(NO_ROW)?;
        if at.is_wide() {
            let run = runs.get(lane as usize).ok_or(NO_ROW)?;
            return Ok(Row::Chain(ChainRow { run, layout, reader }));
        }
        let (chunk, row) = at.place();
        let chunk = chunks.get(chunk as usize).ok_or(NO_ROW)?;
        Ok(Row::Chunk(ChunkRow { rows: ChunkRows(chunk), row: row as usize, layout }))
    }
    let reader = RefCell::new(reader);
    let mut one = row(one, lanes, runs, chunks, layout, &reader)?;
    let mut other = row(other, lanes, runs, chunks, layout, &reader)?;
    key.compare_pieces(one.pieces(), other.pieces())
}

enum Row<'a> {
    Chain(ChainRow<'a>),
    Chunk(ChunkRow<'a>),
}

impl Row<'_> {
    fn pieces(&mut self) -> &mut dyn KeyPieces {
        match self {
            Self::Chain(row) => row,
            Self::Chunk(row) => row,
        }
    }
}

impl ChunkRow<'_> {
    fn bytes(&self, node: usize) -> &[u8] {
        let physical = self.layout.nodes().get(node).map_or(Physical::Null, |node| node.physical);
        self.rows.bytes(node, physical, self.row)
    }
}

impl KeyPieces for ChunkRow<'_> {
    fn is_null(&mut self, node: usize) -> Result<bool> {
        Ok(self.rows.is_null(node, self.row))
    }

    fn len(&mut self, node: usize) -> Result<u64> {
        Ok(self.bytes(node).len() as u64)
    }

    fn read(&mut self, node: usize, offset: u64, target: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let bytes = self.bytes(node).get(start..).and_then(|rest| rest.get(..target.len()));
        target.copy_from_slice(bytes.ok_or(NO_ROW)?);
        Ok(())
    }
}

impl ChainRow<'_> {
    /// Whether a node is null, where its bytes begin in the row's image, and how many they are.
    fn locate(&self, wanted: usize) -> Result<(bool, u64, u64)> {
        let mut reader = self.reader.borrow_mut();
        let prefix_bytes = self.layout.prefix_bytes(true);
        let prefix = reader.bytes.get_mut(..prefix_bytes).ok_or(NO_ROW)?;
        self.run.read(prefix, self.run.position() + HEADER_BYTES as u64)?;
        let nodes = self.layout.nodes();
        let (bits, lengths) = prefix.split_at(nodes.len().div_ceil(8));
        let mut lengths = lengths.as_chunks::<8>().0.iter();
        let mut at = 0u64;
        for (index, node) in nodes.iter().enumerate() {
            let is_null = bits[index / 8] >> (index % 8) & 1 == 1;
            // What comes before the bytes: a byte of validity where null, the length where variable.
            let len = match node.physical {
                Physical::Null => continue,
                Physical::Bool => 1,
                Physical::Fixed { width } => u64::from(width),
                Physical::Variable { .. } => {
                    lengths.next().map_or(0, |length| u64::from_le_bytes(*length))
                }
            };
            at += u64::from(is_null) + node.physical.length_bytes() as u64;
            if index == wanted {
                return Ok((is_null, at, len));
            }
            at += len;
        }
        Err(NO_ROW)
    }

    /// Fills `target` from the row's image.
    fn read_image(&self, offset: u64, target: &mut [u8]) -> Result<()> {
        let mut reader = self.reader.borrow_mut();
        let BlockReader { decoder, bytes } = &mut **reader;
        let (mut position, end) = (self.run.position(), offset + target.len() as u64);
        let mut filled = 0;
        while filled < target.len() {
            let header = self.run.header_at(position)?;
            let (start, past) =
                (header.chain_offset, header.chain_offset + u64::from(header.raw_bytes));
            if past > offset && start < end {
                let body = bytes.get_mut(..header.body_bytes as usize).ok_or(NO_ROW)?;
                self.run.read(body, position + HEADER_BYTES as u64)?;
                let prefix = if start == 0 { self.layout.prefix_bytes(true) } else { 0 };
                let raw = decoder.fragment(&header, body.get(prefix..).ok_or(NO_ROW)?)?;
                let from = usize::try_from(offset.max(start) - start).unwrap_or(usize::MAX);
                let to = usize::try_from(end.min(past) - start).unwrap_or(usize::MAX);
                let piece = raw.get(from..to).ok_or(NO_ROW)?;
                let place = target.get_mut(filled..filled + piece.len()).ok_or(NO_ROW)?;
                place.copy_from_slice(piece);
                filled += piece.len();
            }
            if past >= header.chain_bytes && filled < target.len() {
                return Err(NO_ROW);
            }
            position += header.block_bytes();
        }
        Ok(())
    }
}

impl KeyPieces for ChainRow<'_> {
    fn is_null(&mut self, node: usize) -> Result<bool> {
        self.locate(node).map(|(is_null, ..)| is_null)
    }

    fn len(&mut self, node: usize) -> Result<u64> {
        self.locate(node).map(|(.., len)| len)
    }

    fn read(&mut self, node: usize, offset: u64, target: &mut [u8]) -> Result<()> {
        let (_, start, _) = self.locate(node)?;
        self.read_image(start + offset, target)
    }
}

const NO_ROW: Error = Error::corrupt("a spilled row contradicts itself");
