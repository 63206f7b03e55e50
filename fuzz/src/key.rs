//! `key_order`: keys, prefixes and comparisons of any values against what the values are.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, make_array};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, Schema};
use bywash::SortColumn;
use bywash_core::column::Layout;
use bywash_core::key::{SortKey, ViewRows};
use bywash_tests::sort::naive_order;

/// Input: a byte for the first column's type and order, one for the second's, then the values of row
/// after row: a byte that says null or a length, and the bytes.
pub fn key_order(data: &[u8]) -> bool {
    let Some(([first, second], mut rest)) = data.split_first_chunk::<2>() else {
        return false;
    };
    let choices =
        [first, second].map(|byte| (types()[usize::from(byte % 32) % types().len()].clone(), byte));
    let mut values: [Vec<Option<Vec<u8>>>; 2] = [Vec::new(), Vec::new()];
    while let Some(row) = take_row(&mut rest, &choices) {
        for (column, value) in values.iter_mut().zip(row) {
            column.push(value);
        }
        if values[0].len() == ROWS_MAX {
            break;
        }
    }
    let rows = values[0].len();
    if rows < 2 {
        return false;
    }
    let fields = choices
        .iter()
        .map(|(data_type, byte)| Field::new("c", data_type.clone(), **byte & NOT_NULL == 0));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = choices
        .iter()
        .zip(&values)
        .map(|((data_type, byte), values)| array(data_type, values, **byte & NOT_NULL == 0));
    let Ok(batch) = RecordBatch::try_new(Arc::clone(&schema), columns.collect()) else {
        return false;
    };
    let order: Vec<SortColumn> = choices
        .iter()
        .enumerate()
        .map(|(column, (_, byte))| SortColumn {
            column,
            descending: **byte & 0x20 != 0,
            nulls_last: **byte & 0x40 != 0,
        })
        .collect();
    let layout = Layout::try_new(schema).unwrap_or_else(|error| panic!("{error}"));
    let key = SortKey::try_new(&layout, &order).unwrap_or_else(|error| panic!("{error}"));
    let views = layout.views(&batch);
    let view = ViewRows(&views);
    let keys: Vec<Vec<u8>> = (0..rows)
        .map(|row| {
            let mut bytes = vec![0; key.len(&view, row)];
            key.write(&view, row, &mut bytes);
            bytes
        })
        .collect();
    for one in 0..rows {
        for other in 0..rows {
            let expected = naive_order(&batch, &order, one as u64, other as u64);
            assert_eq!(keys[one].cmp(&keys[other]), expected, "keys of rows {one} and {other}");
            assert_eq!(key.compare((&view, one), (&view, other)), expected);
            let prefixes = key.prefix(&view, one).cmp(&key.prefix(&view, other));
            assert!(prefixes == expected || (prefixes.is_eq() && !key.is_decisive()));
        }
    }
    true
}

/// One value of each column.
fn take_row(rest: &mut &[u8], choices: &[(DataType, &u8); 2]) -> Option<[Option<Vec<u8>>; 2]> {
    let mut row = [None, None];
    for (slot, (data_type, _)) in row.iter_mut().zip(choices) {
        let (head, tail) = rest.split_first()?;
        *rest = tail;
        if head % 8 == 7 {
            continue;
        }
        let len = match data_type {
            DataType::Boolean => 1,
            DataType::Utf8 | DataType::Binary => usize::from(head / 8),
            fixed => fixed.primitive_width().unwrap_or(3),
        };
        let (value, tail) = rest.split_at_checked(len)?;
        *rest = tail;
        let mut value = value.to_vec();
        if *data_type == DataType::Utf8 {
            for byte in &mut value {
                *byte &= 0x7f;
            }
        }
        *slot = Some(value);
    }
    Some(row)
}

fn array(data_type: &DataType, values: &[Option<Vec<u8>>], nullable: bool) -> ArrayRef {
    let rows = values.len();
    let mut bits = vec![0u8; rows.div_ceil(8)];
    for (row, value) in values.iter().enumerate() {
        if value.is_some() || !nullable {
            bits[row / 8] |= 1 << (row % 8);
        }
    }
    let builder = ArrayData::builder(data_type.clone()).len(rows);
    let builder = if nullable { builder.null_bit_buffer(Some(bits.into())) } else { builder };
    let all = values.iter().map(|value| value.as_deref().unwrap_or_default());
    let builder = match data_type {
        DataType::Boolean => {
            let mut packed = vec![0u8; rows.div_ceil(8)];
            for (row, value) in all.enumerate() {
                packed[row / 8] |= (value.first().copied().unwrap_or(0) & 1) << (row % 8);
            }
            builder.add_buffer(packed.into())
        }
        DataType::Utf8 | DataType::Binary => {
            let (mut offsets, mut data) = (0i32.to_le_bytes().to_vec(), Vec::new());
            for value in all {
                data.extend_from_slice(value);
                let end = i32::try_from(data.len()).unwrap_or(i32::MAX);
                offsets.extend_from_slice(&end.to_le_bytes());
            }
            builder.add_buffer(offsets.into()).add_buffer(data.into())
        }
        fixed => {
            let width = fixed.primitive_width().unwrap_or(3);
            let mut bytes = Vec::new();
            for value in all {
                let mut value = value.to_vec();
                value.resize(width, 0);
                bytes.extend(value);
            }
            builder.add_buffer(arrow_buffer::Buffer::from_slice_ref(&bytes))
        }
    };
    make_array(builder.build().unwrap_or_else(|error| panic!("{error}")))
}

fn types() -> Vec<DataType> {
    vec![
        DataType::Int8,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt16,
        DataType::UInt64,
        DataType::Float16,
        DataType::Float32,
        DataType::Float64,
        DataType::Boolean,
        DataType::Utf8,
        DataType::Binary,
        DataType::FixedSizeBinary(3),
        DataType::Date32,
    ]
}

/// The bit of a column's byte that makes it non-nullable.
const NOT_NULL: u8 = 0x80;
const ROWS_MAX: usize = 64;
