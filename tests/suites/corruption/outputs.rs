//! Small outputs that have everything: several partitions (one of them empty), several blocks,
//! nulls, every shape of column, chains, frames of one buffer.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Int64Array, LargeBinaryArray, NullArray,
    PrimitiveArray, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use bywash::Codec;
use bywash_tests::map_files::MapFiles;

use crate::subject::Subject;

pub(crate) const CODECS: [Codec; 3] = [Codec::None, Codec::Lz4, Codec::ZSTD];

/// Two or three blocks in each partition but the second, which is empty.
pub(crate) fn mixed(codec: Codec) -> Subject {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("nothing", DataType::Null, true),
        Field::new("name", DataType::Utf8, true),
        Field::new("flag", DataType::Boolean, true),
        Field::new("price", DataType::Decimal128(12, 2), true),
        Field::new("blob", DataType::LargeBinary, true),
    ]));
    let batch = |first: i32, rows: i32| {
        let ids = first..first + rows;
        let name = |id: i32| (id % 3 != 0).then(|| format!("name name name {id}"));
        let blob = |id: i32| (id % 4 != 1).then(|| vec![7; usize::try_from(id % 5).unwrap() * 3]);
        let names: Vec<_> = ids.clone().map(name).collect();
        let blobs: Vec<_> = ids.clone().map(blob).collect();
        let prices = ids.clone().map(|id| (id % 2 == 0).then_some(i128::from(id)));
        let prices: Decimal128Array = prices.collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(PrimitiveArray::<Int32Type>::from_iter_values(ids.clone())),
            Arc::new(NullArray::new(ids.len())),
            Arc::new(StringArray::from(names)),
            Arc::new(ids.map(|id| (id % 3 > 0).then_some(id % 2 == 1)).collect::<BooleanArray>()),
            Arc::new(prices.with_precision_and_scale(12, 2).unwrap()),
            Arc::new(LargeBinaryArray::from_iter(blobs)),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    };
    let partitions =
        [vec![batch(0, 3), batch(3, 4)], vec![], vec![batch(7, 1), batch(8, 9), batch(17, 2)]];
    subject(&schema, codec, 64 << 10, &partitions)
}

/// A chain of blocks between two ordinary ones.
pub(crate) fn chained(codec: Codec) -> Subject {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("text", DataType::Utf8, true),
        Field::new("blob", DataType::LargeBinary, false),
        Field::new("flag", DataType::Boolean, false),
    ]));
    let row = |id: Option<i64>, len: usize| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![id])),
            Arc::new(StringArray::from_iter_values(["word ".repeat(len / 5)])),
            Arc::new(LargeBinaryArray::from_iter_values([vec![3; len]])),
            Arc::new(BooleanArray::from(vec![true])),
        ];
        RecordBatch::try_new(Arc::clone(&schema), columns).unwrap()
    };
    let partitions = [vec![row(Some(1), 5), row(None, 250), row(Some(3), 0)], vec![row(None, 300)]];
    subject(&schema, codec, 200, &partitions)
}

/// One block whose buffers have a frame each.
pub(crate) fn framed(codec: Codec) -> Subject {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, true),
        Field::new("text", DataType::Utf8, false),
        Field::new("flag", DataType::Boolean, false),
    ]));
    let rows = 9 << 10;
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..rows).map(|id| (id != 77).then_some(5)).collect::<Int64Array>()),
        Arc::new(StringArray::from_iter_values((0..rows).map(|_| "abcd"))),
        Arc::new((0..rows).map(|_| Some(true)).collect::<BooleanArray>()),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
    subject(&schema, codec, 256 << 10, &[vec![batch]])
}

fn subject(
    schema: &SchemaRef,
    codec: Codec,
    raw_bytes: usize,
    partitions: &[Vec<RecordBatch>],
) -> Subject {
    let files = MapFiles::build(schema, codec, raw_bytes, partitions).unwrap();
    let rows = partitions.iter();
    let expected = rows.map(|batches| concat_batches(schema, batches).unwrap());
    Subject::new(files, expected.collect::<Vec<_>>(), 1 << 20)
}
