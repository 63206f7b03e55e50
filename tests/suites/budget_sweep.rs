//! Within one map output the rows of a partition come back in insertion order, whatever the budget,
//! the number of spills and the moments at which another thread takes memory back.
#![expect(clippy::print_stdout, reason = "a test prints its figures and fails by panicking")]

use arrow_schema::DataType;
use bywash::{AttemptId, Codec, MapId, MemoryLedger, ShuffleWriter, minimum_budget};
use bywash_tests::case::{Charge, IdShape, Placement, ShuffleCase, admit};
use bywash_tests::generate::{ColumnPlan, Plan};
use bywash_tests::reclaiming::{ABOVE_MINIMUM, reclaiming};
use bywash_tests::search::Case;
use bywash_tests::seed::run_seed;

#[test]
fn the_same_rows_in_the_same_order_at_every_budget() {
    for codec in [Codec::Lz4, Codec::None] {
        for budget_above_minimum in ABOVE_MINIMUM {
            let case = ShuffleCase { codec, budget_above_minimum, ..case() };
            case.run().unwrap_or_else(|error| panic!("{budget_above_minimum}: {error}"));
        }
    }
}

#[test]
fn the_same_rows_in_the_same_order_with_memory_taken_back_at_random_moments() {
    let mut spills = 0;
    for (run, budget_above_minimum) in (0..).zip(ABOVE_MINIMUM) {
        let case = ShuffleCase { budget_above_minimum, ..case() };
        let (input, dirs) = (case.input(), case.dirs());
        let minimum = minimum_budget(&input.spec, 1).unwrap();
        let ledger = MemoryLedger::new(minimum + budget_above_minimum);
        let task = admit(&ledger, minimum).unwrap();
        let mut writer =
            ShuffleWriter::new(&input.spec, &task, &dirs.spill, &dirs.out, MapId(1), AttemptId(1))
                .unwrap();
        let progress = writer.canceller();
        let output = reclaiming(&ledger, run, |between| {
            for (batch, ids) in input.batches.iter().zip(&input.ids) {
                writer.write_with_ids(batch, ids).unwrap();
                between();
            }
            writer.finish().unwrap()
        });
        spills += progress.progress().spills_reclaim;
        let reading = MemoryLedger::new(64 << 20);
        let reader = admit(&reading, 0).unwrap();
        for partition in 0..case.partitions {
            let mut check = input.oracle.partition(partition);
            for batch in output.read(partition, &reader, Charge::Ledger.into()).unwrap() {
                check.next(&batch.unwrap()).unwrap();
            }
            check.end().unwrap();
        }
        drop((output, reader, task));
        assert_eq!((ledger.granted(), ledger.live()), (0, 0), "{budget_above_minimum}");
        assert!(ledger.peak_granted() <= ledger.capacity());
    }
    println!("{spills} spills by another thread's wish");
    assert!(spills > 0, "nothing was ever taken back");
}

/// A reclaim of an idle writer does the spill on the thread that asks.
#[test]
fn an_idle_writer_gives_back_at_once() {
    let case = ShuffleCase { budget_above_minimum: 64 << 20, ..case() };
    let (input, dirs) = (case.input(), case.dirs());
    let ledger = MemoryLedger::new(minimum_budget(&input.spec, 1).unwrap() + (64 << 20));
    let task = admit(&ledger, minimum_budget(&input.spec, 1).unwrap()).unwrap();
    let (map, attempt) = (MapId(1), AttemptId(1));
    let mut writer =
        ShuffleWriter::new(&input.spec, &task, &dirs.spill, &dirs.out, map, attempt).unwrap();
    let (batch, ids) = (&input.batches[0], &input.ids[0]);
    // More than what is staged, which stays: a spill gives back sorted chunks.
    let writes = 20;
    for _ in 0..writes {
        writer.write_with_ids(batch, ids).unwrap();
    }
    let (granted, live) = (ledger.granted(), ledger.live());
    let back = std::thread::scope(|scope| scope.spawn(|| ledger.reclaim(u64::MAX)).join().unwrap());
    assert!(back > 0, "{granted} granted, {live} live, nothing came back");
    assert_eq!(granted - ledger.granted(), back);
    assert!(ledger.live() <= ledger.granted());
    assert_eq!(writer.finish().unwrap().total_rows(), writes * batch.num_rows() as u64);
}

fn case() -> ShuffleCase {
    let types = [DataType::Int64, DataType::Utf8, DataType::Float64, DataType::Boolean];
    let columns = (0..).zip(types).map(|(label, t)| ColumnPlan::plain(t, label));
    ShuffleCase {
        plan: Plan {
            seed: run_seed(),
            columns: columns.collect(),
            batch_rows: vec![20_000, 1, 30_000, 0, 8192, 8192, 25_000],
            metadata: false,
        },
        partitions: 37,
        placement: Placement::Ids(IdShape::Skewed),
        codec: Codec::Lz4,
        budget_above_minimum: 0,
        spill_percent: 0,
        named: false,
        charge: Charge::Ledger,
    }
}
