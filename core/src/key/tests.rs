//! Keys, prefixes and comparisons against the values themselves.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "values of small types are made from any numbers"
)]

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int64Type,
    UInt16Type, UInt32Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_array::{
    BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float16Array,
    Float32Array, Float64Array, Int8Array, Int64Array, LargeStringArray, StringArray, UInt16Array,
    UInt32Array,
};
use arrow_schema::{DataType, Field, Schema};
use half::f16;
use proptest::prelude::*;

use super::*;
use crate::chunk::{SortedChunk, Staging, StagingSize};
use crate::memory::{Area, MemoryLedger};

const ROWS: usize = 40;

/// Values of one column, made of small numbers so that some are equal.
fn array(data_type: &DataType, numbers: &[Option<i32>]) -> ArrayRef {
    let wide = |n: i32| i64::from(n).wrapping_mul([1, 1 << 20, 1 << 40][n.rem_euclid(3) as usize]);
    let text = |n: i32| {
        let bytes = n.to_le_bytes();
        let len = (n.unsigned_abs() % 23) as usize;
        (0..len).map(|at| char::from(bytes[0] % 3 * (at as u8 % 2))).collect::<String>()
    };
    let float = |n: i32| match n.rem_euclid(9) {
        0 => 0.0,
        1 => -0.0,
        2 => f64::NAN,
        3 => -f64::NAN,
        4 => f64::from_bits(0x7ff0_0000_0000_0001),
        5 => f64::INFINITY,
        6 => f64::NEG_INFINITY,
        _ => f64::from(n) / 8.0,
    };
    let each = numbers.iter().copied();
    match data_type {
        DataType::Int8 => Arc::new(each.map(|n| n.map(|n| n as i8)).collect::<Int8Array>()),
        DataType::Int64 => Arc::new(each.map(|n| n.map(wide)).collect::<Int64Array>()),
        DataType::UInt16 => Arc::new(each.map(|n| n.map(|n| n as u16)).collect::<UInt16Array>()),
        DataType::UInt32 => Arc::new(each.map(|n| n.map(|n| n as u32)).collect::<UInt32Array>()),
        DataType::Float16 => {
            let values = each.map(|n| n.map(|n| f16::from_f64(float(n))));
            Arc::new(values.collect::<Float16Array>())
        }
        DataType::Float32 => {
            Arc::new(each.map(|n| n.map(|n| float(n) as f32)).collect::<Float32Array>())
        }
        DataType::Float64 => Arc::new(each.map(|n| n.map(float)).collect::<Float64Array>()),
        DataType::Boolean => {
            Arc::new(each.map(|n| n.map(|n| n % 2 == 0)).collect::<BooleanArray>())
        }
        DataType::Date32 => Arc::new(each.collect::<Date32Array>()),
        DataType::Decimal128(..) => {
            let values = each.map(|n| n.map(|n| i128::from(wide(n)) << (n.unsigned_abs() % 30)));
            Arc::new(values.collect::<Decimal128Array>().with_data_type(data_type.clone()))
        }
        DataType::Utf8 => Arc::new(each.map(|n| n.map(text)).collect::<StringArray>()),
        DataType::LargeUtf8 => Arc::new(each.map(|n| n.map(text)).collect::<LargeStringArray>()),
        DataType::Binary => {
            let values: Vec<_> = each.map(|n| n.map(text)).collect();
            Arc::new(
                values.iter().map(|v| v.as_ref().map(String::as_bytes)).collect::<BinaryArray>(),
            )
        }
        DataType::FixedSizeBinary(width) => {
            let value = |n: i32| vec![n.to_le_bytes()[0] % 4; *width as usize];
            let values = each.map(|n| n.map(value));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, *width).unwrap())
        }
        other => panic!("no values of {other}"),
    }
}

/// The order of two values by what they are, neither of them null.
fn naive(array: &dyn Array, a: usize, b: usize) -> Ordering {
    fn floats(a: f64, b: f64) -> Ordering {
        match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(&b).unwrap(),
            (one, other) => one.cmp(&other),
        }
    }
    macro_rules! of {
        ($type:ty) => {{
            let array = array.as_primitive::<$type>();
            array.value(a).cmp(&array.value(b))
        }};
    }
    match array.data_type() {
        DataType::Int8 => of!(Int8Type),
        DataType::Int64 => of!(Int64Type),
        DataType::UInt16 => of!(UInt16Type),
        DataType::UInt32 => of!(UInt32Type),
        DataType::Date32 => of!(Date32Type),
        DataType::Decimal128(..) => of!(Decimal128Type),
        DataType::Float16 => {
            let array = array.as_primitive::<Float16Type>();
            floats(array.value(a).to_f64(), array.value(b).to_f64())
        }
        DataType::Float32 => {
            let array = array.as_primitive::<Float32Type>();
            floats(array.value(a).into(), array.value(b).into())
        }
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            floats(array.value(a), array.value(b))
        }
        DataType::Boolean => array.as_boolean().value(a).cmp(&array.as_boolean().value(b)),
        DataType::Utf8 => array.as_string::<i32>().value(a).cmp(array.as_string::<i32>().value(b)),
        DataType::LargeUtf8 => {
            array.as_string::<i64>().value(a).cmp(array.as_string::<i64>().value(b))
        }
        DataType::Binary => {
            array.as_binary::<i32>().value(a).cmp(array.as_binary::<i32>().value(b))
        }
        DataType::FixedSizeBinary(_) => {
            array.as_fixed_size_binary().value(a).cmp(array.as_fixed_size_binary().value(b))
        }
        other => panic!("no order of {other}"),
    }
}

fn naive_rows(batch: &RecordBatch, columns: &[SortColumn], a: usize, b: usize) -> Ordering {
    for column in columns {
        let array = batch.column(column.column);
        let order = match (array.is_null(a), array.is_null(b)) {
            (true, true) => Ordering::Equal,
            (true, false) if column.nulls_last => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, true) if column.nulls_last => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) if column.descending => naive(array, b, a),
            (false, false) => naive(array, a, b),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

fn types() -> Vec<DataType> {
    vec![
        DataType::Int8,
        DataType::Int64,
        DataType::UInt16,
        DataType::UInt32,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Boolean,
        DataType::Date32,
        DataType::Decimal128(38, 2),
        DataType::Utf8,
        DataType::LargeUtf8,
        DataType::Binary,
        DataType::FixedSizeBinary(3),
        DataType::FixedSizeBinary(40),
        DataType::FixedSizeBinary(0),
    ]
}

/// A column's type, whether it may be null, and how it is sorted.
fn a_column() -> impl Strategy<Value = (DataType, bool, bool, bool, Vec<Option<i32>>)> {
    let number = prop_oneof![
        1 => Just(None),
        3 => (-9..9).prop_map(Some),
        1 => any::<i32>().prop_map(Some),
    ];
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    (prop::sample::select(types()), flags, prop::collection::vec(number, ROWS)).prop_map(
        |(data_type, (nullable, descending, nulls_last), mut numbers)| {
            if !nullable {
                for number in &mut numbers {
                    *number = Some(number.unwrap_or(0));
                }
            }
            (data_type, nullable, descending, nulls_last, numbers)
        },
    )
}

proptest! {
    #[test]
    fn keys_prefixes_and_comparisons_have_the_order_of_the_values(
        plan in prop::collection::vec(a_column(), 1..4),
        slice in 0usize..10,
    ) {
        let fields = plan.iter().map(|(data_type, nullable, ..)| {
            Field::new("c", data_type.clone(), *nullable)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let arrays = plan.iter().map(|(data_type, .., numbers)| array(data_type, numbers));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays.collect()).unwrap();
        let batch = batch.slice(slice, ROWS - slice);
        let columns: Vec<SortColumn> = plan
            .iter()
            .enumerate()
            .map(|(column, (_, _, descending, nulls_last, _))| SortColumn {
                column,
                descending: *descending,
                nulls_last: *nulls_last,
            })
            .collect();
        let layout = Layout::try_new(schema).unwrap();
        let key = SortKey::try_new(&layout, &columns).unwrap();

        let views = layout.views(&batch);
        let ledger = MemoryLedger::unlimited();
        let consumer = ledger.admit(1, 0).unwrap()[0].consumer("keys");
        let size = StagingSize { rows: ROWS, data_bytes: 1 << 16 };
        let mut staging = Staging::try_new(&consumer, &layout, size).unwrap();
        staging.append(&views, 0, batch.num_rows(), |_| Ok(())).unwrap();
        let bytes = SortedChunk::bytes_for(&layout, &staging, 0);
        let area = Area::try_new(&consumer, bytes).unwrap();
        let as_they_are: Vec<u32> = (0..staging.rows() as u32).collect();
        let chunk = SortedChunk::gather_in_order(area, &layout, &staging, &as_they_are);

        check(&key, &batch, &columns, &ViewRows(&views))?;
        check(&key, &batch, &columns, &staging)?;
        check(&key, &batch, &columns, &ChunkRows(&chunk))?;
    }
}

fn check(
    key: &SortKey,
    batch: &RecordBatch,
    columns: &[SortColumn],
    rows: &impl KeyRows,
) -> Result<(), TestCaseError> {
    let count = batch.num_rows();
    let mut prefixes = vec![0; count];
    key.prefixes(rows, 0..count, &mut prefixes);
    let keys: Vec<Vec<u8>> = (0..count)
        .map(|row| {
            let mut bytes = vec![7; key.len(rows, row)];
            key.write(rows, row, &mut bytes);
            for cut in [0, 1, 5, 17, 64, bytes.len()] {
                let mut start = vec![9; cut];
                let len = key.write_cut(rows, row, &mut start);
                assert_eq!(start[..len], bytes[..cut.min(bytes.len())], "cut at {cut}");
            }
            bytes
        })
        .collect();
    for a in 0..count {
        prop_assert_eq!(key.prefix(rows, a), prefixes[a]);
        for b in 0..count {
            let expected = naive_rows(batch, columns, a, b);
            prop_assert_eq!(keys[a].cmp(&keys[b]), expected, "keys of {} and {}", a, b);
            prop_assert_eq!(key.compare((rows, a), (rows, b)), expected, "rows {} and {}", a, b);
            let by_prefix = prefixes[a].cmp(&prefixes[b]);
            if by_prefix != Ordering::Equal || key.is_decisive() {
                prop_assert_eq!(by_prefix, expected, "prefixes of {} and {}", a, b);
            }
        }
    }
    Ok(())
}

#[test]
fn intervals_without_an_order_and_columns_that_are_not_there_are_refused() {
    use arrow_schema::IntervalUnit;
    let field = |unit| Field::new("wait", DataType::Interval(unit), true);
    let schema = Schema::new(vec![field(IntervalUnit::DayTime), field(IntervalUnit::YearMonth)]);
    let layout = Layout::try_new(Arc::new(schema)).unwrap();
    let refused =
        |column| SortKey::try_new(&layout, &[SortColumn::ascending(column)]).map(drop).unwrap_err();
    assert_eq!(refused(0).kind(), ErrorKind::Unsupported);
    let said = refused(0).to_string();
    assert!(said.contains("no order to sort by; cast it: wait Interval("), "{said}");
    assert_eq!(refused(2).kind(), ErrorKind::InvalidArgument);
    assert!(SortKey::try_new(&layout, &[SortColumn::descending(1)]).unwrap().is_decisive());
}
