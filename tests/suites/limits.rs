//! Limits that are promised in figures: the minimum budget of a known table, and rows far larger
//! than the budget of their writer.
#![expect(clippy::print_stdout, reason = "a test prints its figures and fails by panicking")]

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bywash::{
    AttemptId, ChargeMode, Codec, ErrorKind, Figure, MapId, MemoryLedger, Partitioning,
    ShuffleSpec, ShuffleWriter, minimum_budget,
};
use bywash_tests::case::admit;
use bywash_tests::dirs::Dirs;

const MIB: u64 = 1 << 20;

#[test]
fn lineitem_needs_little() {
    for codec in [Codec::Lz4, Codec::Zstd { level: 1 }] {
        for (partitions, most) in [(200, 8 * MIB), (100_000, 16 * MIB)] {
            let spec = ShuffleSpec::new(lineitem(), partitions, Partitioning::Hash(vec![0]))
                .unwrap()
                .with_codec(codec);
            let minimum = minimum_budget(&spec, 1).unwrap();
            println!("{codec}, {partitions} partitions: {minimum} bytes");
            assert!(minimum <= most, "{codec}, {partitions} partitions: {minimum} bytes");
        }
    }
}

/// A row of 256 MiB between small ones, written at 32 MiB.
#[test]
fn a_huge_row_is_written_in_little_memory_and_read_with_enough() {
    let huge = "x".repeat(256 << 20);
    let strings = StringArray::from(vec![Some("before"), Some(&huge), None, Some("after")]);
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 4]));
    let batch =
        RecordBatch::try_from_iter([("n", numbers), ("s", Arc::new(strings) as _)]).unwrap();
    drop(huge);
    for codec in [Codec::Lz4, Codec::None] {
        let spec =
            ShuffleSpec::new(batch.schema(), 2, Partitioning::Ids).unwrap().with_codec(codec);
        let dirs = Dirs::new();
        let ledger = MemoryLedger::new(32 * MIB);
        let task = admit(&ledger, 0).unwrap();
        let (map, attempt) = (MapId(0), AttemptId(0));
        let mut writer =
            ShuffleWriter::new(&spec, &task, &dirs.spill, &dirs.out, map, attempt).unwrap();
        writer.write_with_ids(&batch, &[1, 1, 1, 1]).unwrap();
        let output = writer.finish().unwrap();
        assert!(ledger.peak_granted() <= 32 * MIB);

        let large = MemoryLedger::new(600 * MIB);
        let reader = admit(&large, 0).unwrap();
        let batches: Vec<RecordBatch> =
            output.read(1, &reader, ChargeMode::Ledger).unwrap().map(Result::unwrap).collect();
        let read = arrow_select::concat::concat_batches(&batch.schema(), &batches).unwrap();
        assert!(read == batch, "the rows differ");
        drop(batches);

        let small = MemoryLedger::new(64 * MIB);
        let reader = admit(&small, 0).unwrap();
        let error = output
            .read(1, &reader, ChargeMode::Ledger)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .expect_err("64 MiB do not hold the row");
        assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{error}");
        let row = error.figure(Figure::RowBytes).expect("the row's size");
        assert!((256 * MIB..=257 * MIB).contains(&row), "{error}");
        assert_eq!(error.figure(Figure::Budget), Some(64 * MIB), "{error}");
    }
}

/// TPC-H lineitem as its generator makes it.
fn lineitem() -> SchemaRef {
    let money = DataType::Decimal128(15, 2);
    let fields = [
        ("l_orderkey", DataType::Int64),
        ("l_partkey", DataType::Int64),
        ("l_suppkey", DataType::Int64),
        ("l_linenumber", DataType::Int32),
        ("l_quantity", money.clone()),
        ("l_extendedprice", money.clone()),
        ("l_discount", money.clone()),
        ("l_tax", money),
        ("l_returnflag", DataType::Utf8),
        ("l_linestatus", DataType::Utf8),
        ("l_shipdate", DataType::Date32),
        ("l_commitdate", DataType::Date32),
        ("l_receiptdate", DataType::Date32),
        ("l_shipinstruct", DataType::Utf8),
        ("l_shipmode", DataType::Utf8),
        ("l_comment", DataType::Utf8),
    ]
    .map(|(name, data_type)| Field::new(name, data_type, false));
    Arc::new(Schema::new(fields.to_vec()))
}
