//! Whatever goes in comes back: the same rows in the same partition in the same order, for random
//! schemas, inputs, partition counts, codecs, budgets and spills, against the naive oracle.
#![expect(clippy::print_stdout, reason = "a test prints its figures")]

use std::sync::atomic::Ordering;

use arrow_schema::DataType;
use bywash::minimum_budget;
use bywash::{AttemptId, ChargeMode, Codec, ErrorKind, MapId, MemoryLedger, ShuffleWriter};
use bywash_tests::case::{Charge, IdShape, Placement, REACHED, Reached, ShuffleCase, admit};
use bywash_tests::generate::{ColumnPlan, Plan, all_types};
use bywash_tests::search::{Case, run_cases};
use bywash_tests::seed::run_seed;

#[test]
fn random_shuffles_equal_the_oracle() {
    let cases = std::env::var("BYWASH_CASES").map_or(200, |text| text.parse().unwrap());
    run_cases::<ShuffleCase>("shuffle_oracle", run_seed(), 0..cases, 2);
    println!("{REACHED:?}");
    if cases >= 200 {
        let Reached { pressure, request, oversized_row, run_merges, .. } = &REACHED;
        for (what, count) in [
            ("spills for want of memory", pressure),
            ("forced spills", request),
            ("rows larger than a chunk", oversized_row),
            ("merges of runs before the end", run_merges),
        ] {
            assert!(count.load(Ordering::Relaxed) > 0, "no case had {what}");
        }
    }
}

/// Every type alone and all together, several spills, at the minimum.
#[test]
fn every_type_comes_back() {
    let types = all_types();
    let alone = types.iter().map(|data_type| vec![data_type.clone()]);
    for types in alone.chain([types.clone()]) {
        let case = ShuffleCase { spill_percent: 50, ..plain(&types, &[700, 1, 900]) };
        case.run().unwrap_or_else(|error| panic!("{types:?}: {error}"));
    }
}

#[test]
fn nothing_at_all_comes_back_as_nothing() {
    for partitions in [1, 7, 100_000] {
        for batch_rows in [&[][..], &[0], &[0, 0, 0]] {
            for types in [&[][..], &[DataType::Utf8, DataType::Null]] {
                let case =
                    ShuffleCase { partitions, spill_percent: 100, ..plain(types, batch_rows) };
                case.run().unwrap_or_else(|error| panic!("{case:?}: {error}"));
            }
        }
    }
}

#[test]
fn rows_without_columns_are_counted() {
    for codec in CODECS {
        let case = ShuffleCase { codec, spill_percent: 50, ..plain(&[], &[1000, 0, 3]) };
        case.run().unwrap_or_else(|error| panic!("{case:?}: {error}"));
    }
}

#[test]
fn one_partition_takes_all_the_rows() {
    for partitions in [1, 1000, 100_000] {
        for budget_above_minimum in [0, 64 << 20] {
            let case = ShuffleCase {
                partitions,
                budget_above_minimum,
                placement: Placement::Ids(IdShape::Last),
                ..plain(&[DataType::Utf8, DataType::Int64], &[30_000; 10])
            };
            case.run().unwrap_or_else(|error| panic!("{case:?}: {error}"));
        }
    }
}

/// Strings of 40 KiB among short ones: rows that do not fit a chunk, at the minimum.
#[test]
fn rows_larger_than_a_chunk_keep_their_place() {
    for codec in CODECS {
        for value_bytes_max in [40_000, 3 << 20] {
            let mut case = plain(&[DataType::Utf8, DataType::Int32, DataType::Binary], &[300; 3]);
            case.codec = codec;
            case.partitions = 3;
            for column in &mut case.plan.columns {
                column.value_bytes_max = value_bytes_max;
            }
            case.run().unwrap_or_else(|error| panic!("{case:?}: {error}"));
        }
    }
}

#[test]
fn the_minimum_works_and_one_byte_less_fails_before_the_first_row() {
    for codec in CODECS {
        for partitions in [1, 200, 100_000] {
            let types = [DataType::Int64, DataType::Utf8, DataType::Decimal128(20, 2)];
            let case = ShuffleCase { codec, partitions, ..plain(&types, &[5000; 3]) };
            case.run().unwrap_or_else(|error| panic!("{case:?}: {error}"));

            let (input, dirs) = (case.input(), case.dirs());
            let minimum = minimum_budget(&input.spec, 1).unwrap();
            let ledger = MemoryLedger::new(minimum - 1);
            let refused = ledger.admit(1, minimum).map(drop).or_else(|_| {
                // Nor does a caller who promises less get further than making the writer.
                let task = ledger.admit(1, 0)?.remove(0);
                let (map, attempt) = (MapId(0), AttemptId(0));
                ShuffleWriter::new(&input.spec, &task, &dirs.spill, &dirs.out, map, attempt)
                    .map(drop)
            });
            let error = refused.expect_err("one byte below the minimum is refused");
            assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{error}");
            assert_eq!((ledger.granted(), ledger.live()), (0, 0));
        }
    }
}

#[test]
fn the_minimum_holds_for_tasks_together() {
    let case = plain(&[DataType::Int64, DataType::Utf8], &[20_000; 4]);
    let (input, dirs) = (case.input(), case.dirs());
    for tasks in [2, 5] {
        let minimum = minimum_budget(&input.spec, tasks).unwrap();
        assert!(MemoryLedger::new(minimum - 1).admit(tasks, minimum / tasks as u64).is_err());
        let ledger = MemoryLedger::new(minimum);
        let admitted = ledger.admit(tasks, minimum / tasks as u64).unwrap();
        std::thread::scope(|scope| {
            for (map, task) in admitted.iter().enumerate() {
                let (input, dirs) = (&input, &dirs);
                scope.spawn(move || {
                    let map = MapId((100 * tasks + map) as u64);
                    let (spill, out) = (&dirs.spill, &dirs.out);
                    let mut writer =
                        ShuffleWriter::new(&input.spec, task, spill, out, map, AttemptId(0))
                            .unwrap();
                    for (batch, ids) in input.batches.iter().zip(&input.ids) {
                        writer.write_with_ids(batch, ids).unwrap();
                    }
                    assert_eq!(writer.finish().unwrap().total_rows(), input.rows());
                });
            }
        });
        assert!(ledger.peak_granted() <= minimum);
    }
}

/// Batches that are kept stay whole when everything they came from is gone.
#[test]
fn batches_outlive_their_reader_task_and_ledger() {
    for charge in [ChargeMode::Ledger, ChargeMode::Detached] {
        let case = plain(&[DataType::Utf8, DataType::Boolean, DataType::Float64], &[2000; 2]);
        let (input, dirs) = (case.input(), case.dirs());
        let ledger = MemoryLedger::new(256 << 20);
        let task = admit(&ledger, 0).unwrap();
        let output = case.write(&input, &dirs, &task).unwrap();
        let kept: Vec<Vec<_>> = (0..case.partitions)
            .map(|partition| {
                output.read(partition, &task, charge).unwrap().map(Result::unwrap).collect()
            })
            .collect();
        drop((output, task));
        if charge == ChargeMode::Detached {
            assert_eq!((ledger.granted(), ledger.live()), (0, 0));
        } else {
            assert!(ledger.live() > 0 && ledger.live() <= ledger.granted());
        }
        for (partition, batches) in (0..).zip(&kept) {
            input.oracle.check(partition, batches).unwrap();
        }
        drop(kept);
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    }
}

/// Columns of `types` with labels from 0, ids at random, at the minimum budget.
fn plain(types: &[DataType], batch_rows: &[usize]) -> ShuffleCase {
    let columns = (0..).zip(types).map(|(label, t)| ColumnPlan::plain(t.clone(), label));
    ShuffleCase {
        plan: Plan {
            seed: run_seed(),
            columns: columns.collect(),
            batch_rows: batch_rows.to_vec(),
            metadata: true,
        },
        partitions: 13,
        placement: Placement::Ids(IdShape::Uniform),
        codec: Codec::Lz4,
        budget_above_minimum: 0,
        spill_percent: 0,
        named: false,
        charge: Charge::Ledger,
    }
}

const CODECS: [Codec; 4] =
    [Codec::None, Codec::Lz4, Codec::Zstd { level: 1 }, Codec::Zstd { level: 3 }];
