//! The first bytes of many rows' keys, column by column.

use std::ops::Range;

use super::kind::{Kind, order_bits};
use super::{KeyColumn, KeyRows, SortKey, VALUE_MARKER};
use crate::column::Physical;

/// The first bytes of a key as a number.
pub type Prefix = u128;

/// Bytes of a prefix.
pub const PREFIX_BYTES: usize = 16;

impl SortKey {
    /// The prefixes of `range` of the rows, one for each place of `out`.
    pub fn prefixes(&self, rows: &impl KeyRows, range: Range<usize>, out: &mut [Prefix]) {
        out.fill(0);
        let mut at = 0;
        for column in &self.columns {
            if at >= PREFIX_BYTES {
                return;
            }
            if column.is_nullable {
                column.add_markers(rows, range.clone(), at, out);
                at += 1;
            }
            let Some(width) = column.fixed_width() else {
                column.add_each(rows, range, at, out);
                return;
            };
            if at < PREFIX_BYTES {
                column.add_fixed(rows, range.clone(), at, out);
            }
            at += width;
        }
    }

    /// The prefix of one row.
    pub fn prefix(&self, rows: &impl KeyRows, row: usize) -> Prefix {
        let mut out = [0];
        self.prefixes(rows, row..row + 1, &mut out);
        out[0]
    }
}

impl KeyColumn {
    fn add_markers(&self, rows: &impl KeyRows, range: Range<usize>, at: usize, out: &mut [Prefix]) {
        let place = |marker: u8| Prefix::from(marker) << (8 * (PREFIX_BYTES - 1 - at));
        let (value, null) = (place(VALUE_MARKER), place(self.null_marker));
        for (row, slot) in range.zip(out) {
            *slot |= if rows.is_null(self.node, row) { null } else { value };
        }
    }

    fn add_fixed(&self, rows: &impl KeyRows, range: Range<usize>, at: usize, out: &mut [Prefix]) {
        // A word that is wide enough for the value, its bits at the top.
        const fn top(value: u64, width: u32) -> Prefix {
            (value as Prefix) << (128 - width)
        }
        let signed = self.kind == Kind::Signed;
        let flip = |width: u32| if signed { 1u64 << (width - 1) } else { 0 };
        match (self.kind, self.physical) {
            (Kind::Unsigned, Physical::Bool) => {
                self.add::<1>(rows, range, at, out, |[byte]| top(u64::from(byte), 8));
            }
            (Kind::Signed | Kind::Unsigned, Physical::Fixed { width: 1 }) => {
                self.add::<1>(rows, range, at, out, |[b]| top(u64::from(b) ^ flip(8), 8));
            }
            (Kind::Signed | Kind::Unsigned, Physical::Fixed { width: 2 }) => {
                let value = |bytes| u64::from(u16::from_le_bytes(bytes));
                self.add::<2>(rows, range, at, out, |bytes| top(value(bytes) ^ flip(16), 16));
            }
            (Kind::Signed | Kind::Unsigned, Physical::Fixed { width: 4 }) => {
                let value = |bytes| u64::from(u32::from_le_bytes(bytes));
                self.add::<4>(rows, range, at, out, |bytes| top(value(bytes) ^ flip(32), 32));
            }
            (Kind::Signed | Kind::Unsigned, Physical::Fixed { width: 8 }) => {
                let flip = flip(64);
                self.add::<8>(rows, range, at, out, |bytes| {
                    top(u64::from_le_bytes(bytes) ^ flip, 64)
                });
            }
            (Kind::Signed, Physical::Fixed { width: 16 }) => {
                let sign = 1 << 127;
                self.add::<16>(rows, range, at, out, |bytes| u128::from_le_bytes(bytes) ^ sign);
            }
            (Kind::Float, Physical::Fixed { width: 4 }) => {
                self.add::<4>(rows, range, at, out, |bytes| {
                    let bits = u64::from(u32::from_le_bytes(bytes));
                    top(order_bits(bits, 32, 0x7f80_0000, 0x7fc0_0000), 32)
                });
            }
            (Kind::Float, Physical::Fixed { width: 8 }) => {
                self.add::<8>(rows, range, at, out, |bytes| {
                    let bits = u64::from_le_bytes(bytes);
                    top(order_bits(bits, 64, 0x7ff0_0000_0000_0000, 0x7ff8_0000_0000_0000), 64)
                });
            }
            _ => self.add_each(rows, range, at, out),
        }
    }

    /// Adds values of `WIDTH` bytes that `order` turns into words with their bits at the top.
    fn add<const WIDTH: usize>(
        &self,
        rows: &impl KeyRows,
        range: Range<usize>,
        at: usize,
        out: &mut [Prefix],
        order: impl Fn([u8; WIDTH]) -> Prefix,
    ) {
        let Some(values) = rows.fixed(self.node, WIDTH) else {
            return self.add_each(rows, range, at, out);
        };
        let flip = if self.descending { self.mask(WIDTH) } else { 0 };
        let (values, _) = values[range.start * WIDTH..range.end * WIDTH].as_chunks::<WIDTH>();
        match rows.validity(self.node).filter(|_| self.is_nullable) {
            None => {
                for (value, slot) in values.iter().zip(out) {
                    *slot |= (order(*value) ^ flip) >> (8 * at);
                }
            }
            Some(validity) => {
                for ((value, valid), slot) in values.iter().zip(&validity[range]).zip(out) {
                    let word = (order(*value) ^ flip) >> (8 * at);
                    *slot |= if *valid == 0 { 0 } else { word };
                }
            }
        }
    }

    /// The slow way, for every type and any rows.
    fn add_each(&self, rows: &impl KeyRows, range: Range<usize>, at: usize, out: &mut [Prefix]) {
        if at >= PREFIX_BYTES {
            return;
        }
        for (row, slot) in range.zip(out) {
            if self.is_null(rows, row) {
                continue;
            }
            let value = rows.bytes(self.node, self.physical, row);
            *slot |= self.word(value) >> (8 * at);
        }
    }

    /// The first 16 bytes of a value in order, at the top.
    pub(super) fn word(&self, value: &[u8]) -> Prefix {
        let mut word = [0; PREFIX_BYTES];
        let len = value.len().min(PREFIX_BYTES);
        if self.kind == Kind::Bytes {
            word[..len].copy_from_slice(&value[..len]);
        } else {
            let mut wide = [0; 32];
            let wide = &mut wide[..value.len()];
            wide.copy_from_slice(value);
            self.kind.normalize(wide);
            word[..len].copy_from_slice(&wide[..len]);
        }
        let mask = match self.fixed_width() {
            Some(width) => self.mask(width),
            // What is past the end of a string comes last when descending.
            None => Prefix::MAX,
        };
        let word = Prefix::from_be_bytes(word);
        if self.descending { word ^ mask } else { word }
    }

    /// The bits of a value of `width` bytes at the top.
    #[expect(clippy::unused_self, reason = "reads as a part of the column")]
    const fn mask(&self, width: usize) -> Prefix {
        match width {
            0 => 0,
            16.. => Prefix::MAX,
            width => !(Prefix::MAX >> (8 * width)),
        }
    }
}
