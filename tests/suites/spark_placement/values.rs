//! The columns of the vector files as Arrow arrays.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, IntervalMonthDayNano};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal32Array, Decimal64Array,
    Decimal128Array, Decimal256Array, DurationMicrosecondArray, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, IntervalMonthDayNanoArray,
    IntervalYearMonthArray, LargeBinaryArray, LargeStringArray, NullArray, StringArray,
    Time64NanosecondArray, TimestampMicrosecondArray,
};
use arrow_buffer::i256;
use serde_json::Value;

/// One Arrow form of a column of Spark.
pub(super) struct Column {
    /// As in the documentation.
    pub(super) name: String,
    /// Whether Spark has a rule for this form; the others are widened.
    pub(super) is_rule: bool,
    pub(super) array: ArrayRef,
}

/// Every Arrow form of a column: first those that Spark has a rule for.
pub(super) fn arrays(column: &Value) -> Vec<Column> {
    let spark_type = text(&column["type"]);
    let values = list(&column["values"]);
    let rule = |name: &str, array: ArrayRef| Column { name: name.into(), is_rule: true, array };
    match spark_type {
        "void" => vec![rule("Null", Arc::new(NullArray::new(values.len())))],
        "boolean" => {
            let booleans: BooleanArray = values.iter().map(Value::as_bool).collect();
            vec![rule("Boolean", Arc::new(booleans))]
        }
        "tinyint" => vec![rule("Int8", Arc::new(ints(values).collect::<Int8Array>()))],
        "smallint" => vec![rule("Int16", Arc::new(ints(values).collect::<Int16Array>()))],
        "int" => vec![rule("Int32", Arc::new(ints(values).collect::<Int32Array>()))],
        "bigint" => vec![rule("Int64", Arc::new(ints(values).collect::<Int64Array>()))],
        "float" => {
            let bits = |hex: &str| f32::from_bits(u32::from_str_radix(hex, 16).unwrap());
            let floats = values.iter().map(|v| v.as_str().map(bits)).collect::<Float32Array>();
            vec![rule("Float32", Arc::new(floats))]
        }
        "double" => {
            let bits = |hex: &str| f64::from_bits(u64::from_str_radix(hex, 16).unwrap());
            let floats = values.iter().map(|v| v.as_str().map(bits)).collect::<Float64Array>();
            vec![rule("Float64", Arc::new(floats))]
        }
        "date" => vec![rule("Date32", Arc::new(ints(values).collect::<Date32Array>()))],
        "timestamp" => {
            let instants = ints(values).collect::<TimestampMicrosecondArray>();
            let zoned = |zone: &str| Arc::new(instants.clone().with_timezone(zone)) as ArrayRef;
            let zones = ["UTC", "+05:30", "Europe/Berlin"];
            zones.map(|zone| rule("Timestamp(us, zone)", zoned(zone))).into()
        }
        "timestamp_ntz" => {
            let instants = ints(values).collect::<TimestampMicrosecondArray>();
            vec![rule("Timestamp(us)", Arc::new(instants))]
        }
        "time" => {
            vec![rule("Time64(ns)", Arc::new(ints(values).collect::<Time64NanosecondArray>()))]
        }
        "string" => {
            let strings: Vec<_> = values.iter().map(Value::as_str).collect();
            vec![
                rule("Utf8", Arc::new(StringArray::from(strings.clone()))),
                rule("LargeUtf8", Arc::new(LargeStringArray::from(strings))),
            ]
        }
        "binary" => {
            let bytes: Vec<_> = values.iter().map(|v| v.as_str().map(unhex)).collect();
            let bytes: Vec<_> = bytes.iter().map(Option::as_deref).collect();
            vec![
                rule("Binary", Arc::new(BinaryArray::from(bytes.clone()))),
                rule("LargeBinary", Arc::new(LargeBinaryArray::from(bytes))),
            ]
        }
        "interval year to month" => {
            let months = ints(values).collect::<IntervalYearMonthArray>();
            vec![rule("Interval(YearMonth)", Arc::new(months))]
        }
        "interval day to second" => {
            let micros = ints(values).collect::<DurationMicrosecondArray>();
            vec![rule("Duration(us)", Arc::new(micros))]
        }
        "interval" => {
            let calendars = values.iter().map(calendar).collect::<IntervalMonthDayNanoArray>();
            vec![rule("Interval(MonthDayNano)", Arc::new(calendars))]
        }
        decimal => decimals(decimal, values),
    }
}

fn decimals(spark_type: &str, values: &[Value]) -> Vec<Column> {
    let digits = spark_type.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')'));
    let (precision, scale) = digits.and_then(|digits| digits.split_once(',')).expect(spark_type);
    let (precision, scale) = (precision.parse::<u8>().unwrap(), scale.parse::<i8>().unwrap());
    let array: Decimal128Array =
        values.iter().map(|v| v.as_str().map(|digits| digits.parse::<i128>().unwrap())).collect();
    let array: ArrayRef = Arc::new(array.with_precision_and_scale(precision, scale).unwrap());

    let name = if precision <= 18 { "Decimal128(p <= 18)" } else { "Decimal128(p > 18)" };
    let mut forms = vec![Column { name: name.into(), is_rule: true, array: Arc::clone(&array) }];
    let mut widened = |name: &str, array: ArrayRef| {
        forms.push(Column { name: name.into(), is_rule: false, array });
    };
    let unscaled = || array.as_primitive::<Decimal128Type>().iter();
    if precision <= 9 {
        let narrow = |v: i128| i32::try_from(v).unwrap();
        let narrow: Decimal32Array = unscaled().map(|v| v.map(narrow)).collect();
        let narrow = narrow.with_precision_and_scale(precision, scale).unwrap();
        widened("Decimal32(p)", Arc::new(narrow));
    }
    if precision <= 18 {
        let narrow = |v: i128| i64::try_from(v).unwrap();
        let narrow: Decimal64Array = unscaled().map(|v| v.map(narrow)).collect();
        let narrow = narrow.with_precision_and_scale(precision, scale).unwrap();
        widened("Decimal64(p)", Arc::new(narrow));
    }
    let wide: Decimal256Array = unscaled().map(|v| v.map(i256::from_i128)).collect();
    let wide = wide.with_precision_and_scale(precision, scale).unwrap();
    widened("Decimal256(p <= 38)", Arc::new(wide));
    forms
}

fn ints<T: TryFrom<i64>>(values: &[Value]) -> impl Iterator<Item = Option<T>> {
    values.iter().map(|value| value.as_i64().map(|v| T::try_from(v).ok().expect("in range")))
}

fn calendar(value: &Value) -> Option<IntervalMonthDayNano> {
    let parts = value.as_array()?;
    let part = |at: usize| parts[at].as_i64().unwrap();
    let (months, days) = (i32::try_from(part(0)).unwrap(), i32::try_from(part(1)).unwrap());
    Some(IntervalMonthDayNano::new(months, days, part(2) * 1000))
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

pub(super) fn index(value: &Value) -> usize {
    usize::try_from(value.as_u64().expect("a number")).unwrap()
}
