//! Sums, minima, maxima and counts of columns, as accumulators of a fixed size.
//!
//! The accumulator of one row is made from its columns; from then on accumulators are merged, so a
//! value and an accumulator are the same. Each aggregate has its place in it:
//!
//! ```text
//! count   | count 8 |
//! others  | 1 once there was a value | value 8 or 16 |
//! ```
//!
//! Nulls are skipped. Sums of integers and decimals are exact: 128 bits, and an error above them.
//! Sums of floats are of doubles, in the order in which groups meet, so their last bits depend on the
//! budget. In minima and maxima all NaN are equal and above everything, -0.0 equals 0.0.

use arrow_schema::{DataType, Field, Schema};

use super::DAMAGED;
use super::kind::{Kind, from_order_bits, order_bits};
use crate::cast::to_u32;
use crate::column::{ColumnView, Layout, Physical, Values};
use crate::combine::{AccumulatorSize, Merge};
use crate::{Error, ErrorKind, Figure, Result};

/// What is made of a column, given by index, in each group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Aggregate {
    /// The number of rows.
    CountRows,
    /// The number of values that are not null.
    Count(usize),
    /// The sum of integers, decimals or floats; null where there is none. Integers sum to
    /// decimals of 38 digits, decimals of up to 128 bits to 38 digits of their scale, floats to doubles.
    Sum(usize),
    /// The least value of numbers, dates, times, timestamps or durations; null where there is none.
    Min(usize),
    /// The greatest, as [`Aggregate::Min`].
    Max(usize),
}

/// Aggregates of the columns of one schema: a merge function.
#[derive(Debug, Clone)]
pub struct Aggregates {
    pub(super) each: Vec<Each>,
    width: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Each {
    what: What,
    /// The column, if it takes one.
    index: usize,
    offset: usize,
    /// Bytes of a value in its column.
    input_width: usize,
    pub(super) output: Field,
    pub(super) output_width: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    CountRows,
    Count,
    SumInteger {
        signed: bool,
    },
    SumFloat,
    /// The least, or the greatest; values as numbers in their order.
    Extreme {
        kind: Kind,
        greatest: bool,
    },
}

impl Aggregates {
    /// Aggregates over rows of `layout`.
    ///
    /// # Errors
    /// `InvalidArgument` for a column that is not there; `Unsupported`, naming the column, for one
    /// that cannot be summed or ordered.
    pub fn try_new(layout: &Layout, aggregates: &[Aggregate]) -> Result<Self> {
        let (mut each, mut width) = (Vec::with_capacity(aggregates.len()), 0);
        for aggregate in aggregates {
            let one = Each::try_new(layout, *aggregate, width)?;
            width += one.bytes();
            each.push(one);
        }
        Ok(Self { each, width })
    }

    /// Bytes of an accumulator.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The columns that come out.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.each.iter().map(|each| &each.output)
    }

    /// Writes the accumulators of rows from `from` on, each of [`Aggregates::width`] bytes, to the
    /// whole of `target`.
    pub fn write(&self, views: &[ColumnView], from: usize, target: &mut [u8]) {
        target.fill(0);
        for each in &self.each {
            let rows = target.chunks_exact_mut(self.width.max(1));
            let places = rows.map(|row| &mut row[each.offset..each.offset + each.bytes()]);
            each.write(views.get(each.index), from, places);
        }
    }

    /// The value of an aggregate in `accumulator`, written to `target`; false if it is null.
    pub(super) fn read(&self, at: usize, accumulator: &[u8], target: &mut [u8]) -> Result<bool> {
        let each = &self.each[at];
        let place = accumulator.get(each.offset..each.offset + each.bytes()).ok_or(DAMAGED)?;
        each.read(place, target)
    }
}

impl Merge for Aggregates {
    fn size(&self) -> AccumulatorSize {
        AccumulatorSize::Fixed(to_u32(self.width))
    }

    fn create(&mut self, value: &[u8], accumulator: &mut [u8]) -> Result<usize> {
        if value.len() != self.width {
            return Err(DAMAGED);
        }
        accumulator.copy_from_slice(value);
        Ok(self.width)
    }

    fn merge(&mut self, accumulator: &mut [u8], len: usize, value: &[u8]) -> Result<usize> {
        self.merge_accumulators(accumulator, len, value)
    }

    fn merge_accumulators(
        &mut self,
        accumulator: &mut [u8],
        len: usize,
        other: &[u8],
    ) -> Result<usize> {
        if accumulator.len() != self.width || other.len() != self.width {
            return Err(DAMAGED);
        }
        for each in &self.each {
            let range = each.offset..each.offset + each.bytes();
            each.merge(&mut accumulator[range.clone()], &other[range])?;
        }
        Ok(len)
    }
}

impl Each {
    fn try_new(layout: &Layout, aggregate: Aggregate, offset: usize) -> Result<Self> {
        let schema: &Schema = layout.schema();
        let (index, name) = match aggregate {
            Aggregate::CountRows => {
                return Ok(Self {
                    what: What::CountRows,
                    index: usize::MAX,
                    offset,
                    input_width: 0,
                    output: Field::new("count", DataType::Int64, false),
                    output_width: 8,
                });
            }
            Aggregate::Count(index) => (index, "count"),
            Aggregate::Sum(index) => (index, "sum"),
            Aggregate::Min(index) => (index, "min"),
            Aggregate::Max(index) => (index, "max"),
        };
        let (Some(field), Some(node)) = (schema.fields().get(index), layout.nodes().get(index))
        else {
            return Err(Error::invalid("there is no such column to aggregate")
                .with(Figure::Column, index)
                .with(Figure::Found, schema.fields().len()));
        };
        let unsupported = |message: &'static str| {
            Error::new(ErrorKind::Unsupported, message)
                .with(Figure::Column, index)
                .with_detail(format!("{} {}", field.name(), field.data_type()))
        };
        let input_width = match node.physical {
            Physical::Fixed { width } => width as usize,
            _ => 0,
        };
        let kind = Kind::of(field.data_type());
        let (what, output_type) = match aggregate {
            Aggregate::Count(_) => (What::Count, DataType::Int64),
            Aggregate::Sum(_) => sum(field.data_type())
                .ok_or_else(|| unsupported("columns of this type cannot be summed; cast it"))?,
            _ => {
                let numbers = matches!(kind, Kind::Signed | Kind::Unsigned | Kind::Float);
                if !numbers || input_width > 16 {
                    return Err(unsupported(
                        "columns of this type have no minimum or maximum here; cast it",
                    ));
                }
                let greatest = matches!(aggregate, Aggregate::Max(_));
                (What::Extreme { kind, greatest }, field.data_type().clone())
            }
        };
        let output_width = match what {
            What::CountRows | What::Count | What::SumFloat => 8,
            What::SumInteger { .. } => 16,
            What::Extreme { .. } => input_width,
        };
        let nullable = what != What::Count;
        let output = Field::new(format!("{name}({})", field.name()), output_type, nullable);
        Ok(Self { what, index, offset, input_width, output, output_width })
    }

    /// Bytes in an accumulator.
    const fn bytes(&self) -> usize {
        match self.what {
            What::CountRows | What::Count => 8,
            What::SumFloat => 1 + 8,
            What::Extreme { .. } if self.input_width <= 8 => 1 + 8,
            What::SumInteger { .. } | What::Extreme { .. } => 1 + 16,
        }
    }

    /// Writes what rows from `from` on contribute, each to its place of zeros.
    fn write<'a>(
        &self,
        view: Option<&ColumnView>,
        from: usize,
        places: impl Iterator<Item = &'a mut [u8]>,
    ) {
        if self.what == What::CountRows {
            places.for_each(|place| place.copy_from_slice(&1u64.to_le_bytes()));
            return;
        }
        let Some((values, nulls)) = view.map(|view| (view.values(), view.nulls())) else {
            return;
        };
        let is_null = |row| nulls.is_some_and(|nulls| nulls.is_null(row));
        if self.what == What::Count {
            let is_null = |row| matches!(values, Values::Null) || is_null(row);
            for (_, place) in (from..).zip(places).filter(|(row, _)| !is_null(*row)) {
                place.copy_from_slice(&1u64.to_le_bytes());
            }
            return;
        }
        let Values::Fixed(bytes) = values else {
            return;
        };
        let values = &bytes[from * self.input_width..];
        match (self.input_width, nulls) {
            (8, None) => self.write_all::<8>(values, places),
            (4, None) => self.write_all::<4>(values, places),
            (width, _) => {
                let values = values.chunks_exact(width.max(1)).zip(places);
                for (_, (value, place)) in (from..).zip(values).filter(|(row, _)| !is_null(*row)) {
                    self.write_value(value, place);
                }
            }
        }
    }

    /// As [`Each::write`], without nulls, for a width that the compiler knows.
    fn write_all<'a, const WIDTH: usize>(
        &self,
        values: &[u8],
        places: impl Iterator<Item = &'a mut [u8]>,
    ) {
        for (value, place) in values.as_chunks::<WIDTH>().0.iter().zip(places) {
            self.write_value(value, place);
        }
    }

    #[inline]
    fn write_value(&self, value: &[u8], place: &mut [u8]) {
        place[0] = 1;
        let place = &mut place[1..];
        match self.what {
            What::SumInteger { signed } => {
                place.copy_from_slice(&integer(value, signed).to_le_bytes());
            }
            What::SumFloat => place.copy_from_slice(&double(value).to_le_bytes()),
            What::Extreme { kind, .. } => match (kind, place.len()) {
                (Kind::Float, _) => place.copy_from_slice(&order_bits(value).to_le_bytes()),
                (kind, 8) => {
                    // In the order of unsigned numbers.
                    let bytes = integer(value, kind == Kind::Signed).to_le_bytes();
                    place.copy_from_slice(&bytes[..8]);
                    if kind == Kind::Signed {
                        place[7] ^= 0x80;
                    }
                }
                _ => {
                    place.copy_from_slice(&integer(value, true).to_le_bytes());
                    place[15] ^= 0x80;
                }
            },
            What::CountRows | What::Count => {}
        }
    }

    fn merge(&self, accumulator: &mut [u8], other: &[u8]) -> Result<()> {
        if matches!(self.what, What::CountRows | What::Count) {
            let sum = word(accumulator).wrapping_add(word(other));
            accumulator.copy_from_slice(&sum.to_le_bytes());
            return Ok(());
        }
        if other[0] == 0 {
            return Ok(());
        }
        if accumulator[0] == 0 {
            accumulator.copy_from_slice(other);
            return Ok(());
        }
        let (accumulator, other) = (&mut accumulator[1..], &other[1..]);
        match self.what {
            What::SumInteger { .. } => {
                let sum = wide(accumulator).cast_signed().checked_add(wide(other).cast_signed());
                let sum = sum.ok_or_else(|| self.sum_too_large())?;
                accumulator.copy_from_slice(&sum.to_le_bytes());
            }
            What::SumFloat => {
                let sum = f64::from_bits(word(accumulator)) + f64::from_bits(word(other));
                accumulator.copy_from_slice(&sum.to_le_bytes());
            }
            What::Extreme { greatest, .. } => {
                let replaces = if accumulator.len() == 8 {
                    (word(other) > word(accumulator)) == greatest
                } else {
                    (wide(other) > wide(accumulator)) == greatest
                };
                if replaces {
                    accumulator.copy_from_slice(other);
                }
            }
            What::CountRows | What::Count => {}
        }
        Ok(())
    }

    fn read(&self, place: &[u8], target: &mut [u8]) -> Result<bool> {
        match self.what {
            What::CountRows | What::Count => {
                if i64::try_from(word(place)).is_err() {
                    return Err(COUNT_TOO_LARGE);
                }
                target.copy_from_slice(place);
                return Ok(true);
            }
            _ if place[0] == 0 => return Ok(false),
            _ => {}
        }
        let value = &place[1..];
        match self.what {
            What::SumInteger { .. } => {
                if wide(value).cast_signed().unsigned_abs() >= DECIMAL_END {
                    return Err(self.sum_too_large());
                }
                target.copy_from_slice(value);
            }
            What::Extreme { kind: Kind::Float, .. } => {
                let bytes = from_order_bits(word(value), self.output_width);
                target.copy_from_slice(&bytes[..self.output_width]);
            }
            What::Extreme { kind, .. } => {
                let mut bytes = [0; 16];
                bytes[..value.len()].copy_from_slice(value);
                if kind == Kind::Signed {
                    bytes[value.len() - 1] ^= 0x80;
                }
                target.copy_from_slice(&bytes[..self.output_width]);
            }
            _ => target.copy_from_slice(value),
        }
        Ok(true)
    }

    /// Names the column by its index: text would take memory, and spills and finishes merge too.
    #[cold]
    fn sum_too_large(&self) -> Error {
        SUM_TOO_LARGE.with(Figure::Column, self.index)
    }
}

/// How a type is summed, and to what.
fn sum(data_type: &DataType) -> Option<(What, DataType)> {
    use DataType as D;
    let integer = |signed| What::SumInteger { signed };
    Some(match data_type {
        D::Int8 | D::Int16 | D::Int32 | D::Int64 => (integer(true), D::Decimal128(38, 0)),
        D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => (integer(false), D::Decimal128(38, 0)),
        D::Decimal32(_, scale) | D::Decimal64(_, scale) | D::Decimal128(_, scale) => {
            (integer(true), D::Decimal128(38, *scale))
        }
        D::Float16 | D::Float32 | D::Float64 => (What::SumFloat, D::Float64),
        _ => return None,
    })
}

/// A little-endian integer of up to 16 bytes.
#[inline]
fn integer(value: &[u8], signed: bool) -> i128 {
    let negative = signed && value.last().is_some_and(|last| last & 0x80 != 0);
    let mut bytes = [if negative { 0xff } else { 0 }; 16];
    bytes[..value.len()].copy_from_slice(value);
    i128::from_le_bytes(bytes)
}

fn double(value: &[u8]) -> f64 {
    match *value {
        [a, b] => half::f16::from_le_bytes([a, b]).to_f64(),
        [a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
        _ => f64::from_bits(word(value)),
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word))
}

fn wide(bytes: &[u8]) -> u128 {
    bytes.first_chunk::<16>().map_or(0, |word| u128::from_le_bytes(*word))
}

/// The first number that 38 digits do not hold.
const DECIMAL_END: u128 = 10u128.pow(38);
const SUM_TOO_LARGE: Error = Error::invalid(
    "a sum has more than 38 digits; sum smaller groups, or cast the column to doubles first",
);
const COUNT_TOO_LARGE: Error =
    Error::invalid("a count has more than 63 bits; count smaller groups");
