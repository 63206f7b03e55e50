//! The types that Spark does not have: each value is placed as the equal value of the type that the
//! documentation names.

use std::sync::Arc;

use arrow_array::types::*;
use arrow_array::*;
use arrow_buffer::i256;
use arrow_schema::{DataType, Field};
use bywash_core::ErrorKind;
use half::f16;

use super::*;

/// A type, the type it is widened to, and equal values of both.
struct Widening {
    from: &'static str,
    to: &'static str,
    values: ArrayRef,
    equal: ArrayRef,
}

fn widening(
    from: &'static str,
    to: &'static str,
    values: impl Array + 'static,
    equal: impl Array + 'static,
) -> Widening {
    Widening { from, to, values: Arc::new(values), equal: Arc::new(equal) }
}

#[test]
fn documented_widenings_hold() {
    let mut tested = BTreeSet::new();
    for Widening { from, to, values, equal } in widenings() {
        let hash = |array: &ArrayRef| {
            let hasher = SparkHash::try_new(&schema_of(&[Arc::clone(array)]), &[0]).unwrap();
            let mut out = vec![0; array.len()];
            hasher.hash(&[Arc::clone(array)], 0, &mut out);
            out
        };
        assert!(values.len() > 2, "{from}");
        assert_eq!(hash(&values), hash(&equal), "{from} as {to}");
        tested.insert((from.to_owned(), to.to_owned()));
    }
    assert_eq!(documented("## Types without one"), tested);
}

#[test]
fn documented_refusals_hold() {
    let item = || Arc::new(Field::new("item", DataType::Int32, true));
    let refused = [
        DataType::List(item()),
        DataType::LargeList(item()),
        DataType::FixedSizeList(item(), 2),
        DataType::Struct(vec![item()].into()),
        DataType::Dictionary(DataType::Int32.into(), DataType::Utf8.into()),
        DataType::RunEndEncoded(Arc::new(Field::new("ends", DataType::Int32, false)), item()),
        DataType::Utf8View,
        DataType::BinaryView,
    ];
    for data_type in refused {
        let schema = Schema::new(vec![Field::new("key", data_type.clone(), true)]);
        let error = SparkHash::try_new(&schema, &[0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{data_type}");
        assert!(error.to_string().contains("key"), "{error}");
    }
}

fn widenings() -> Vec<Widening> {
    let mut all = numbers();
    all.extend(times());
    all.extend(instants());
    all
}

fn numbers() -> Vec<Widening> {
    let decimals = [None, Some(0), Some(-1), Some(999_999_999), Some(-999_999_999)];
    let decimal = |precision| {
        let array: Decimal128Array = decimals.iter().map(|v| v.map(i128::from)).collect();
        array.with_precision_and_scale(precision, 2).unwrap()
    };
    let decimal32: Decimal32Array = decimals.iter().copied().collect();
    let decimal64: Decimal64Array = decimals.iter().map(|v| v.map(i64::from)).collect();
    let decimal256: Decimal256Array =
        decimals.iter().map(|v| v.map(|v| i256::from_i128(v.into()))).collect();
    let u64s = [0, 1, 127, 128, 255, 256, u64::MAX >> 1, (u64::MAX >> 1) + 1, u64::MAX];
    let u64s_as_decimals = Decimal128Array::from_iter_values(u64s.map(i128::from));
    let halves = [0.0, -0.0, 1.5, -65504.0, f32::INFINITY, f32::NAN, 6.103_515_6e-5];
    vec![
        widening(
            "UInt8",
            "Int32",
            UInt8Array::from(vec![Some(0), None, Some(127), Some(128), Some(255)]),
            Int32Array::from(vec![Some(0), None, Some(127), Some(128), Some(255)]),
        ),
        widening(
            "UInt16",
            "Int32",
            UInt16Array::from(vec![0, 32_767, 32_768, 65_535]),
            Int32Array::from(vec![0, 32_767, 32_768, 65_535]),
        ),
        widening(
            "UInt32",
            "Int64",
            UInt32Array::from(vec![0, 1 << 31, u32::MAX]),
            Int64Array::from(vec![0, 1 << 31, 4_294_967_295]),
        ),
        widening(
            "UInt64",
            "Decimal128(20, 0)",
            UInt64Array::from(u64s.to_vec()),
            u64s_as_decimals.with_precision_and_scale(20, 0).unwrap(),
        ),
        widening(
            "Float16",
            "Float32",
            Float16Array::from_iter_values(halves.map(f16::from_f32)),
            Float32Array::from_iter_values(halves.map(|v| f16::from_f32(v).to_f32())),
        ),
        widening(
            "Decimal32(p)",
            "Decimal128(p)",
            decimal32.with_precision_and_scale(9, 2).unwrap(),
            decimal(9),
        ),
        widening(
            "Decimal64(p)",
            "Decimal128(p)",
            decimal64.with_precision_and_scale(18, 2).unwrap(),
            decimal(18),
        ),
        widening(
            "Decimal256(p <= 38)",
            "Decimal128(p)",
            decimal256.clone().with_precision_and_scale(18, 2).unwrap(),
            decimal(18),
        ),
        widening(
            "Decimal256(p <= 38)",
            "Decimal128(p)",
            decimal256.with_precision_and_scale(38, 2).unwrap(),
            decimal(38),
        ),
        wide_decimals(),
        widening(
            "FixedSizeBinary(n)",
            "Binary",
            FixedSizeBinaryArray::try_from_iter(
                [b"abcde", b"\x80\xff\0\x01\x7f", b"     "].into_iter(),
            )
            .unwrap(),
            BinaryArray::from(vec![&b"abcde"[..], b"\x80\xff\0\x01\x7f", b"     "]),
        ),
    ]
}

/// The shortest two's complement forms, written out.
fn wide_decimals() -> Widening {
    let two_to = |power: u8| i256::ONE << power;
    let mut past_16_bytes = vec![0];
    past_16_bytes.extend(1u128.reverse_bits().to_be_bytes());
    let mut seventeen_negative = vec![0xff];
    seventeen_negative.extend([0x7f].into_iter().chain([0xff; 15]));
    let mut thirty_two = vec![0x40];
    thirty_two.extend([0; 31]);
    let bytes: Vec<&[u8]> = vec![
        &[0],
        &[0xff],
        &[0x7f],
        &[0x00, 0x80],
        &[0x80],
        &[0xff, 0x7f],
        &past_16_bytes,
        &seventeen_negative,
        &thirty_two,
    ];
    let values = Decimal256Array::from_iter_values([
        i256::ZERO,
        i256::MINUS_ONE,
        i256::from_i128(127),
        i256::from_i128(128),
        i256::from_i128(-128),
        i256::from_i128(-129),
        two_to(127),
        i256::ZERO.wrapping_sub(two_to(127)).wrapping_sub(i256::ONE),
        two_to(254),
    ]);
    let values = values.with_precision_and_scale(76, 0).unwrap();
    widening("Decimal256(p > 38)", "Binary", values, BinaryArray::from(bytes))
}

fn times() -> Vec<Widening> {
    let nanos = |values: [i64; 3]| Time64NanosecondArray::from(values.to_vec());
    let day_time = |days, milliseconds| IntervalDayTime::new(days, milliseconds);
    let calendar = |days, nanos| IntervalMonthDayNano::new(0, days, nanos);
    vec![
        widening(
            "Time32(s)",
            "Time64(ns)",
            Time32SecondArray::from(vec![0, 1, 86_399]),
            nanos([0, 1_000_000_000, 86_399_000_000_000]),
        ),
        widening(
            "Time32(ms)",
            "Time64(ns)",
            Time32MillisecondArray::from(vec![0, 1, 86_399_999]),
            nanos([0, 1_000_000, 86_399_999_000_000]),
        ),
        widening(
            "Time64(us)",
            "Time64(ns)",
            Time64MicrosecondArray::from(vec![0, 1, 86_399_999_999]),
            nanos([0, 1_000, 86_399_999_999_000]),
        ),
        widening(
            "Interval(DayTime)",
            "Interval(MonthDayNano)",
            IntervalDayTimeArray::from(vec![
                day_time(1, 2),
                day_time(-3, i32::MIN),
                day_time(i32::MAX, 0),
            ]),
            IntervalMonthDayNanoArray::from(vec![
                calendar(1, 2_000_000),
                calendar(-3, -2_147_483_648_000_000),
                calendar(i32::MAX, 0),
            ]),
        ),
    ]
}

fn instants() -> Vec<Widening> {
    /// Scaled, the last one wrapping.
    fn scaled<T: ArrowPrimitiveType<Native = i64>>(by: i64) -> (PrimitiveArray<T>, Vec<i64>) {
        let values = [0, 1, -1, 1_700_000_000, -62_135_596_800, i64::MAX];
        let equal = values.map(|v: i64| v.wrapping_mul(by));
        (PrimitiveArray::from_iter_values(values), equal.to_vec())
    }
    let fine = vec![0, 1, 999, 1_000, -1, -1_000, -1_001, i64::MIN];
    let floored = vec![0, 0, 0, 1, -1, -1, -2, -9_223_372_036_854_776];

    let (seconds, of_seconds) = scaled::<TimestampSecondType>(1_000_000);
    let (millis, of_millis) = scaled::<TimestampMillisecondType>(1_000);
    let (long_seconds, _) = scaled::<DurationSecondType>(1_000_000);
    let (long_millis, _) = scaled::<DurationMillisecondType>(1_000);
    let at = |micros: &[i64]| TimestampMicrosecondArray::from(micros.to_vec());
    let for_micros = |micros: &[i64]| DurationMicrosecondArray::from(micros.to_vec());
    vec![
        widening(
            "Date64",
            "Date32",
            Date64Array::from(vec![0, DAY - 1, DAY, -1, -DAY, -DAY - 1, DAY * 4_294_967_297]),
            Date32Array::from(vec![0, 0, 1, -1, -1, -2, 1]),
        ),
        widening("Timestamp(s)", "Timestamp(us)", seconds.clone(), at(&of_seconds)),
        widening("Timestamp(s)", "Timestamp(us)", seconds.with_timezone("UTC"), at(&of_seconds)),
        widening("Timestamp(ms)", "Timestamp(us)", millis, at(&of_millis)),
        widening(
            "Timestamp(ns)",
            "Timestamp(us)",
            TimestampNanosecondArray::from(fine.clone()),
            at(&floored),
        ),
        widening("Duration(s)", "Duration(us)", long_seconds, for_micros(&of_seconds)),
        widening("Duration(ms)", "Duration(us)", long_millis, for_micros(&of_millis)),
        widening(
            "Duration(ns)",
            "Duration(us)",
            DurationNanosecondArray::from(fine),
            for_micros(&floored),
        ),
    ]
}

/// In milliseconds.
const DAY: i64 = 86_400_000;
