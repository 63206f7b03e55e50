//! Whole keys as bytes.

use super::{KeyColumn, KeyRows, Kind, SortKey, VALUE_MARKER};

/// What a zero byte of a string is followed by; its end is followed by another zero.
const ESCAPE: u8 = 0xff;

impl SortKey {
    /// Bytes of a row's key.
    pub fn len(&self, rows: &impl KeyRows, row: usize) -> usize {
        self.columns.iter().map(|column| column.len(rows, row)).sum()
    }

    /// Writes a row's key into `target`, which has [`SortKey::len`] bytes.
    pub fn write(&self, rows: &impl KeyRows, row: usize, target: &mut [u8]) {
        let mut rest = target;
        for column in &self.columns {
            let (now, later) = rest.split_at_mut(column.len(rows, row));
            column.write(rows, row, now);
            rest = later;
        }
        debug_assert!(rest.is_empty(), "a key has the length it was said to have");
    }
}

impl KeyColumn {
    fn len(&self, rows: &impl KeyRows, row: usize) -> usize {
        let marker = usize::from(self.is_nullable);
        marker
            + match self.fixed_width() {
                Some(width) => width,
                None if self.is_null(rows, row) => 0,
                None => {
                    let bytes = rows.bytes(self.node, self.physical, row);
                    let zeros: usize = bytes.iter().map(|byte| usize::from(*byte == 0)).sum();
                    bytes.len() + zeros + 2
                }
            }
    }

    fn write(&self, rows: &impl KeyRows, row: usize, target: &mut [u8]) {
        let is_null = self.is_null(rows, row);
        let (marker, target) = target.split_at_mut(usize::from(self.is_nullable));
        marker.fill(if is_null { self.null_marker } else { VALUE_MARKER });
        if is_null {
            target.fill(0);
            return;
        }
        let bytes = rows.bytes(self.node, self.physical, row);
        if self.fixed_width().is_some() {
            target.copy_from_slice(bytes);
            self.kind.normalize(target);
        } else {
            let mut end = 0;
            for &byte in bytes {
                target[end] = byte;
                end += 1;
                if byte == 0 {
                    target[end] = ESCAPE;
                    end += 1;
                }
            }
            target[end..].fill(0);
        }
        if self.descending {
            for byte in target {
                *byte = !*byte;
            }
        }
    }

    pub(super) fn is_null(&self, rows: &impl KeyRows, row: usize) -> bool {
        self.is_nullable && rows.is_null(self.node, row)
    }
}

/// Bytes written as far as there is room.
struct Cut<'a> {
    target: &'a mut [u8],
    len: usize,
}

impl Cut<'_> {
    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.target.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    const fn is_full(&self) -> bool {
        self.len >= self.target.len()
    }
}

impl SortKey {
    /// Writes the first bytes of a row's key, as many as `target` has at most; returns how many.
    pub fn write_cut(&self, rows: &impl KeyRows, row: usize, target: &mut [u8]) -> usize {
        let mut cut = Cut { target, len: 0 };
        for column in &self.columns {
            if cut.is_full() {
                break;
            }
            column.write_cut(rows, row, &mut cut);
        }
        cut.len
    }
}

impl KeyColumn {
    fn write_cut(&self, rows: &impl KeyRows, row: usize, cut: &mut Cut<'_>) {
        let is_null = self.is_null(rows, row);
        if self.is_nullable {
            cut.push(if is_null { self.null_marker } else { VALUE_MARKER });
        }
        let flip = if self.descending { 0xff } else { 0 };
        let fixed = self.fixed_width();
        if is_null {
            for _ in 0..fixed.unwrap_or(0) {
                if cut.is_full() {
                    return;
                }
                cut.push(0);
            }
            return;
        }
        let bytes = rows.bytes(self.node, self.physical, row);
        if self.kind != Kind::Bytes {
            let mut value = [0; 32];
            let value = &mut value[..bytes.len()];
            value.copy_from_slice(bytes);
            self.kind.normalize(value);
            for byte in value {
                cut.push(*byte ^ flip);
            }
            return;
        }
        for &byte in bytes {
            if cut.is_full() {
                return;
            }
            cut.push(byte ^ flip);
            if byte == 0 && fixed.is_none() {
                cut.push(ESCAPE ^ flip);
            }
        }
        if fixed.is_none() {
            cut.push(flip);
            cut.push(flip);
        }
    }
}
