//! Rows that are nowhere in memory as a whole: their values are read piece by piece.

use std::cmp::Ordering;

use super::{KeyColumn, Kind, PREFIX_BYTES, Prefix, SortKey, VALUE_MARKER};
use crate::Result;

/// One row whose values can be read in pieces.
pub trait KeyPieces {
    /// Whether the row is null in a column.
    ///
    /// # Errors
    /// What reading fails with.
    fn is_null(&mut self, node: usize) -> Result<bool>;

    /// Bytes of the row's value in a column.
    ///
    /// # Errors
    /// What reading fails with.
    fn len(&mut self, node: usize) -> Result<u64>;

    /// Fills `target` with the value's bytes from `offset`.
    ///
    /// # Errors
    /// What reading fails with.
    fn read(&mut self, node: usize, offset: u64, target: &mut [u8]) -> Result<()>;
}

/// Bytes compared at once.
const PIECE_BYTES: usize = 2048;
/// The widest value that is a number.
const NUMBER_BYTES: usize = 32;

impl SortKey {
    /// The order of two rows, as [`SortKey::compare`].
    ///
    /// # Errors
    /// What reading them fails with.
    pub fn compare_pieces(
        &self,
        first: &mut dyn KeyPieces,
        second: &mut dyn KeyPieces,
    ) -> Result<Ordering> {
        for column in &self.columns {
            let order = column.compare_pieces(first, second)?;
            if order != Ordering::Equal {
                return Ok(order);
            }
        }
        Ok(Ordering::Equal)
    }

    /// The prefix of a row, as [`SortKey::prefix`].
    ///
    /// # Errors
    /// What reading it fails with.
    pub fn prefix_of_pieces(&self, row: &mut dyn KeyPieces) -> Result<Prefix> {
        let (mut prefix, mut at) = (0, 0);
        for column in &self.columns {
            if at >= PREFIX_BYTES {
                break;
            }
            let is_null = column.is_nullable && row.is_null(column.node)?;
            if column.is_nullable {
                let marker = if is_null { column.null_marker } else { VALUE_MARKER };
                prefix |= Prefix::from(marker) << (8 * (PREFIX_BYTES - 1 - at));
                at += 1;
            }
            if !is_null && at < PREFIX_BYTES {
                let most = if column.kind == Kind::Bytes { PREFIX_BYTES } else { NUMBER_BYTES };
                let len = usize::try_from(row.len(column.node)?).unwrap_or(usize::MAX).min(most);
                let mut value = [0; NUMBER_BYTES];
                row.read(column.node, 0, &mut value[..len])?;
                prefix |= column.word(&value[..len]) >> (8 * at);
            }
            let Some(width) = column.fixed_width() else {
                break;
            };
            at += width;
        }
        Ok(prefix)
    }
}

impl KeyColumn {
    fn compare_pieces(
        &self,
        first: &mut dyn KeyPieces,
        second: &mut dyn KeyPieces,
    ) -> Result<Ordering> {
        if self.is_nullable {
            let (null, other_null) = (first.is_null(self.node)?, second.is_null(self.node)?);
            if null || other_null {
                let marker = |null| if null { self.null_marker } else { VALUE_MARKER };
                return Ok(marker(null).cmp(&marker(other_null)));
            }
        }
        let (len, other_len) = (first.len(self.node)?, second.len(self.node)?);
        let (mut piece, mut other_piece) = ([0; PIECE_BYTES], [0; PIECE_BYTES]);
        let mut at = 0;
        let common = len.min(other_len);
        while at < common {
            let now = usize::try_from(common - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let (piece, other_piece) = (&mut piece[..now], &mut other_piece[..now]);
            first.read(self.node, at, piece)?;
            second.read(self.node, at, other_piece)?;
            let order = self.compare_values(piece, other_piece);
            if order != Ordering::Equal {
                return Ok(order);
            }
            at += now as u64;
        }
        let order = len.cmp(&other_len);
        Ok(if self.descending { order.reverse() } else { order })
    }
}
