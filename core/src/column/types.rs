//! Arrow's types as physical shapes.

use arrow_schema::DataType;

use super::Physical;

/// The shape of a type, or nothing if this version does not shuffle it.
pub(super) fn physical(data_type: &DataType) -> Option<Physical> {
    use DataType as D;
    Some(match data_type {
        D::Null => Physical::Null,
        D::Boolean => Physical::Bool,
        D::Utf8 | D::Binary => Physical::Variable { wide: false },
        D::LargeUtf8 | D::LargeBinary => Physical::Variable { wide: true },
        D::FixedSizeBinary(width) => Physical::Fixed { width: u32::try_from(*width).ok()? },
        D::Int8
        | D::Int16
        | D::Int32
        | D::Int64
        | D::UInt8
        | D::UInt16
        | D::UInt32
        | D::UInt64
        | D::Float16
        | D::Float32
        | D::Float64
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
        | D::Interval(_) => {
            Physical::Fixed { width: u32::try_from(data_type.primitive_width()?).ok()? }
        }
        _ => return None,
    })
}
