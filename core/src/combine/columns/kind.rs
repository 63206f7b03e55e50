//! How values of a column lie in a key, and in an accumulator.

use arrow_schema::DataType;
use half::f16;

/// How a group column's values lie in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// No bytes: every row is null.
    Null,
    /// A byte, 0 or 1.
    Bool,
    /// Big-endian, the sign bit flipped.
    Signed,
    /// Big-endian.
    Unsigned,
    /// The order of [`order_bits`], big-endian.
    Float,
    /// As they are.
    Raw,
    /// 0 as 0 255, then 0 0.
    Variable,
}

impl Kind {
    /// Of a type that the layout took.
    pub(super) const fn of(data_type: &DataType) -> Self {
        use DataType as D;
        match data_type {
            D::Null => Self::Null,
            D::Boolean => Self::Bool,
            D::UInt8 | D::UInt16 | D::UInt32 | D::UInt64 => Self::Unsigned,
            D::Float16 | D::Float32 | D::Float64 => Self::Float,
            D::Utf8 | D::Binary | D::LargeUtf8 | D::LargeBinary => Self::Variable,
            D::FixedSizeBinary(_) | D::Interval(_) => Self::Raw,
            _ => Self::Signed,
        }
    }
}

/// The bits of a float of `width` bytes as a number in its order: all NaN are one above everything,
/// -0.0 is 0.0.
pub(super) fn order_bits(value: &[u8]) -> u64 {
    let (bits, sign, is_nan, is_zero) = match *value {
        [a, b] => {
            let bits = u16::from_le_bytes([a, b]);
            let value = f16::from_bits(bits);
            (u64::from(bits), 1 << 15, value.is_nan(), value == f16::ZERO)
        }
        [a, b, c, d] => {
            let bits = u32::from_le_bytes([a, b, c, d]);
            let value = f32::from_bits(bits);
            (u64::from(bits), 1 << 31, value.is_nan(), value == 0.0)
        }
        _ => {
            let bits = value.try_into().map_or(0, u64::from_le_bytes);
            let value = f64::from_bits(bits);
            (bits, 1 << 63, value.is_nan(), value == 0.0)
        }
    };
    let mask: u64 = sign | (sign - 1);
    if is_nan {
        mask
    } else if is_zero {
        sign
    } else if bits & sign == 0 {
        bits | sign
    } else {
        !bits & mask
    }
}

/// The float of [`order_bits`], little-endian, in the first bytes.
pub(super) fn from_order_bits(order: u64, width: usize) -> [u8; 8] {
    let sign: u64 = 1 << (width * 8 - 1);
    let mask = sign | (sign - 1);
    let bits = if order == mask {
        match width {
            2 => u64::from(f16::NAN.to_bits()),
            4 => u64::from(f32::NAN.to_bits()),
            _ => f64::NAN.to_bits(),
        }
    } else if order & sign != 0 {
        order ^ sign
    } else {
        !order & mask
    };
    bits.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_keep_their_order_and_come_back() {
        let values = [f64::NEG_INFINITY, -1.5, -f64::MIN_POSITIVE, 0.0, 1e-300, 7.0, f64::INFINITY];
        let order = |value: f64| order_bits(&value.to_le_bytes());
        assert!(values.is_sorted_by(|a, b| order(*a) < order(*b)));
        assert_eq!(order(-0.0), order(0.0));
        assert_eq!(order(f64::NAN), order(-f64::NAN));
        assert!(order(f64::NAN) > order(f64::INFINITY));
        for value in values {
            assert_eq!(
                f64::from_le_bytes(from_order_bits(order(value), 8)).to_bits(),
                value.to_bits()
            );
            #[expect(clippy::cast_possible_truncation, reason = "a value of the narrower type")]
            let narrow = value as f32;
            let bytes = from_order_bits(order_bits(&narrow.to_le_bytes()), 4);
            assert_eq!(bytes[..4], (narrow + 0.0).to_le_bytes());
            let half = f16::from_f64(value);
            let bytes = from_order_bits(order_bits(&half.to_le_bytes()), 2);
            assert_eq!(f16::from_le_bytes([bytes[0], bytes[1]]), half);
        }
        assert!(f64::from_le_bytes(from_order_bits(order(f64::NAN), 8)).is_nan());
    }
}
