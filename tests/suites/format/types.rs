//! How each type is encoded in a schema and which buffers it has in a block.

use std::sync::Arc;

use arrow_schema::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use bywash_core::column::{Layout, Physical, encode_schema};

use crate::document::table;

/// Every type of this version, by the name in the document; with parameters as an example.
pub(crate) fn all() -> Vec<(&'static str, DataType)> {
    use DataType as D;
    use TimeUnit as U;
    vec![
        ("Null", D::Null),
        ("Boolean", D::Boolean),
        ("Int8", D::Int8),
        ("Int16", D::Int16),
        ("Int32", D::Int32),
        ("Int64", D::Int64),
        ("UInt8", D::UInt8),
        ("UInt16", D::UInt16),
        ("UInt32", D::UInt32),
        ("UInt64", D::UInt64),
        ("Float16", D::Float16),
        ("Float32", D::Float32),
        ("Float64", D::Float64),
        ("Decimal32", D::Decimal32(7, 2)),
        ("Decimal64", D::Decimal64(15, -3)),
        ("Decimal128", D::Decimal128(30, 4)),
        ("Decimal256", D::Decimal256(60, 5)),
        ("Date32", D::Date32),
        ("Date64", D::Date64),
        ("Time32", D::Time32(U::Millisecond)),
        ("Time64", D::Time64(U::Nanosecond)),
        ("Timestamp", D::Timestamp(U::Microsecond, None)),
        ("Duration", D::Duration(U::Second)),
        ("Interval(YearMonth)", D::Interval(IntervalUnit::YearMonth)),
        ("Interval(DayTime)", D::Interval(IntervalUnit::DayTime)),
        ("Interval(MonthDayNano)", D::Interval(IntervalUnit::MonthDayNano)),
        ("Utf8", D::Utf8),
        ("LargeUtf8", D::LargeUtf8),
        ("Binary", D::Binary),
        ("LargeBinary", D::LargeBinary),
        ("FixedSizeBinary", D::FixedSizeBinary(5)),
    ]
}

/// A schema of one column, encoded: a count, the name "c", nullable, then the type.
fn encoded_type(data_type: &DataType) -> Vec<u8> {
    let field = Field::new("c", data_type.clone(), true);
    let encoded = encode_schema(&Schema::new(vec![field])).unwrap();
    let before = 4 + 4 + 1 + 1;
    let after = 4 + 4;
    encoded[before..encoded.len() - after].to_vec()
}

#[test]
fn every_type_has_the_code_and_the_buffers_of_the_document() {
    let table = table("types");
    let types = all();
    assert_eq!(table.len(), types.len());
    for (row, (name, data_type)) in table.iter().zip(types) {
        assert_eq!(row[0], name);
        let encoded = encoded_type(&data_type);
        assert_eq!(row[1], encoded[0].to_string(), "{name}");
        let parameters = match row[2].as_str() {
            "" => 0,
            "unit" | "00" | "01" | "02" => 1,
            "precision, scale" | "unit, zone" => 2,
            "width" => 4,
            other => panic!("{name}: {other}"),
        };
        assert_eq!(encoded.len(), 1 + parameters, "{name}");
        if let Ok(byte) = u8::from_str_radix(&row[2], 16) {
            assert_eq!(encoded[1], byte, "{name}");
        }
        let field = Field::new("c", data_type, true);
        let layout = Layout::try_new(Arc::new(Schema::new(vec![field]))).unwrap();
        let shape = match layout.nodes()[0].physical {
            Physical::Null => "none".to_owned(),
            Physical::Bool => "bits".to_owned(),
            Physical::Fixed { .. } if name == "FixedSizeBinary" => "values x width".to_owned(),
            Physical::Fixed { width } => format!("values x {width}"),
            Physical::Variable { wide: false } => "lengths x 4, data".to_owned(),
            Physical::Variable { wide: true } => "lengths x 8, data".to_owned(),
        };
        assert_eq!(row[3], shape, "{name}");
    }
}

#[test]
fn units_and_zones_are_encoded_as_the_document_says() {
    let units =
        [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let table = table("units");
    assert_eq!(table.len(), units.len());
    for (row, unit) in table.iter().zip(units) {
        assert_eq!(row[0], format!("{unit:?}"));
        let encoded = encoded_type(&DataType::Duration(unit));
        assert_eq!(row[1], encoded[1].to_string());
    }
    let zoned = DataType::Timestamp(TimeUnit::Second, Some("UTC".into()));
    assert_eq!(encoded_type(&zoned), b"\x15\x00\x01\x03\x00\x00\x00UTC");
}
