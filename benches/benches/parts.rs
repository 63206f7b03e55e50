//! The parts of the write path, each alone: placement, counting sort, radix sort, compression of a column.
//!
//! `cargo bench -p bywash-benches --bench parts`; `-- --quick` for a look.

use std::hint::black_box;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use bywash_cli::failure::{Failure, Result};
use bywash_cli::lineitem;
use bywash_core::chunk::CountingSort;
use bywash_core::codec::{Codec, Compressor};
use bywash_core::memory::{Consumer, MemoryLedger};
use bywash_core::partition::SparkHash;
use bywash_core::radix::{Pair, RadixItem, RadixKey, RadixSort};
use bywash_tests::seed::Rng;
use criterion::{BatchSize, Criterion, Throughput};

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let tasks = MemoryLedger::unlimited().admit(1, 0)?;
    let task = tasks.first().ok_or_else(|| Failure::new("no task was admitted"))?;
    let consumer = task.consumer("bench");
    let batch = lineitem::batches(0.02, 1, 1, ROWS)
        .next()
        .ok_or_else(|| Failure::new("lineitem is empty"))??;
    placement(&mut criterion, &batch)?;
    counting_sort(&mut criterion, &consumer, &batch)?;
    radix_sort(&mut criterion, &consumer)?;
    compression(&mut criterion, &consumer, &batch)?;
    criterion.final_summary();
    Ok(())
}

/// Partition ids of rows by Spark's hash.
fn placement(criterion: &mut Criterion, batch: &RecordBatch) -> Result<()> {
    let mut group = criterion.benchmark_group("placement");
    group.throughput(Throughput::Elements(ROWS as u64));
    for (name, columns) in
        [("int64", &[0][..]), ("utf8", &[15]), ("six_columns", &[0, 1, 3, 5, 10, 14])]
    {
        let hash = SparkHash::try_new(batch.schema_ref(), columns)?;
        let mut ids = vec![0u32; batch.num_rows()];
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                hash.partition_ids(batch.columns(), 0, 200, black_box(&mut ids));
            });
        });
    }
    group.finish();
    Ok(())
}

fn counting_sort(
    criterion: &mut Criterion,
    consumer: &Consumer,
    batch: &RecordBatch,
) -> Result<()> {
    let mut group = criterion.benchmark_group("counting_sort");
    group.throughput(Throughput::Elements(ROWS as u64));
    let hash = SparkHash::try_new(batch.schema_ref(), &[15])?;
    for partitions in [200, 2_000, 100_000] {
        let mut ids = vec![0u32; batch.num_rows()];
        hash.partition_ids(batch.columns(), 0, partitions, &mut ids);
        let mut sort = CountingSort::try_new(consumer, ids.len(), partitions)?;
        group.bench_function(partitions.to_string(), |bencher| {
            bencher.iter(|| black_box(sort.sort(black_box(&ids))));
        });
    }
    group.finish();
    Ok(())
}

/// A chunk of record pointers by partition, and of pairs by their whole prefix.
fn radix_sort(criterion: &mut Criterion, consumer: &Consumer) -> Result<()> {
    let mut rng = Rng::new(7);
    for partitions in [200, 2_000, 100_000] {
        let words: Vec<_> = (0..ROWS as u64).map(|row| rng.below(partitions) << 40 | row).collect();
        let key = RadixKey::try_field(40, partitions)?;
        let name = format!("words/{partitions}");
        radix_sort_of(criterion, RadixSort::try_new(consumer, key, ROWS)?, &name, &words);
    }
    let pairs: Vec<_> = (0..ROWS as u64).map(|value| Pair { prefix: rng.bits(), value }).collect();
    let sort = RadixSort::try_new(consumer, RadixKey::WORD, ROWS)?;
    radix_sort_of(criterion, sort, "pairs", &pairs);
    Ok(())
}

fn radix_sort_of<T: RadixItem>(
    criterion: &mut Criterion,
    mut sort: RadixSort,
    name: &str,
    items: &[T],
) {
    let mut scratch = items.to_vec();
    let mut group = criterion.benchmark_group("radix_sort");
    group.throughput(Throughput::Elements(items.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter_batched_ref(
            || items.to_vec(),
            |items| black_box(sort.sort(items, &mut scratch)),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

/// One buffer of a 64 KiB and of a 256 KiB block.
fn compression(criterion: &mut Criterion, consumer: &Consumer, batch: &RecordBatch) -> Result<()> {
    let mut group = criterion.benchmark_group("compression");
    let comments = batch.column(15).as_string::<i32>().value_data();
    for codec in [Codec::Lz4, Codec::ZSTD] {
        for bytes in [64 << 10, 256 << 10] {
            let source = comments.get(..bytes).unwrap_or(comments);
            let mut compressor = Compressor::try_new(consumer, codec, source.len())?;
            let mut target = vec![0; Compressor::compressed_bytes_max(codec, source.len())];
            group.throughput(Throughput::Bytes(source.len() as u64));
            group.bench_function(format!("{codec}/{bytes}"), |bencher| {
                bencher.iter(|| black_box(compressor.compress(black_box(source), &mut target)));
            });
        }
    }
    group.finish();
    Ok(())
}

const ROWS: usize = 64 << 10;
