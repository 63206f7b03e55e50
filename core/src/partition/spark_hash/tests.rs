use std::sync::Arc;

use arrow_array::types::{ByteArrayType, GenericBinaryType, GenericStringType};
use arrow_array::{GenericByteArray, NullArray, OffsetSizeTrait, make_array};
use arrow_buffer::{MutableBuffer, NullBuffer, OffsetBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};
use proptest::prelude::*;

use super::super::{oracle, pmod};
use super::*;

/// Every type that can be hashed, the decimals on both sides of their bounds.
fn hashable() -> Vec<DataType> {
    use DataType::*;
    use TimeUnit::{Microsecond, Millisecond, Nanosecond, Second};
    let mut types = vec![Null, Boolean, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64];
    types.extend([Float16, Float32, Float64, Date32, Date64, Time32(Second), Time32(Millisecond)]);
    types.extend([Time64(Microsecond), Time64(Nanosecond), Utf8, LargeUtf8, Binary, LargeBinary]);
    types.extend([FixedSizeBinary(0), FixedSizeBinary(1), FixedSizeBinary(7), FixedSizeBinary(16)]);
    types.extend([Decimal32(9, 2), Decimal64(18, -1), Decimal128(1, 0), Decimal128(18, 3)]);
    types.extend([Decimal128(19, 0), Decimal128(38, 9), Decimal256(18, 1), Decimal256(19, 0)]);
    types.push(Decimal256(76, 20));
    for unit in [Second, Millisecond, Microsecond, Nanosecond] {
        types.extend([Timestamp(unit, None), Timestamp(unit, Some("+02:00".into()))]);
        types.push(Duration(unit));
    }
    for unit in [IntervalUnit::YearMonth, IntervalUnit::DayTime, IntervalUnit::MonthDayNano] {
        types.push(Interval(unit));
    }
    types
}

/// A small generator (SplitMix64), so that one printed number repeats a case.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// Little-endian bytes of one value; often zero, minus one, the extremes (negative zero and
    /// NaN among floats), infinity of some width, or a short number with its sign extended.
    fn value(&mut self, width: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..width).map(|_| self.byte()).collect();
        let (fill, top) = match self.below(12) {
            0 => (0x00, 0x00),
            1 => (0xff, 0xff),
            2 => (0x00, 0x80),
            3 => (0xff, 0x7f),
            4 | 5 => {
                let sign = if self.below(2) == 0 { 0x00 } else { 0xff };
                let kept = self.below(width + 1);
                bytes[kept..].fill(sign);
                return bytes;
            }
            _ => return bytes,
        };
        bytes.fill(fill);
        if let Some(last) = bytes.last_mut() {
            *last = top;
        }
        bytes
    }

    /// No nulls, a few, runs of them longer than a word of validity, or only nulls.
    fn nulls(&mut self, rows: usize) -> Option<NullBuffer> {
        let mut run = (0, true);
        let style = self.below(5);
        let valid = (0..rows).map(|_| match style {
            1 => self.below(10) > 0,
            2 => {
                if run.0 == 0 {
                    run = (1 + self.below(200), !run.1);
                }
                run.0 -= 1;
                run.1
            }
            3 => false,
            _ => true,
        });
        let valid: Vec<bool> = valid.collect();
        (style > 0).then(|| NullBuffer::from(valid))
    }

    /// An array with random values under its nulls too, sliced at both ends.
    fn array(&mut self, data_type: &DataType, rows: usize) -> ArrayRef {
        let (before, after) = (self.below(130), self.below(3));
        let all = before + rows + after;
        let nulls = self.nulls(all);
        let array: ArrayRef = match data_type {
            DataType::Null => Arc::new(NullArray::new(all)),
            DataType::Utf8 => self.bytes::<GenericStringType<i32>>(all, nulls),
            DataType::LargeUtf8 => self.bytes::<GenericStringType<i64>>(all, nulls),
            DataType::Binary => self.bytes::<GenericBinaryType<i32>>(all, nulls),
            DataType::LargeBinary => self.bytes::<GenericBinaryType<i64>>(all, nulls),
            fixed => self.fixed(fixed, all, nulls),
        };
        assert_eq!(array.data_type(), data_type);
        array.slice(before, rows)
    }

    fn fixed(&mut self, data_type: &DataType, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        let (width, values) = match data_type {
            DataType::Boolean => (1, rows.div_ceil(8)),
            DataType::FixedSizeBinary(size) => (usize::try_from(*size).unwrap(), rows),
            other => (other.primitive_width().unwrap(), rows),
        };
        let mut buffer = MutableBuffer::new(width * values);
        (0..values).for_each(|_| buffer.extend_from_slice(&self.value(width)));
        let data = ArrayData::builder(data_type.clone()).len(rows).add_buffer(buffer.into());
        make_array(data.nulls(nulls).build().unwrap())
    }

    fn bytes<T: ByteArrayType>(&mut self, rows: usize, nulls: Option<NullBuffer>) -> ArrayRef
    where
        T::Offset: OffsetSizeTrait,
    {
        let mut lengths = Vec::new();
        let mut data = Vec::new();
        for _ in 0..rows {
            let length = self.below(23);
            let text: String =
                (0..length).map(|_| ['a', 'Z', '\0', '\u{e9}'][self.below(4)]).collect();
            lengths.push(text.len());
            data.extend(text.into_bytes());
        }
        Arc::new(GenericByteArray::<T>::new(
            OffsetBuffer::from_lengths(lengths),
            data.into(),
            nulls,
        ))
    }
}

fn check(columns: &[ArrayRef], by: &[usize], start: usize, rows: usize, partitions: u32) {
    let fields = columns.iter().map(|c| Field::new("c", c.data_type().clone(), true));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let hasher = SparkHash::try_new(&schema, by).unwrap();
    // What was there before must not matter.
    let mut hashes = vec![7; rows];
    hasher.hash(columns, start, &mut hashes);
    let mut ids = vec![9; rows];
    hasher.partition_ids(columns, start, partitions, &mut ids);

    let chosen: Vec<_> = by.iter().map(|index| &columns[*index]).collect();
    for row in 0..rows {
        let expected = oracle::hash_row(&chosen, start + row);
        assert_eq!(hashes[row], expected, "row {row} of {schema}");
        assert_eq!(ids[row], pmod(expected, partitions), "row {row} among {partitions}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn equals_the_oracle(
        seed: u64,
        rows in 0usize..400,
        width in 1usize..5,
        partitions in prop_oneof![1u32..10, 1u32..100_001],
    ) {
        let mut random = Random(seed);
        let types = hashable();
        let columns: Vec<_> = (0..width)
            .map(|_| {
                let chosen = random.below(types.len());
                random.array(&types[chosen], rows)
            })
            .collect();
        let by: Vec<_> = (0..=random.below(4)).map(|_| random.below(width)).collect();
        let start = random.below(rows + 1);
        check(&columns, &by, start, rows - start, partitions);
    }
}

#[test]
fn every_type_over_several_strips() {
    let mut random = Random(42);
    for data_type in hashable() {
        let rows = 2 * STRIP_ROWS + 77;
        let columns = [random.array(&data_type, rows), random.array(&DataType::Int32, rows)];
        check(&columns, &[0, 1], 0, rows, 1000);
        check(&columns, &[0], 65, rows - 65, 200);
    }
}

#[test]
fn nothing_is_read_without_rows() {
    let empty: [ArrayRef; 1] = [Random(1).array(&DataType::Utf8, 0)];
    check(&empty, &[0], 0, 0, 5);
}

#[test]
fn refusals_name_the_column() {
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("tags", list, true),
        Field::new("view", DataType::Utf8View, true),
    ]);
    let error = |columns: &[usize]| SparkHash::try_new(&schema, columns).unwrap_err();

    assert_eq!(error(&[]).to_string(), "hash partitioning needs at least one column");
    let out_of_range = error(&[0, 3]);
    assert_eq!(out_of_range.kind(), ErrorKind::InvalidArgument);
    assert_eq!(out_of_range.figure(Figure::Column), Some(3));
    assert_eq!(out_of_range.figure(Figure::Length), Some(3));
    for (column, name) in [(1, "tags is List"), (2, "view is Utf8View")] {
        let refused = error(&[0, column]);
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        assert!(refused.to_string().contains(name), "{refused}");
        assert_eq!(refused.figure(Figure::Column), u64::try_from(column).ok());
    }
}
