//! Spark's hash one row at a time, in the words of Spark's own sources and slow on purpose: what
//! the fast code is compared with.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, IntervalUnit, TimeUnit};

/// A value as Spark holds it in a row.
enum Value {
    Int(i32),
    Long(i64),
    Float(f32),
    Double(f64),
    Bytes(Vec<u8>),
    Calendar { months: i32, micros: i64 },
}

/// The hash of one row over the columns in this order.
pub(super) fn hash_row(columns: &[&ArrayRef], row: usize) -> u32 {
    let mut hash = 42;
    for column in columns {
        if column.data_type() != &DataType::Null && column.is_valid(row) {
            hash = hash_value(&value_of(column, row), hash);
        }
    }
    hash.cast_unsigned()
}

fn hash_value(value: &Value, seed: i32) -> i32 {
    match value {
        Value::Int(v) => hash_int(*v, seed),
        Value::Long(v) => hash_long(*v, seed),
        Value::Float(v) if *v == 0.0 => hash_int(0, seed),
        Value::Float(v) if v.is_nan() => hash_int(0x7fc0_0000, seed),
        Value::Float(v) => hash_int(v.to_bits().cast_signed(), seed),
        Value::Double(v) if *v == 0.0 => hash_long(0, seed),
        Value::Double(v) if v.is_nan() => hash_long(0x7ff8_0000_0000_0000, seed),
        Value::Double(v) => hash_long(v.to_bits().cast_signed(), seed),
        Value::Bytes(v) => hash_unsafe_bytes(v, seed),
        Value::Calendar { months, micros } => hash_int(*months, hash_long(*micros, seed)),
    }
}

fn hash_int(input: i32, seed: i32) -> i32 {
    fmix(mix_h1(seed, mix_k1(input)), 4)
}

#[expect(clippy::cast_possible_truncation, reason = "the words of the long")]
fn hash_long(input: i64, seed: i32) -> i32 {
    let low = input as i32;
    let high = (input >> 32) as i32;
    fmix(mix_h1(mix_h1(seed, mix_k1(low)), mix_k1(high)), 8)
}

fn hash_unsafe_bytes(bytes: &[u8], seed: i32) -> i32 {
    let aligned = bytes.len() - bytes.len() % 4;
    let mut h1 = seed;
    for at in (0..aligned).step_by(4) {
        let word = (0..4).map(|i| u32::from(bytes[at + i]) << (8 * i)).sum::<u32>();
        h1 = mix_h1(h1, mix_k1(word.cast_signed()));
    }
    for byte in &bytes[aligned..] {
        h1 = mix_h1(h1, mix_k1(i32::from(byte.cast_signed())));
    }
    fmix(h1, i32::try_from(bytes.len()).unwrap())
}

fn mix_k1(k1: i32) -> i32 {
    let k1 = k1.wrapping_mul(0xcc9e_2d51_u32.cast_signed());
    let k1 = k1.rotate_left(15);
    k1.wrapping_mul(0x1b87_3593)
}

fn mix_h1(h1: i32, k1: i32) -> i32 {
    let h1 = (h1 ^ k1).rotate_left(13);
    h1.wrapping_mul(5).wrapping_add(0xe654_6b64_u32.cast_signed())
}

fn fmix(h1: i32, length: i32) -> i32 {
    let shift = |h: i32, by: u32| h ^ (h.cast_unsigned() >> by).cast_signed();
    let h1 = shift(h1 ^ length, 16).wrapping_mul(0x85eb_ca6b_u32.cast_signed());
    let h1 = shift(h1, 13).wrapping_mul(0xc2b2_ae35_u32.cast_signed());
    shift(h1, 16)
}

#[expect(clippy::cast_possible_truncation, reason = "the documented wrapping of wide values")]
fn value_of(column: &ArrayRef, row: usize) -> Value {
    let data_type = column.data_type();
    match data_type {
        DataType::Boolean => Value::Int(i32::from(column.as_boolean().value(row))),
        DataType::Int8 => Value::Int(native::<Int8Type>(column, row).into()),
        DataType::Int16 => Value::Int(native::<Int16Type>(column, row).into()),
        DataType::Int32 => Value::Int(native::<Int32Type>(column, row)),
        DataType::Int64 => Value::Long(native::<Int64Type>(column, row)),
        DataType::UInt8 => Value::Int(native::<UInt8Type>(column, row).into()),
        DataType::UInt16 => Value::Int(native::<UInt16Type>(column, row).into()),
        DataType::UInt32 => Value::Long(native::<UInt32Type>(column, row).into()),
        DataType::UInt64 => {
            let value = native::<UInt64Type>(column, row);
            // Decimal(20, 0); a leading zero byte keeps it positive.
            Value::Bytes(to_byte_array(&[&[0], &value.to_be_bytes()[..]].concat()))
        }
        DataType::Float16 => Value::Float(native::<Float16Type>(column, row).to_f32()),
        DataType::Float32 => Value::Float(native::<Float32Type>(column, row)),
        DataType::Float64 => Value::Double(native::<Float64Type>(column, row)),
        DataType::Decimal32(..) => Value::Long(native::<Decimal32Type>(column, row).into()),
        DataType::Decimal64(..) => Value::Long(native::<Decimal64Type>(column, row)),
        DataType::Decimal128(precision, _) => {
            let value = native::<Decimal128Type>(column, row);
            decimal(*precision, &value.to_be_bytes())
        }
        DataType::Decimal256(precision, _) => {
            let value = native::<Decimal256Type>(column, row);
            decimal(*precision, &value.to_be_bytes())
        }
        DataType::Date32 => Value::Int(native::<Date32Type>(column, row)),
        DataType::Date64 => {
            Value::Int(floor_div(native::<Date64Type>(column, row), 86_400_000) as i32)
        }
        DataType::Utf8 => Value::Bytes(column.as_string::<i32>().value(row).into()),
        DataType::LargeUtf8 => Value::Bytes(column.as_string::<i64>().value(row).into()),
        DataType::Binary => Value::Bytes(column.as_binary::<i32>().value(row).into()),
        DataType::LargeBinary => Value::Bytes(column.as_binary::<i64>().value(row).into()),
        DataType::FixedSizeBinary(_) => {
            Value::Bytes(column.as_fixed_size_binary().value(row).into())
        }
        _ => temporal(column, row),
    }
}

fn temporal(column: &ArrayRef, row: usize) -> Value {
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let micros = |value: i64, unit: TimeUnit| match unit {
        Second => value.wrapping_mul(1_000_000),
        Millisecond => value.wrapping_mul(1_000),
        Microsecond => value,
        Nanosecond => floor_div(value, 1_000),
    };
    Value::Long(match column.data_type() {
        DataType::Time32(Second) => {
            i64::from(native::<Time32SecondType>(column, row)) * 1_000_000_000
        }
        DataType::Time32(_) => i64::from(native::<Time32MillisecondType>(column, row)) * 1_000_000,
        DataType::Time64(Microsecond) => {
            native::<Time64MicrosecondType>(column, row).wrapping_mul(1_000)
        }
        DataType::Time64(_) => native::<Time64NanosecondType>(column, row),
        DataType::Timestamp(unit, _) => {
            let value = match unit {
                Second => native::<TimestampSecondType>(column, row),
                Millisecond => native::<TimestampMillisecondType>(column, row),
                Microsecond => native::<TimestampMicrosecondType>(column, row),
                Nanosecond => native::<TimestampNanosecondType>(column, row),
            };
            micros(value, *unit)
        }
        DataType::Duration(unit) => {
            let value = match unit {
                Second => native::<DurationSecondType>(column, row),
                Millisecond => native::<DurationMillisecondType>(column, row),
                Microsecond => native::<DurationMicrosecondType>(column, row),
                Nanosecond => native::<DurationNanosecondType>(column, row),
            };
            micros(value, *unit)
        }
        DataType::Interval(IntervalUnit::YearMonth) => {
            return Value::Int(native::<IntervalYearMonthType>(column, row));
        }
        DataType::Interval(IntervalUnit::DayTime) => {
            let value = native::<IntervalDayTimeType>(column, row);
            let micros = i64::from(value.milliseconds) * 1_000;
            return Value::Calendar { months: 0, micros };
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            let value = native::<IntervalMonthDayNanoType>(column, row);
            let micros = value.nanoseconds / 1_000;
            return Value::Calendar { months: value.months, micros };
        }
        other => panic!("no rule for {other}"),
    })
}

fn native<T: ArrowPrimitiveType>(column: &ArrayRef, row: usize) -> T::Native {
    column.as_primitive::<T>().value(row)
}

fn decimal(precision: u8, big_endian: &[u8]) -> Value {
    if precision <= 18 {
        Value::Long(i64::from_be_bytes(*big_endian.last_chunk().unwrap()))
    } else {
        Value::Bytes(to_byte_array(big_endian))
    }
}

/// Java's `BigInteger.toByteArray`: drops leading bytes while the rest has the same value.
fn to_byte_array(big_endian: &[u8]) -> Vec<u8> {
    let mut bytes = big_endian.to_vec();
    while bytes.len() > 1
        && ((bytes[0] == 0x00 && bytes[1] & 0x80 == 0)
            || (bytes[0] == 0xff && bytes[1] & 0x80 != 0))
    {
        bytes.remove(0);
    }
    bytes
}

fn floor_div(value: i64, by: i64) -> i64 {
    value / by - i64::from(value % by < 0)
}
