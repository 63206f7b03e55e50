//! The group columns of a row as one key.
//!
//! ```text
//! column 1: | marker, if nullable | value |  column 2: ...
//! marker    0 for a null, then nothing; 1 for a value
//! integer, decimal, date, time, timestamp, duration   big-endian, sign bit flipped if signed
//! float     big-endian bits, all flipped if negative, else the sign bit
//! boolean   a byte, 0 or 1
//! fixed-size binary, interval   its bytes
//! string, binary        its bytes with 0 as 0 255, then 0 0
//! ```
//!
//! Equal keys are equal rows as SQL groups them: nulls are equal, all NaN are equal, -0.0 equals 0.0.
//! The order of keys is that of rows, nulls first, NaN last; intervals have none.

use arrow_schema::Schema;

use super::DAMAGED;
use super::kind::{Kind, from_order_bits, order_bits};
use crate::cast::to_u32;
use crate::column::{ColumnView, Layout, Physical, Values};
use crate::{Error, Figure, Result};

/// Which columns rows are grouped by.
#[derive(Debug, Clone)]
pub struct GroupKeys {
    pub(super) columns: Vec<KeyColumn>,
}

#[derive(Debug, Clone)]
pub(super) struct KeyColumn {
    /// Its index in the input.
    pub(super) index: usize,
    pub(super) kind: Kind,
    pub(super) width: usize,
    /// Whether its offsets have 64 bits.
    pub(super) is_wide: bool,
    pub(super) nullable: bool,
}

impl GroupKeys {
    /// Groups rows of `layout` by `columns`, given by index; by none of them all rows are one group.
    ///
    /// # Errors
    /// `InvalidArgument` for a column that is not there.
    pub fn try_new(layout: &Layout, columns: &[usize]) -> Result<Self> {
        let schema: &Schema = layout.schema();
        let column = |&index: &usize| {
            let (Some(field), Some(node)) = (schema.fields().get(index), layout.nodes().get(index))
            else {
                return Err(Error::invalid("there is no such column to group by")
                    .with(Figure::Column, index)
                    .with(Figure::Found, schema.fields().len()));
            };
            let width = match node.physical {
                Physical::Fixed { width } => width as usize,
                Physical::Bool => 1,
                Physical::Null | Physical::Variable { .. } => 0,
            };
            let kind = Kind::of(field.data_type());
            let nullable = field.is_nullable() && kind != Kind::Null;
            let is_wide = node.physical == Physical::Variable { wide: true };
            Ok(KeyColumn { index, kind, width, is_wide, nullable })
        };
        Ok(Self { columns: columns.iter().map(column).collect::<Result<_>>()? })
    }

    /// The bytes of the keys of rows from `from` on, one for each of `lengths`.
    ///
    /// # Errors
    /// `InvalidArgument` for offsets that point outside their data, or a key of 2 GiB or more.
    pub fn lengths(&self, views: &[ColumnView], from: usize, lengths: &mut [u32]) -> Result<()> {
        lengths.fill(0);
        for column in &self.columns {
            let view = &views[column.index];
            let marker = u32::from(column.nullable);
            let values = view.values();
            if view.nulls().is_none() && column.kind != Kind::Variable {
                column.add_width(from, lengths)?;
                continue;
            }
            for (at, length) in lengths.iter_mut().enumerate() {
                let row = from + at;
                let is_null = view.nulls().is_some_and(|nulls| nulls.is_null(row));
                let value = match (is_null, column.kind) {
                    (true, _) => 0,
                    (false, Kind::Variable) => escaped_len(variable(values, row)?),
                    (false, _) => column.width,
                };
                let sum = u64::from(*length) + u64::from(marker) + value as u64;
                *length = u32::try_from(sum)
                    .ok()
                    .filter(|sum| i32::try_from(*sum).is_ok())
                    .ok_or_else(|| TOO_LONG.with(Figure::Row, row).with(Figure::Length, sum))?;
            }
        }
        Ok(())
    }

    /// Writes the keys of rows from `from` on, each at its place of `places`, which is moved to its
    /// end.
    ///
    /// # Errors
    /// As [`GroupKeys::lengths`], which said how much room each takes.
    pub fn write(
        &self,
        views: &[ColumnView],
        from: usize,
        places: &mut [u32],
        target: &mut [u8],
    ) -> Result<()> {
        for column in &self.columns {
            let view = &views[column.index];
            let values = view.values();
            if let (Values::Fixed(bytes), None) = (values, view.nulls())
                && column.write_numbers(&bytes[from * column.width..], places, target)
            {
                continue;
            }
            for (at, place) in places.iter_mut().enumerate() {
                let row = from + at;
                let mut end = *place as usize;
                let is_null = view.nulls().is_some_and(|nulls| nulls.is_null(row));
                if column.nullable {
                    target[end] = u8::from(!is_null);
                    end += 1;
                }
                if !is_null {
                    end = column.write_value(values, row, target, end)?;
                }
                *place = to_u32(end);
            }
        }
        Ok(())
    }
}

impl KeyColumn {
    /// The lengths of values that are all there and of one width.
    fn add_width(&self, from: usize, lengths: &mut [u32]) -> Result<()> {
        let more = u32::from(self.nullable) + to_u32(self.width);
        for (row, length) in (from..).zip(lengths) {
            let sum = length.saturating_add(more);
            if i32::try_from(sum).is_err() {
                return Err(TOO_LONG.with(Figure::Row, row).with(Figure::Length, sum));
            }
            *length = sum;
        }
        Ok(())
    }

    /// Writes integers that are all there, of a width that the compiler knows; false, and nothing
    /// written, if they are not such.
    fn write_numbers(&self, values: &[u8], places: &mut [u32], target: &mut [u8]) -> bool {
        let sign = match self.kind {
            Kind::Signed => 0x80,
            Kind::Unsigned => 0,
            _ => return false,
        };
        match self.width {
            8 => self.write_all::<8>(values, sign, places, target),
            4 => self.write_all::<4>(values, sign, places, target),
            _ => return false,
        }
        true
    }

    fn write_all<const WIDTH: usize>(
        &self,
        values: &[u8],
        sign: u8,
        places: &mut [u32],
        target: &mut [u8],
    ) {
        let marker = usize::from(self.nullable);
        for (value, place) in values.as_chunks::<WIDTH>().0.iter().zip(places) {
            let mut value = *value;
            value.reverse();
            value[0] ^= sign;
            let start = *place as usize;
            target[start..start + marker].fill(1);
            let end = start + marker + WIDTH;
            target[start + marker..end].copy_from_slice(&value);
            *place = to_u32(end);
        }
    }

    fn write_value(
        &self,
        values: Values<'_>,
        row: usize,
        target: &mut [u8],
        place: usize,
    ) -> Result<usize> {
        let end = place + self.width;
        match (self.kind, values) {
            (Kind::Null, _) => {}
            (Kind::Bool, values) => target[place] = u8::from(values.bit(row)),
            (Kind::Variable, values) => {
                return Ok(escape(variable(values, row)?, target, place));
            }
            (kind, Values::Fixed(bytes)) => {
                let value = &bytes[row * self.width..(row + 1) * self.width];
                let target = &mut target[place..end];
                match kind {
                    Kind::Float => {
                        let order = order_bits(value).to_be_bytes();
                        target.copy_from_slice(&order[8 - self.width..]);
                    }
                    Kind::Raw => target.copy_from_slice(value),
                    _ => {
                        for (to, from) in target.iter_mut().zip(value.iter().rev()) {
                            *to = *from;
                        }
                        if let (Kind::Signed, Some(first)) = (kind, target.first_mut()) {
                            *first ^= 0x80;
                        }
                    }
                }
            }
            _ => return Err(DAMAGED),
        }
        Ok(end)
    }

    /// Reads the marker at the start of `key`: whether a value follows, and what is left.
    pub(super) fn read_marker<'a>(&self, key: &'a [u8]) -> Result<(bool, &'a [u8])> {
        match (self.kind, self.nullable) {
            (Kind::Null, _) => Ok((false, key)),
            (_, false) => Ok((true, key)),
            (_, true) => match key.split_first() {
                Some((0, rest)) => Ok((false, rest)),
                Some((1, rest)) => Ok((true, rest)),
                _ => Err(DAMAGED),
            },
        }
    }

    /// Reads a value of a fixed width to `target`, which has that width; what is left.
    pub(super) fn read_fixed<'a>(&self, key: &'a [u8], target: &mut [u8]) -> Result<&'a [u8]> {
        let (value, rest) = key.split_at_checked(self.width).ok_or(DAMAGED)?;
        match self.kind {
            Kind::Float => {
                let mut order = [0; 8];
                order[8 - self.width..].copy_from_slice(value);
                let bytes = from_order_bits(u64::from_be_bytes(order), self.width);
                target.copy_from_slice(&bytes[..self.width]);
            }
            Kind::Signed | Kind::Unsigned => {
                for (to, from) in target.iter_mut().zip(value.iter().rev()) {
                    *to = *from;
                }
                if let (Kind::Signed, Some(last)) = (self.kind, target.last_mut()) {
                    *last ^= 0x80;
                }
            }
            _ => target.copy_from_slice(value),
        }
        Ok(rest)
    }
}

/// The bytes of a string before escaping; what is left of the key.
pub(super) fn unescaped_len(key: &[u8]) -> Result<(usize, &[u8])> {
    let mut len = 0;
    let mut rest = key;
    loop {
        let zero = rest.iter().position(|byte| *byte == 0).ok_or(DAMAGED)?;
        len += zero;
        rest = &rest[zero + 1..];
        match rest.split_first() {
            Some((0xff, after)) => {
                len += 1;
                rest = after;
            }
            Some((0, after)) => return Ok((len, after)),
            _ => return Err(DAMAGED),
        }
    }
}

/// Writes a string without its escapes to `target`, whose length [`unescaped_len`] said; what is left
/// of the key.
pub(super) fn unescape<'a>(key: &'a [u8], target: &mut [u8]) -> Result<&'a [u8]> {
    let (mut rest, mut at) = (key, 0);
    loop {
        let zero = rest.iter().position(|byte| *byte == 0).ok_or(DAMAGED)?;
        target.get_mut(at..at + zero).ok_or(DAMAGED)?.copy_from_slice(&rest[..zero]);
        at += zero;
        rest = &rest[zero + 1..];
        match rest.split_first() {
            Some((0xff, after)) => {
                *target.get_mut(at).ok_or(DAMAGED)? = 0;
                at += 1;
                rest = after;
            }
            Some((0, after)) => return Ok(after),
            _ => return Err(DAMAGED),
        }
    }
}

fn variable(values: Values<'_>, row: usize) -> Result<&[u8]> {
    let range = values.data_range(row)?;
    match values {
        Values::Narrow(_, data) | Values::Wide(_, data) => Ok(&data[range]),
        _ => Err(DAMAGED),
    }
}

fn escaped_len(value: &[u8]) -> usize {
    value.len() + value.iter().map(|byte| usize::from(*byte == 0)).sum::<usize>() + 2
}

/// Writes an escaped value; its end.
fn escape(mut value: &[u8], target: &mut [u8], mut place: usize) -> usize {
    while let Some(zero) = value.iter().position(|byte| *byte == 0) {
        target[place..place + zero].copy_from_slice(&value[..zero]);
        target[place + zero..place + zero + 2].copy_from_slice(&[0, 0xff]);
        place += zero + 2;
        value = &value[zero + 1..];
    }
    target[place..place + value.len()].copy_from_slice(value);
    place += value.len();
    target[place..place + 2].copy_from_slice(&[0, 0]);
    place + 2
}

const TOO_LONG: Error = Error::invalid("the group columns of a row are 2 GiB or more together");
