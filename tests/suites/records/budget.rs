//! Any budget from the minimum up gives the same records in the same order, also with memory taken back
//! at random moments; and memory grows by whole arenas.

use bywash::{AttemptId, MapId};
use bywash::{ChargeMode, Codec, ErrorKind, MemoryLedger, RecordSpec, RecordWriter};
use bywash_tests::case::{IdShape, admit};
use bywash_tests::reclaiming::{ABOVE_MINIMUM, reclaiming};
use bywash_tests::records::{Lengths, Lie, RecordCase, RecordOracle};
use bywash_tests::search::Case;
use bywash_tests::seed::run_seed;

use crate::{ledger_of, writer};

fn case() -> RecordCase {
    RecordCase {
        seed: run_seed(),
        shape: IdShape::Skewed,
        partitions: 300,
        ..RecordCase::plain(Lengths::OneIn(700, 400_000), &[20_000, 1, 0, 9000, 12_000])
    }
}

#[test]
fn the_same_records_in_the_same_order_at_every_budget() {
    for (codec, lie) in [(Codec::Lz4, Lie::Adjoining), (Codec::None, Lie::Overlapping)] {
        for budget_above_minimum in ABOVE_MINIMUM {
            let case = RecordCase { codec, lie, budget_above_minimum, ..case() };
            case.run().unwrap_or_else(|error| panic!("{budget_above_minimum}: {error}"));
        }
    }
}

#[test]
fn the_same_records_with_memory_taken_back_at_random_moments() {
    let mut spills = 0;
    for (run, above) in (0..).zip(ABOVE_MINIMUM) {
        let case = RecordCase { budget_above_minimum: above, ..case() };
        let (calls, dirs) = (case.input(), case.dirs());
        let minimum = case.spec().minimum_budget(1).unwrap();
        let ledger = MemoryLedger::new(minimum + above);
        let task = admit(&ledger, minimum).unwrap();
        let mut writer = writer(&case.spec(), &task, &dirs);
        let progress = writer.canceller();
        let output = reclaiming(&ledger, run, |between| {
            for call in &calls {
                call.write(&mut writer).unwrap();
                between();
            }
            writer.finish().unwrap()
        });
        spills += progress.progress().spills_reclaim;
        let (_reading, reader) = ledger_of(512 << 20);
        RecordOracle::new(&calls).check(&output, &reader, ChargeMode::Ledger).unwrap();
        drop((output, task));
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    }
    println!("{spills} spills for another thread");
    assert!(spills > 0);
}

#[test]
fn one_byte_less_than_the_minimum_fails_when_made() {
    for partitions in [1, 200, 20_000, 1 << 24] {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd { level: 3 }] {
            let spec = RecordSpec::new(partitions).unwrap().with_codec(codec);
            let minimum = spec.minimum_budget(1).unwrap();
            let case = RecordCase::plain(Lengths::Fixed(10), &[]);
            let dirs = case.dirs();
            let (ledger, task) = ledger_of(minimum - 1);
            let error =
                RecordWriter::new(&spec, &task, &dirs.spill, &dirs.out, MapId(0), AttemptId(0))
                    .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{error}");
            assert_eq!((ledger.granted(), ledger.live()), (0, 0));
            let (ledger, task) = ledger_of(minimum);
            let made = writer(&spec, &task, &dirs);
            assert_eq!((ledger.granted(), ledger.live()), (minimum, minimum), "{partitions}");
            drop(made);
            for tasks in [1, 3, 64] {
                let budget = spec.minimum_budget(tasks).unwrap();
                assert_eq!(spec.max_tasks(budget).unwrap(), tasks);
                assert_eq!(spec.max_tasks(budget - 1).unwrap(), tasks - 1);
            }
        }
    }
    let spec = RecordSpec::new(1).unwrap();
    assert!(spec.minimum_budget(0).is_err());
}

/// testPeakMemoryUsed: what a writer holds grows by one arena at a time, when the one before is full.
#[test]
fn memory_grows_by_whole_arenas_as_foretold() {
    let (ledger, task) = ledger_of(256 << 20);
    let case = RecordCase::plain(Lengths::Fixed(104), &[1]);
    let (call, dirs) = (case.input().remove(0), case.dirs());
    let mut writer = writer(&case.spec(), &task, &dirs);
    let (made, arena) = (ledger.granted(), 8u64 << 20);
    // A pointer is 8 bytes, and the length is in it.
    let records_of_an_arena = arena / (104 + 8);
    for written in 1..=3 * records_of_an_arena + 5 {
        call.write(&mut writer).unwrap();
        let arenas = (written - 1) / records_of_an_arena;
        assert_eq!(ledger.granted(), made + arenas * arena, "{written}");
        assert_eq!(ledger.live(), ledger.granted());
    }
    assert_eq!(writer.spill().unwrap(), 3 * arena);
    assert_eq!(ledger.granted(), made);
}
