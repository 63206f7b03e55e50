//! A schema as bytes, in our own encoding (docs/FORMAT.md, "Schema").
//!
//! Decoding believes nothing: every length is checked before it is used, and a decoded schema
//! encodes to the same bytes.

#![deny(clippy::indexing_slicing)]

use std::collections::HashMap;

use arrow_schema::{DataType, Field, IntervalUnit, Schema, TimeUnit};

use crate::{Error, ErrorKind, Figure, Result};

/// Fields and metadata entries a schema may have.
pub const ENTRIES_MAX: u32 = 1 << 20;

/// Encodes a schema. Metadata is sorted by key, so that equal schemas give equal bytes.
///
/// # Errors
/// `Unsupported` for a type this version does not shuffle, `InvalidArgument` for a name above 4 GiB.
pub fn encode_schema(schema: &Schema) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    put_len(&mut out, schema.fields().len())?;
    for field in schema.fields() {
        put_bytes(&mut out, field.name().as_bytes())?;
        out.push(u8::from(field.is_nullable()));
        put_type(&mut out, field.data_type())?;
        put_metadata(&mut out, field.metadata().iter())?;
    }
    put_metadata(&mut out, schema.metadata().iter())?;
    Ok(out)
}

/// Decodes what [`encode_schema`] made.
///
/// # Errors
/// `Corrupt` for anything else.
pub fn decode_schema(bytes: &[u8]) -> Result<Schema> {
    let mut input = Input(bytes);
    let fields = input.count()?;
    let mut decoded = Vec::new();
    for _ in 0..fields {
        let name = input.text()?.to_owned();
        let nullable = match input.byte()? {
            0 => false,
            1 => true,
            _ => return Err(damaged()),
        };
        let data_type = input.data_type()?;
        let metadata = input.metadata()?;
        decoded.push(Field::new(name, data_type, nullable).with_metadata(metadata));
    }
    let metadata = input.metadata()?;
    if !input.0.is_empty() {
        return Err(damaged());
    }
    Ok(Schema::new_with_metadata(decoded, metadata))
}

/// The most bytes that [`decode_schema`] of `encoded` and a [`Layout`](super::Layout) of it
/// allocate: far more than the encoding, whose smallest field is 10 bytes and smallest metadata
/// entry 8.
pub fn decoded_bytes_max(encoded: &[u8]) -> u64 {
    let fields = encoded.first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
    let fields = u64::from(fields).min((encoded.len() / FIELD_BYTES_MIN) as u64);
    fields * FIELD_BYTES_DECODED + encoded.len() as u64 * ENTRY_BYTES_PER_BYTE
}

/// A field without name, parameters and metadata.
const FIELD_BYTES_MIN: usize = 10;
/// A field behind its `Arc`, its place in lists that are copied as they grow, and its node.
const FIELD_BYTES_DECODED: u64 = 512;
/// Two strings and their place in a map that is copied as it grows, and the schema encoded again.
const ENTRY_BYTES_PER_BYTE: u64 = 24;

fn put_type(out: &mut Vec<u8>, data_type: &DataType) -> Result<()> {
    use DataType as D;
    let simple = |code: u8| vec![code];
    let decimal =
        |code: u8, precision: u8, scale: i8| vec![code, precision, scale.to_le_bytes()[0]];
    let encoded = match data_type {
        D::Null => simple(0),
        D::Boolean => simple(1),
        D::Int8 => simple(2),
        D::Int16 => simple(3),
        D::Int32 => simple(4),
        D::Int64 => simple(5),
        D::UInt8 => simple(6),
        D::UInt16 => simple(7),
        D::UInt32 => simple(8),
        D::UInt64 => simple(9),
        D::Float16 => simple(10),
        D::Float32 => simple(11),
        D::Float64 => simple(12),
        D::Decimal32(precision, scale) => decimal(13, *precision, *scale),
        D::Decimal64(precision, scale) => decimal(14, *precision, *scale),
        D::Decimal128(precision, scale) => decimal(15, *precision, *scale),
        D::Decimal256(precision, scale) => decimal(16, *precision, *scale),
        D::Date32 => simple(17),
        D::Date64 => simple(18),
        D::Time32(unit) => vec![19, unit_code(*unit)],
        D::Time64(unit) => vec![20, unit_code(*unit)],
        D::Timestamp(unit, zone) => {
            out.extend([21, unit_code(*unit), u8::from(zone.is_some())]);
            if let Some(zone) = zone {
                put_bytes(out, zone.as_bytes())?;
            }
            return Ok(());
        }
        D::Duration(unit) => vec![22, unit_code(*unit)],
        D::Interval(IntervalUnit::YearMonth) => vec![23, 0],
        D::Interval(IntervalUnit::DayTime) => vec![23, 1],
        D::Interval(IntervalUnit::MonthDayNano) => vec![23, 2],
        D::Utf8 => simple(24),
        D::LargeUtf8 => simple(25),
        D::Binary => simple(26),
        D::LargeBinary => simple(27),
        D::FixedSizeBinary(width) => {
            let mut encoded = simple(28);
            encoded.extend(width.to_le_bytes());
            encoded
        }
        _ => {
            return Err(Error::new(ErrorKind::Unsupported, "this type cannot be encoded")
                .with_detail(data_type.to_string()));
        }
    };
    out.extend(encoded);
    Ok(())
}

const fn unit_code(unit: TimeUnit) -> u8 {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    }
}

fn put_metadata<'a>(
    out: &mut Vec<u8>,
    metadata: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<()> {
    let mut entries: Vec<_> = metadata.collect();
    entries.sort_unstable();
    put_len(out, entries.len())?;
    for (key, value) in entries {
        put_bytes(out, key.as_bytes())?;
        put_bytes(out, value.as_bytes())?;
    }
    Ok(())
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    put_len(out, bytes.len())?;
    out.extend(bytes);
    Ok(())
}

fn put_len(out: &mut Vec<u8>, len: usize) -> Result<()> {
    let len = u32::try_from(len).map_err(|_| {
        Error::invalid("a schema's name, metadata or field list is too long")
            .with(Figure::Length, len)
    })?;
    out.extend(len.to_le_bytes());
    Ok(())
}

/// What is left to decode.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or_else(damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| damaged())
    }

    fn byte(&mut self) -> Result<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// A count of entries, of which each takes at least a byte.
    fn count(&mut self) -> Result<u32> {
        let count = u32::from_le_bytes(self.array()?);
        if count > ENTRIES_MAX || count as usize > self.0.len() {
            return Err(damaged());
        }
        Ok(count)
    }

    fn text(&mut self) -> Result<&'a str> {
        let len = u32::from_le_bytes(self.array()?) as usize;
        std::str::from_utf8(self.take(len)?).map_err(|_| damaged())
    }

    fn metadata(&mut self) -> Result<HashMap<String, String>> {
        let mut metadata = HashMap::new();
        let mut last: Option<&str> = None;
        for _ in 0..self.count()? {
            let key = self.text()?;
            let value = self.text()?;
            // Sorted and without repeats, so that decoding and encoding give the same bytes.
            if last.is_some_and(|last| last >= key) {
                return Err(damaged());
            }
            last = Some(key);
            metadata.insert(key.to_owned(), value.to_owned());
        }
        Ok(metadata)
    }

    fn unit(&mut self) -> Result<TimeUnit> {
        Ok(match self.byte()? {
            0 => TimeUnit::Second,
            1 => TimeUnit::Millisecond,
            2 => TimeUnit::Microsecond,
            3 => TimeUnit::Nanosecond,
            _ => return Err(damaged()),
        })
    }

    fn decimal(&mut self, precision_max: u8) -> Result<(u8, i8)> {
        let [precision, scale] = self.array()?;
        if precision == 0 || precision > precision_max {
            return Err(damaged());
        }
        Ok((precision, i8::from_le_bytes([scale])))
    }

    fn data_type(&mut self) -> Result<DataType> {
        use DataType as D;
        Ok(match self.byte()? {
            0 => D::Null,
            1 => D::Boolean,
            2 => D::Int8,
            3 => D::Int16,
            4 => D::Int32,
            5 => D::Int64,
            6 => D::UInt8,
            7 => D::UInt16,
            8 => D::UInt32,
            9 => D::UInt64,
            10 => D::Float16,
            11 => D::Float32,
            12 => D::Float64,
            13 => self.decimal(9).map(|(precision, scale)| D::Decimal32(precision, scale))?,
            14 => self.decimal(18).map(|(precision, scale)| D::Decimal64(precision, scale))?,
            15 => self.decimal(38).map(|(precision, scale)| D::Decimal128(precision, scale))?,
            16 => self.decimal(76).map(|(precision, scale)| D::Decimal256(precision, scale))?,
            17 => D::Date32,
            18 => D::Date64,
            19 => match self.unit()? {
                unit @ (TimeUnit::Second | TimeUnit::Millisecond) => D::Time32(unit),
                _ => return Err(damaged()),
            },
            20 => match self.unit()? {
                unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond) => D::Time64(unit),
                _ => return Err(damaged()),
            },
            21 => {
                let unit = self.unit()?;
                let zone = match self.byte()? {
                    0 => None,
                    1 => Some(self.text()?.into()),
                    _ => return Err(damaged()),
                };
                D::Timestamp(unit, zone)
            }
            22 => D::Duration(self.unit()?),
            23 => D::Interval(match self.byte()? {
                0 => IntervalUnit::YearMonth,
                1 => IntervalUnit::DayTime,
                2 => IntervalUnit::MonthDayNano,
                _ => return Err(damaged()),
            }),
            24 => D::Utf8,
            25 => D::LargeUtf8,
            26 => D::Binary,
            27 => D::LargeBinary,
            28 => match i32::from_le_bytes(self.array()?) {
                width if width >= 0 => D::FixedSizeBinary(width),
                _ => return Err(damaged()),
            },
            _ => return Err(damaged()),
        })
    }
}

#[cold]
fn damaged() -> Error {
    Error::corrupt("a schema's bytes are damaged or from a newer version")
}
