//! How the values of each Arrow type hash, a column at a time.
//!
//! A [`Kernel`] takes the hash so far of each row as its seed and replaces it; a null leaves it as
//! it is. The match below is the table in `docs/PARTITIONING.md`.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, ByteArrayType, Date32Type, Date64Type, Decimal32Type, Decimal64Type,
    Decimal128Type, Decimal256Type, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float16Type, Float32Type, Float64Type,
    GenericBinaryType, GenericStringType, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalYearMonthType, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, OffsetSizeTrait};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{DataType, IntervalUnit, TimeUnit};

use super::fold::{fold, fold_rows, fold_valid};
use super::murmur3::{hash_bytes, hash_u32, hash_u64};
use super::value::{hash_calendar, hash_f32, hash_f64, hash_unscaled, hash_unscaled_wide};

/// Folds the rows of a column from a start on into one running hash per row.
///
/// Panics when the array is of another type than the kernel was made for, or too short.
pub(super) type Kernel = fn(&dyn Array, usize, &mut [u32]);

/// The kernel of a type, or none where the type cannot be hashed.
pub(super) fn kernel_of(data_type: &DataType) -> Option<Kernel> {
    Some(match data_type {
        DataType::Null => |_, _, _| {},
        DataType::Boolean => booleans,
        DataType::Int8 => |a, s, out| ints::<Int8Type>(a, s, out, i32::from),
        DataType::Int16 => |a, s, out| ints::<Int16Type>(a, s, out, i32::from),
        DataType::Int32 => |a, s, out| ints::<Int32Type>(a, s, out, |v| v),
        DataType::Int64 => |a, s, out| longs::<Int64Type>(a, s, out, |v| v),
        DataType::UInt8 => |a, s, out| ints::<UInt8Type>(a, s, out, i32::from),
        DataType::UInt16 => |a, s, out| ints::<UInt16Type>(a, s, out, i32::from),
        DataType::UInt32 => |a, s, out| longs::<UInt32Type>(a, s, out, i64::from),
        DataType::UInt64 => |a, s, out| {
            primitives::<UInt64Type>(a, s, out, |v, h| hash_unscaled(i128::from(v), h));
        },
        DataType::Float16 => |a, s, out| {
            primitives::<Float16Type>(a, s, out, |v, h| hash_f32(v.to_f32(), h));
        },
        DataType::Float32 => |a, s, out| primitives::<Float32Type>(a, s, out, hash_f32),
        DataType::Float64 => |a, s, out| primitives::<Float64Type>(a, s, out, hash_f64),
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => decimal_kernel(data_type)?,
        DataType::Date32 => |a, s, out| ints::<Date32Type>(a, s, out, |v| v),
        DataType::Date64 => |a, s, out| ints::<Date64Type>(a, s, out, days_of_millis),
        DataType::Time32(_)
        | DataType::Time64(_)
        | DataType::Timestamp(..)
        | DataType::Duration(_)
        | DataType::Interval(_) => temporal_kernel(data_type)?,
        DataType::Utf8 => bytes::<GenericStringType<i32>>,
        DataType::LargeUtf8 => bytes::<GenericStringType<i64>>,
        DataType::Binary => bytes::<GenericBinaryType<i32>>,
        DataType::LargeBinary => bytes::<GenericBinaryType<i64>>,
        DataType::FixedSizeBinary(_) => fixed_size_bytes,
        // Nested, dictionary, run-end and view columns, and types newer than this code.
        _ => return None,
    })
}

/// Spark's rule: up to 18 digits as the long of the unscaled value, above that as its bytes.
const LONG_DIGITS_MAX: u8 = 18;

fn decimal_kernel(data_type: &DataType) -> Option<Kernel> {
    Some(match data_type {
        DataType::Decimal32(..) => |a, s, out| longs::<Decimal32Type>(a, s, out, i64::from),
        DataType::Decimal64(..) => |a, s, out| longs::<Decimal64Type>(a, s, out, |v| v),
        DataType::Decimal128(..=LONG_DIGITS_MAX, _) => {
            |a, s, out| longs::<Decimal128Type>(a, s, out, low_long)
        }
        DataType::Decimal128(..) => {
            |a, s, out| primitives::<Decimal128Type>(a, s, out, hash_unscaled)
        }
        DataType::Decimal256(..=LONG_DIGITS_MAX, _) => {
            |a, s, out| longs::<Decimal256Type>(a, s, out, |v| low_long(v.as_i128()))
        }
        DataType::Decimal256(..) => {
            |a, s, out| primitives::<Decimal256Type>(a, s, out, hash_unscaled_wide)
        }
        _ => return None,
    })
}

/// Times of day hash as nanoseconds, timestamps and durations as microseconds, as Spark holds them;
/// finer units are floored, so that one instant has one place whatever the unit of its column.
fn temporal_kernel(data_type: &DataType) -> Option<Kernel> {
    use DataType::{Duration, Interval, Time32, Time64, Timestamp};
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    Some(match data_type {
        Time32(Second) => |a, s, out| {
            longs::<Time32SecondType>(a, s, out, |v| i64::from(v) * 1_000_000_000);
        },
        Time32(Millisecond) => |a, s, out| {
            longs::<Time32MillisecondType>(a, s, out, |v| i64::from(v) * 1_000_000);
        },
        Time64(Microsecond) => |a, s, out| {
            longs::<Time64MicrosecondType>(a, s, out, |v| v.wrapping_mul(1000));
        },
        Time64(Nanosecond) => |a, s, out| longs::<Time64NanosecondType>(a, s, out, |v| v),
        Timestamp(Second, _) => |a, s, out| {
            longs::<TimestampSecondType>(a, s, out, |v| v.wrapping_mul(1_000_000));
        },
        Timestamp(Millisecond, _) => |a, s, out| {
            longs::<TimestampMillisecondType>(a, s, out, |v| v.wrapping_mul(1000));
        },
        Timestamp(Microsecond, _) => {
            |a, s, out| longs::<TimestampMicrosecondType>(a, s, out, |v| v)
        }
        Timestamp(Nanosecond, _) => |a, s, out| {
            longs::<TimestampNanosecondType>(a, s, out, |v| v.div_euclid(1000));
        },
        Duration(Second) => |a, s, out| {
            longs::<DurationSecondType>(a, s, out, |v| v.wrapping_mul(1_000_000));
        },
        Duration(Millisecond) => |a, s, out| {
            longs::<DurationMillisecondType>(a, s, out, |v| v.wrapping_mul(1000));
        },
        Duration(Microsecond) => |a, s, out| longs::<DurationMicrosecondType>(a, s, out, |v| v),
        Duration(Nanosecond) => |a, s, out| {
            longs::<DurationNanosecondType>(a, s, out, |v| v.div_euclid(1000));
        },
        Interval(IntervalUnit::YearMonth) => {
            |a, s, out| ints::<IntervalYearMonthType>(a, s, out, |v| v)
        }
        Interval(IntervalUnit::DayTime) => |a, s, out| {
            primitives::<IntervalDayTimeType>(a, s, out, |v, h| {
                hash_calendar(0, i64::from(v.milliseconds) * 1000, h)
            });
        },
        Interval(IntervalUnit::MonthDayNano) => |a, s, out| {
            primitives::<IntervalMonthDayNanoType>(a, s, out, |v, h| {
                // Truncated, not floored: so Spark reads this Arrow type.
                hash_calendar(v.months, v.nanoseconds / 1000, h)
            });
        },
        // Among them the units that Arrow does not allow for times.
        _ => return None,
    })
}

#[inline]
fn ints<T: ArrowPrimitiveType>(
    array: &dyn Array,
    start: usize,
    out: &mut [u32],
    int: impl Fn(T::Native) -> i32,
) {
    primitives::<T>(array, start, out, |value, seed| hash_u32(int(value).cast_unsigned(), seed));
}

#[inline]
fn longs<T: ArrowPrimitiveType>(
    array: &dyn Array,
    start: usize,
    out: &mut [u32],
    long: impl Fn(T::Native) -> i64,
) {
    primitives::<T>(array, start, out, |value, seed| hash_u64(long(value).cast_unsigned(), seed));
}

#[inline]
fn primitives<T: ArrowPrimitiveType>(
    array: &dyn Array,
    start: usize,
    out: &mut [u32],
    hash: impl Fn(T::Native, u32) -> u32,
) {
    let array = array.as_primitive::<T>();
    let values = &array.values()[start..start + out.len()];
    match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => fold(values, out, hash),
        Some(nulls) => fold_valid(values, nulls, start, out, hash),
    }
}

fn booleans(array: &dyn Array, start: usize, out: &mut [u32]) {
    let array = array.as_boolean();
    let values = array.values();
    fold_rows(array.nulls(), start, out, |row, seed| hash_u32(u32::from(values.value(row)), seed));
}

fn bytes<T: ByteArrayType>(array: &dyn Array, start: usize, out: &mut [u32])
where
    T::Offset: OffsetSizeTrait,
{
    let array = array.as_bytes::<T>();
    let offsets = array.value_offsets();
    let data = array.value_data();
    fold_rows(array.nulls(), start, out, |row, seed| {
        hash_bytes(&data[offsets[row].as_usize()..offsets[row + 1].as_usize()], seed)
    });
}

fn fixed_size_bytes(array: &dyn Array, start: usize, out: &mut [u32]) {
    let array = array.as_fixed_size_binary();
    fold_rows(array.nulls(), start, out, |row, seed| hash_bytes(array.value(row), seed));
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "days beyond Spark's 32 bits wrap, documented")]
fn days_of_millis(millis: i64) -> i32 {
    millis.div_euclid(86_400_000) as i32
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "18 digits fit; what does not fit wraps")]
fn low_long(value: i128) -> i64 {
    value as i64
}
