//! What the bytes of a value mean for its order, and how they become bytes that are in order.

use arrow_schema::{DataType, IntervalUnit};

/// The meaning of a value's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Little-endian, two's complement.
    Signed,
    /// Little-endian; a boolean is one byte.
    Unsigned,
    /// Little-endian IEEE 754.
    Float,
    /// Bytes in order as they are.
    Bytes,
}

/// The kind of a type the engine takes; nothing if its values have no order.
pub(super) const fn kind(data_type: &DataType) -> Option<Kind> {
    use DataType as D;
    Some(match data_type {
        D::Int8
        | D::Int16
        | D::Int32
        | D::Int64
        | D::Decimal32(..)
        | D::Decimal64(..)
        | D::Decimal128(..)
        | D::Decimal256(..)
        | D::Date32
        | D::Date64
        | D::Time32(_)
        | D::Time64(_)
        | D::Timestamp(..)
        | D::Duration(_)
        | D::Interval(IntervalUnit::YearMonth) => Kind::Signed,
        D::Boolean | D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 | D::Null => Kind::Unsigned,
        D::Float16 | D::Float32 | D::Float64 => Kind::Float,
        D::Utf8 | D::LargeUtf8 | D::Binary | D::LargeBinary | D::FixedSizeBinary(_) => Kind::Bytes,
        _ => return None,
    })
}

impl Kind {
    /// Turns a value's bytes into bytes in order, in place.
    pub(super) fn normalize(self, bytes: &mut [u8]) {
        match self {
            Self::Bytes => {}
            Self::Unsigned => bytes.reverse(),
            Self::Signed => {
                bytes.reverse();
                flip_sign(bytes);
            }
            Self::Float => {
                bytes.reverse();
                normalize_float(bytes);
            }
        }
    }
}

fn flip_sign(bytes: &mut [u8]) {
    if let Some(first) = bytes.first_mut() {
        *first ^= 0x80;
    }
}

/// Of big-endian bits.
fn normalize_float(bytes: &mut [u8]) {
    let (mut bits, mut word) = (0u64, [0; 8]);
    word[8 - bytes.len()..].copy_from_slice(bytes);
    bits |= u64::from_be_bytes(word);
    let ordered = match bytes.len() {
        2 => order_bits(bits, 16, 0x7c00, 0x7e00),
        4 => order_bits(bits, 32, 0x7f80_0000, 0x7fc0_0000),
        _ => order_bits(bits, 64, 0x7ff0_0000_0000_0000, 0x7ff8_0000_0000_0000),
    };
    bytes.copy_from_slice(&ordered.to_be_bytes()[8 - bytes.len()..]);
}

/// A float's `width` bits as a number in order; `infinity` and one NaN, which stands for all.
pub(super) const fn order_bits(bits: u64, width: u32, infinity: u64, nan: u64) -> u64 {
    let sign = 1 << (width - 1);
    let magnitude = bits & (sign - 1);
    if magnitude > infinity {
        nan | sign
    } else if magnitude == 0 {
        sign
    } else if bits & sign == 0 {
        bits | sign
    } else {
        !bits & (sign | (sign - 1))
    }
}
