//! The edges of what a writer takes: what it accepts is written and read back, and what it cannot
//! is refused before the first row.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, FixedSizeBinaryArray, Int8Array, NullArray, RecordBatch, RecordBatchOptions,
    make_array,
};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bywash::{
    AttemptId, ChargeMode, Codec, ErrorKind, Figure, FsStore, MapId, MapOutput, MemoryLedger,
    OutputDir, Partitioning, ShuffleSpec, ShuffleWriter, TaskMemory, minimum_budget,
};
use bywash_core::memory::Area;
use bywash_tests::case::admit;
use bywash_tests::dirs::Dirs;

const MIB: u64 = 1 << 20;

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

/// Writes a batch's rows to alternating partitions of two, and reads both back.
fn round_trip(spec: &ShuffleSpec, task: &TaskMemory, batch: &RecordBatch) -> Vec<RecordBatch> {
    let dirs = Dirs::new();
    let mut writer =
        ShuffleWriter::new(spec, task, &dirs.spill, &dirs.out, MapId(0), AttemptId(0)).unwrap();
    let ids: Vec<u32> = (0..batch.num_rows()).map(|row| u32::from(row % 2 == 1)).collect();
    writer.write_with_ids(batch, &ids).unwrap();
    drop(writer.finish().unwrap());
    let output = MapOutput::open(&dirs.out, MapId(0), task).unwrap();
    let read = |partition| {
        output
            .read(partition, task, ChargeMode::Detached)
            .unwrap()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
    };
    [read(0), read(1)].concat()
}

fn ids(schema: SchemaRef) -> ShuffleSpec {
    ShuffleSpec::new(schema, 2, Partitioning::Ids).unwrap()
}

/// A frame counts its buffers in 16 bits.
#[test]
fn very_many_columns_are_read_back_or_refused() {
    for columns in [32_767_usize, 32_768, 40_000] {
        for codec in [Codec::None, Codec::Lz4] {
            let fields =
                (0..columns).map(|i| Field::new(format!("c{i}"), DataType::Int8, true)).collect();
            let schema = schema(fields);
            let Ok(spec) = ShuffleSpec::new(Arc::clone(&schema), 2, Partitioning::Ids) else {
                assert!(columns > 32_767, "refused without need");
                continue;
            };
            let spec = spec.with_codec(codec);
            let column: ArrayRef = Arc::new(Int8Array::from(vec![Some(1), None, None]));
            let batch = RecordBatch::try_new(schema, vec![column; columns]).unwrap();
            let ledger = MemoryLedger::unlimited();
            let task = admit(&ledger, 0).unwrap();
            let read = round_trip(&spec, &task, &batch);
            let rows: usize = read.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(rows, 3, "{columns} columns, {codec}");
            assert!(read[0].column(columns - 1).is_valid(0));
            assert!(read[0].column(columns - 1).is_null(1));
        }
    }
}

/// Staging is bounded in bytes whatever the budget.
#[test]
fn wide_rows_need_little_where_memory_is_unlimited() {
    for width in [1 << 20, i32::MAX] {
        let schema = schema(vec![Field::new("f", DataType::FixedSizeBinary(width), true)]);
        let spec = ids(Arc::clone(&schema));
        let ledger = MemoryLedger::unlimited();
        let task = admit(&ledger, 0).unwrap();
        let dirs = Dirs::new();
        let writer =
            ShuffleWriter::new(&spec, &task, &dirs.spill, &dirs.out, MapId(0), AttemptId(0));
        writer.unwrap();
        let rows = 4 * u64::try_from(width).unwrap();
        assert!(ledger.peak_granted() < rows + 300 * MIB, "{}", ledger.peak_granted());
    }
}

/// What was promised when a task was admitted is enough for its writer, whatever others hold.
#[test]
fn a_promise_is_enough_beside_a_task_that_holds_the_rest() {
    let schema = schema(vec![Field::new("n", DataType::Int8, true)]);
    let spec = ids(Arc::clone(&schema));
    let minimum = minimum_budget(&spec, 1).unwrap();
    let ledger = MemoryLedger::new(64 * MIB);
    let greedy = admit(&ledger, 0).unwrap();
    let consumer = greedy.consumer("greedy");
    let areas: Vec<Area> = (0..(64 * MIB - minimum) / MIB)
        .map(|_| Area::try_new_if_free(&consumer, 1 << 20).unwrap())
        .collect();
    let task = admit(&ledger, minimum).unwrap();
    let column: ArrayRef = Arc::new(Int8Array::from(vec![1, 2, 3]));
    let batch = RecordBatch::try_new(schema, vec![column]).unwrap();
    let read = round_trip(&spec, &task, &batch);
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    drop(areas);
}

#[test]
fn columns_without_bytes_keep_their_rows() {
    let rows = 70_000;
    let none = RecordBatch::try_new_with_options(
        schema(vec![]),
        vec![],
        &RecordBatchOptions::new().with_row_count(Some(rows)),
    )
    .unwrap();
    let null: ArrayRef = Arc::new(NullArray::new(rows));
    let empty: ArrayRef = Arc::new(
        FixedSizeBinaryArray::try_new_with_len(0, Vec::<u8>::new().into(), None, rows).unwrap(),
    );
    let batches = [
        none,
        RecordBatch::try_new(
            schema(vec![Field::new("n", DataType::Null, true)]),
            vec![Arc::clone(&null)],
        )
        .unwrap(),
        RecordBatch::try_new(
            schema(vec![Field::new("f", DataType::FixedSizeBinary(0), false)]),
            vec![empty],
        )
        .unwrap(),
    ];
    for batch in batches {
        for partitions in [1, 2] {
            let spec = ids(batch.schema());
            let minimum = minimum_budget(&spec, 1).unwrap();
            let ledger = MemoryLedger::new(minimum.max(partitions));
            let task = admit(&ledger, minimum).unwrap();
            let read = round_trip(&spec, &task, &batch);
            assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), rows);
        }
    }
}

/// A schema that a writer takes is one that a reader takes.
#[test]
fn odd_types_are_read_back_or_refused() {
    let types = [
        DataType::Null,
        DataType::Decimal32(0, 0),
        DataType::Decimal64(19, 2),
        DataType::Decimal128(39, 2),
        DataType::Decimal128(5, 100),
        DataType::Decimal256(77, -128),
        DataType::Time32(TimeUnit::Nanosecond),
        DataType::Time64(TimeUnit::Second),
        DataType::Timestamp(TimeUnit::Second, Some("Wild/Zone".into())),
        DataType::FixedSizeBinary(-1),
    ];
    for data_type in types {
        for nullable in [true, false] {
            let schema = schema(vec![Field::new("c", data_type.clone(), nullable)]);
            let Ok(spec) = ShuffleSpec::new(Arc::clone(&schema), 2, Partitioning::Ids) else {
                continue;
            };
            let width = data_type.primitive_width();
            let mut data = ArrayData::builder(data_type.clone()).len(3);
            if let Some(width) = width {
                data = data.add_buffer(vec![0_u8; width * 3].into());
            }
            let column = make_array(data.align_buffers(true).build().unwrap());
            let options = RecordBatchOptions::new().with_row_count(Some(3));
            let Ok(batch) = RecordBatch::try_new_with_options(schema, vec![column], &options)
            else {
                continue;
            };
            let ledger = MemoryLedger::new(64 * MIB);
            let task = admit(&ledger, 0).unwrap();
            let read = round_trip(&spec, &task, &batch);
            let rows = read.iter().map(RecordBatch::num_rows).sum::<usize>();
            assert_eq!(rows, 3, "{data_type}");
        }
    }
}

/// A schema file has at most 16 MiB and a million entries.
#[test]
fn a_schema_too_large_for_its_file_is_refused_at_once() {
    let field = Field::new("n", DataType::Int8, true);
    let large = HashMap::from([("k".to_owned(), "v".repeat(17 << 20))]);
    let many = (0..=1 << 20).map(|i| (format!("{i:x}"), String::new())).collect();
    for metadata in [large, many] {
        let schema = Arc::new(Schema::new_with_metadata(vec![field.clone()], metadata));
        assert!(ShuffleSpec::new(schema, 2, Partitioning::Ids).is_err());
    }
}

#[test]
fn a_directory_opened_for_reading_takes_no_writer() {
    let dirs = Dirs::new();
    let out = OutputDir::open_existing(Arc::new(FsStore::new()), &dirs.out_path()).unwrap();
    let ledger = MemoryLedger::unlimited();
    let task = admit(&ledger, 0).unwrap();
    let spec = ids(schema(vec![Field::new("n", DataType::Int8, true)]));
    let refused = ShuffleWriter::new(&spec, &task, &dirs.spill, &out, MapId(0), AttemptId(0));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidState);
}

/// `NotFound` means that the task has not committed; an index without its files is damage.
#[test]
fn an_output_without_one_of_its_files_is_damaged_not_absent() {
    for part in ["data", "schema"] {
        let dirs = Dirs::new();
        let ledger = MemoryLedger::unlimited();
        let task = admit(&ledger, 0).unwrap();
        let spec = ids(schema(vec![Field::new("n", DataType::Int8, true)]));
        let writer =
            ShuffleWriter::new(&spec, &task, &dirs.spill, &dirs.out, MapId(0), AttemptId(0));
        drop(writer.unwrap().finish().unwrap());
        let kind = || MapOutput::open(&dirs.out, MapId(0), &task).err().map(|error| error.kind());
        assert_eq!(kind(), None);
        let absent = MapOutput::open(&dirs.out, MapId(7), &task).err().unwrap();
        assert_eq!((absent.kind(), absent.figure(Figure::Map)), (ErrorKind::NotFound, Some(7)));
        let files = dirs.out_files();
        let file = files.iter().find(|file| file.to_string_lossy().contains(part)).unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(kind(), Some(ErrorKind::Corrupt), "{part}");
    }
}

/// The minimum is enough for every writer at once and not a byte too much, whatever the shape.
#[test]
fn the_minimum_is_exact_for_any_shape_and_number_of_tasks() {
    let fields = |count: usize, data_type: DataType| -> Vec<Field> {
        (0..count).map(|i| Field::new(format!("c{i}"), data_type.clone(), i % 2 == 0)).collect()
    };
    let shapes = [
        fields(0, DataType::Null),
        fields(1, DataType::Boolean),
        fields(1, DataType::FixedSizeBinary(1 << 20)),
        fields(3, DataType::FixedSizeBinary(100 << 20)),
        fields(3000, DataType::Utf8),
        fields(3, DataType::LargeBinary),
    ];
    for shape in shapes {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd { level: 1 }, Codec::Zstd { level: 22 }]
        {
            for partitions in [1, 200, 1 << 24] {
                let spec = ShuffleSpec::new(schema(shape.clone()), partitions, Partitioning::Ids);
                let spec = spec.unwrap().with_codec(codec);
                let each = minimum_budget(&spec, 1).unwrap();
                let all = minimum_budget(&spec, 3).unwrap();
                let dirs = Dirs::new();
                let make = |task: &TaskMemory| {
                    ShuffleWriter::new(&spec, task, &dirs.spill, &dirs.out, MapId(0), AttemptId(0))
                };
                let ledger = MemoryLedger::new(all);
                let tasks = ledger.admit(3, each).unwrap();
                let writers: Vec<_> = tasks.iter().map(|task| make(task).unwrap()).collect();
                assert_eq!(ledger.granted(), all, "{codec}, {partitions} partitions");
                drop((writers, tasks));
                let ledger = MemoryLedger::new(all - 1);
                assert!(ledger.admit(3, each).is_err());
                let tasks = ledger.admit(3, 0).unwrap();
                let writers: Result<Vec<_>, _> = tasks.iter().map(make).collect();
                assert!(writers.is_err(), "{codec}, {partitions} partitions");
                for more in [1, 4096, each / 7, each, 9 * each] {
                    let ledger = MemoryLedger::new(each + more);
                    make(&admit(&ledger, each).unwrap()).unwrap();
                }
            }
        }
    }
}

/// Rows far wider than a block, at the minimum budget.
#[test]
fn wide_rows_at_the_minimum() {
    let width = 300_000;
    let values: Vec<Vec<u8>> = (0..20u8).map(|row| vec![row; width]).collect();
    let column = FixedSizeBinaryArray::try_from_iter(values.into_iter()).unwrap();
    let batch = RecordBatch::try_from_iter([("f", Arc::new(column) as ArrayRef)]).unwrap();
    for codec in [Codec::None, Codec::Lz4, Codec::Zstd { level: 1 }] {
        let spec = ids(batch.schema()).with_codec(codec);
        let minimum = minimum_budget(&spec, 1).unwrap();
        let ledger = MemoryLedger::new(minimum);
        let task = admit(&ledger, minimum).unwrap();
        // Sliced, so that offsets matter.
        let read = round_trip(&spec, &task, &batch.slice(3, 15));
        let first: Vec<u8> = read
            .iter()
            .flat_map(|batch| {
                let column = batch.column(0).as_fixed_size_binary().clone();
                (0..column.len()).map(|row| column.value(row)[width - 1]).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(first, [3, 5, 7, 9, 11, 13, 15, 17, 4, 6, 8, 10, 12, 14, 16]);
    }
}
