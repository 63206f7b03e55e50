//! Whatever goes in comes back: the same records in the same partition in the same order, for random
//! lengths, layouts, partition counts, codecs, budgets and spills, against the naive oracle.

use std::sync::atomic::Ordering;

use bywash::Codec;
use bywash_tests::case::{IdShape, REACHED, Reached};
use bywash_tests::records::{Lengths, Lie, RecordCase};
use bywash_tests::search::{Case, run_cases};
use bywash_tests::seed::run_seed;

#[test]
fn random_records_equal_the_oracle() {
    let cases = std::env::var("BYWASH_CASES").map_or(200, |text| text.parse().unwrap());
    run_cases::<RecordCase>("records", run_seed(), 0..cases, 2);
    if cases >= 200 {
        let Reached { pressure, request, oversized_row, run_merges, .. } = &REACHED;
        for (what, count) in [
            ("spills for want of memory", pressure),
            ("forced spills", request),
            ("records larger than an arena", oversized_row),
            ("merges of runs before the end", run_merges),
        ] {
            assert!(count.load(Ordering::Relaxed) > 0, "no case had {what}");
        }
    }
}

/// writeEmptyIterator, and calls without a record.
#[test]
fn nothing_at_all_comes_back_as_nothing() {
    for partitions in [1, 7, 100_000, 1 << 24] {
        for calls in [&[][..], &[0], &[0, 0, 0]] {
            let case = RecordCase {
                partitions,
                spill_percent: 100,
                ..RecordCase::plain(Lengths::Fixed(9), calls)
            };
            run(&case);
        }
    }
}

#[test]
fn records_of_every_length_about_a_limit() {
    // Of a pointer's length field, of the least block (64 KiB), of the least arena (256 KiB).
    for limit in [0usize, 0xff, 0xffff, (64 << 10) - 4, 64 << 10, 128 << 10, (256 << 10) - 12] {
        for length in limit.saturating_sub(2)..limit + 6 {
            for above in [0, 8 << 20] {
                let case = RecordCase {
                    budget_above_minimum: above,
                    lie: Lie::Scattered,
                    ..RecordCase::plain(Lengths::Fixed(length), &[1, 5])
                };
                run(&case);
            }
        }
    }
}

/// Also what the bypass writer is for: as many partitions as there may be, most of them empty.
#[test]
fn as_many_partitions_as_there_may_be() {
    for shape in [IdShape::Uniform, IdShape::Last, IdShape::Skewed] {
        for above in [0, 256 << 20] {
            let case = RecordCase {
                partitions: 1 << 24,
                shape,
                budget_above_minimum: above,
                ..RecordCase::plain(Lengths::UpTo(200), &[5000, 20_000])
            };
            run(&case);
        }
    }
}

#[test]
fn a_block_s_lengths_have_every_width() {
    for lengths in
        [Lengths::Fixed(7), Lengths::UpTo(255), Lengths::UpTo(20_000), Lengths::OneIn(90, 70_000)]
    {
        for codec in [Codec::None, Codec::Lz4, Codec::Zstd { level: 3 }] {
            let case = RecordCase {
                codec,
                spill_percent: 50,
                ..RecordCase::plain(lengths, &[3000, 1, 2, 500])
            };
            run(&case);
        }
    }
}

fn run(case: &RecordCase) {
    let outcome = case.run();
    assert!(outcome.is_ok(), "{outcome:?}: {case:?}");
}
