//! The data types of the first slice, each with the parameters that change how it is stored.

use arrow_schema::DataType::{
    self, Binary, Boolean, Date32, Date64, Decimal32, Decimal64, Decimal128, Decimal256, Duration,
    FixedSizeBinary, Float16, Float32, Float64, Int8, Int16, Int32, Int64, Interval, LargeBinary,
    LargeUtf8, Null, Time32, Time64, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8,
};
use arrow_schema::{IntervalUnit, TimeUnit};

use crate::seed::Rng;

/// Every type the engine takes, in several precisions, units, zones and widths.
pub fn all_types() -> Vec<DataType> {
    let mut types = vec![
        Null,
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Date32,
        Date64,
        Utf8,
        LargeUtf8,
        Binary,
        LargeBinary,
    ];
    types.extend([(1, 0), (5, 2), (9, -3), (9, 9)].map(|(p, s)| Decimal32(p, s)));
    types.extend([(10, 0), (18, 6)].map(|(p, s)| Decimal64(p, s)));
    types.extend([(3, 1), (10, 2), (18, 0), (19, 4), (38, 10)].map(|(p, s)| Decimal128(p, s)));
    types.extend([(20, 2), (38, 0), (76, 10)].map(|(p, s)| Decimal256(p, s)));
    types.extend([Time32(TimeUnit::Second), Time32(TimeUnit::Millisecond)]);
    types.extend([Time64(TimeUnit::Microsecond), Time64(TimeUnit::Nanosecond)]);
    for unit in UNITS {
        types.push(Timestamp(unit, None));
        types.push(Timestamp(unit, Some("UTC".into())));
        types.push(Timestamp(unit, Some("+05:30".into())));
        types.push(Duration(unit));
    }
    types.extend(
        [IntervalUnit::YearMonth, IntervalUnit::DayTime, IntervalUnit::MonthDayNano].map(Interval),
    );
    types.extend([0, 1, 3, 16, 200].map(FixedSizeBinary));
    types
}

/// A type at random; strings and plain numbers more often than their number would give.
pub fn random_type(rng: &mut Rng) -> DataType {
    if rng.chance(35) {
        return rng.pick(&[Utf8, Binary, LargeUtf8, Int32, Int64, Float64, Boolean]).clone();
    }
    rng.pick(&all_types()).clone()
}

const UNITS: [TimeUnit; 4] =
    [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
