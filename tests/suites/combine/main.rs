//! The combiner: groups are those of a map at every budget from the minimum, whatever happens
//! meanwhile.
#![expect(clippy::unwrap_used, clippy::print_stdout, clippy::panic, reason = "a test suite")]

mod column_memory;
mod columns;
mod faults;
mod held_room;
mod large;
mod levels;
mod merges;
mod minimum;
mod offers;
mod reclaim;
mod shuffle;

use std::sync::atomic::Ordering;

use bywash::{CombineSpec, Count, CountingSum, ErrorKind, Figure, MemoryLedger, Merge};
use bywash_tests::case::admit;
use bywash_tests::combine::{
    Collect, CombineCase, Keys, REACHED, Records, combiner, key, oracle, read_all, records,
    write_all,
};
use bywash_tests::dirs::Dirs;
use bywash_tests::search::run_cases;
use bywash_tests::seed::{Rng, run_seed};

#[test]
fn groups_are_those_of_a_map() {
    let cases = std::env::var("BYWASH_CASES").map_or(200, |text| text.parse().unwrap());
    run_cases::<CombineCase>("combine", run_seed(), 0..cases, 2);
    println!("{REACHED:?}");
    if cases >= 200 {
        for (what, count) in [
            ("a group", &REACHED.groups),
            ("a spill", &REACHED.spills),
            ("a second level", &REACHED.second_level),
            ("a third level", &REACHED.third_level),
            ("a part sorted by key", &REACHED.sorted_parts),
            ("a merge of runs", &REACHED.run_merges),
            ("memory that came and went", &REACHED.strained),
            ("a group larger than a batch", &REACHED.large_groups),
        ] {
            assert!(count.load(Ordering::Relaxed) > 0, "no case had {what}");
        }
    }
}

#[test]
fn every_budget_from_the_minimum_works_and_none_below() {
    let mut rng = Rng::new(run_seed());
    let (dirs, spec) = (Dirs::new(), CombineSpec::new());
    for keys in [Keys::Uniform(1), Keys::Uniform(30_000), Keys::Hot(30_000), Keys::Zipf(30_000)] {
        let records = records(&mut rng, 40_000, keys, 0);
        let minimum = spec.minimum_budget(&Count).unwrap();
        for above in [0, 1, 4095, 4096, 65_536, 300_000, 1 << 20, 16 << 20] {
            assert_eq!(counts(&records, &spec, &dirs, minimum + above), 40_000, "{keys:?} {above}");
        }
    }
    for below in [1, 4096, 100_000] {
        let minimum = spec.minimum_budget(&Count).unwrap();
        let ledger = MemoryLedger::new(minimum - below);
        let task = admit(&ledger, 0).unwrap();
        let error = combiner(&spec, Count, &task, &dirs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MemoryLimit);
        assert_eq!(error.figure(Figure::Requested), Some(minimum));
        assert_eq!(ledger.granted(), 0);
    }
}

/// Compares with a map; returns the sum of counts.
fn counts(records: &Records, spec: &CombineSpec, dirs: &Dirs, budget: u64) -> u64 {
    let ledger = MemoryLedger::new(budget);
    let task = admit(&ledger, budget.min(spec.minimum_budget(&Count).unwrap())).unwrap();
    let mut combiner = combiner(spec, Count, &task, dirs).unwrap();
    write_all(&mut combiner, records, 1000).unwrap();
    let groups = read_all(combiner.finish().unwrap()).unwrap();
    assert!(ledger.peak_granted() <= budget && ledger.peak_live() <= budget);
    let expected = oracle(records);
    assert_eq!(groups.len(), expected.len());
    let mut sum = 0;
    for (key, count) in groups {
        let count = u64::from_le_bytes(count.try_into().unwrap());
        assert_eq!(count, expected[&key].len() as u64);
        sum += count;
    }
    sum
}

#[test]
fn nothing_in_is_nothing_out() {
    let dirs = Dirs::new();
    let ledger = MemoryLedger::new(8 << 20);
    let task = admit(&ledger, 0).unwrap();
    for spills in [false, true] {
        let mut combiner = combiner(&CombineSpec::new(), Collect, &task, &dirs).unwrap();
        write_all(&mut combiner, &Vec::new(), 1).unwrap();
        if spills {
            assert_eq!(combiner.spill().unwrap(), 0);
        }
        assert!(read_all(combiner.finish().unwrap()).unwrap().is_empty());
    }
    assert_eq!(ledger.granted(), 0);
}

#[test]
fn empty_keys_and_values_are_records() {
    let dirs = Dirs::new();
    let ledger = MemoryLedger::new(8 << 20);
    let task = admit(&ledger, 0).unwrap();
    let records: Records = [("", ""), ("", "a"), ("k", ""), ("k", ""), ("", "")]
        .map(|(key, value)| (key.into(), value.into()))
        .into();
    for spills in [false, true] {
        let mut combiner = combiner(&CombineSpec::new(), Collect, &task, &dirs).unwrap();
        for record in &records {
            write_all(&mut combiner, &vec![record.clone()], 1).unwrap();
            if spills {
                combiner.spill().unwrap();
            }
        }
        let groups = read_all(combiner.finish().unwrap()).unwrap();
        assert_eq!(Collect::values(&groups[&b""[..]]), [&b""[..], b"", b"a"]);
        assert_eq!(Collect::values(&groups[&b"k"[..]]), [&b""[..], b""]);
        assert_eq!(groups.len(), 2);
    }
}

#[test]
fn one_hot_key_never_spills() {
    let dirs = Dirs::new();
    let spec = CombineSpec::new();
    let ledger = MemoryLedger::new(spec.minimum_budget(&CountingSum).unwrap());
    let task = admit(&ledger, ledger.capacity()).unwrap();
    let mut combiner = combiner(&spec, CountingSum, &task, &dirs).unwrap();
    let records: Records = (0..200_000i64).map(|v| (key(7), v.to_le_bytes().to_vec())).collect();
    write_all(&mut combiner, &records, 5000).unwrap();
    assert_eq!(combiner.progress().spills(), 0);
    let groups = read_all(combiner.finish().unwrap()).unwrap();
    let mut expected = (199_999i64 * 100_000).to_le_bytes().to_vec();
    expected.extend_from_slice(&200_000u64.to_le_bytes());
    assert_eq!(groups[&key(7)], expected);
}

#[test]
fn a_group_that_is_larger_than_the_budget_is_named() {
    let dirs = Dirs::new();
    let spec = CombineSpec::new();
    let ledger = MemoryLedger::new(spec.minimum_budget(&Collect).unwrap() + (1 << 20));
    let task = admit(&ledger, ledger.capacity()).unwrap();
    let mut combiner = combiner(&spec, Collect, &task, &dirs).unwrap();
    let small = (key(1), vec![1]);
    let large = vec![small.clone(), small, (key(1), vec![1; 4 << 20])];
    let error = write_all(&mut combiner, &large, 3).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemoryLimit);
    assert_eq!(error.figure(Figure::RowBytes), Some((4 << 20) + 1));
    assert_eq!(error.figure(Figure::Row), Some(2));
    let again = write_all(&mut combiner, &vec![(key(1), vec![1])], 1).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Poisoned);
    assert_eq!(combiner.finish().unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!((ledger.granted(), dirs.spill.used_bytes()), (0, 0));

    // Parts of it fit, the whole does not: known when it is put together.
    let mut combiner = Collect::combiner(&spec, &task, &dirs);
    let parts: Records = (0..40).map(|part| (key(1), vec![part; 100_000])).collect();
    let failed = write_all(&mut combiner, &parts, 1).and_then(|()| read_all(combiner.finish()?));
    let error = failed.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{error}");
    assert!(error.figure(Figure::RowBytes).unwrap() > 100_000, "{error}");
    assert_eq!((ledger.granted(), dirs.spill.used_bytes()), (0, 0));
}

trait Make: Merge + Copy + Default + Send + Sized + 'static {
    fn combiner(
        spec: &CombineSpec,
        task: &bywash::TaskMemory,
        dirs: &Dirs,
    ) -> bywash::Combiner<Self> {
        combiner(spec, Self::default(), task, dirs).unwrap()
    }
}

impl<M: Merge + Copy + Default + Send + 'static> Make for M {}

#[test]
fn a_cancelled_combiner_says_so_and_a_dropped_one_leaves_nothing() {
    let mut rng = Rng::new(run_seed());
    let records = records(&mut rng, 20_000, Keys::Uniform(20_000), 20);
    let dirs = Dirs::new();
    let spec = CombineSpec::new().with_tiny_parts();
    let ledger = MemoryLedger::new(spec.minimum_budget(&Collect).unwrap());
    for reads in [0, 1, 5] {
        let task = admit(&ledger, ledger.capacity()).unwrap();
        let mut combiner = Collect::combiner(&spec, &task, &dirs);
        write_all(&mut combiner, &records, 500).unwrap();
        assert!(combiner.progress().spills() > 0 && dirs.spill.used_bytes() > 0);
        let canceller = combiner.canceller();
        if reads == 0 {
            canceller.cancel();
            let error = write_all(&mut combiner, &records, 500).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            assert_eq!(combiner.finish().unwrap_err().kind(), ErrorKind::Cancelled);
        } else {
            let mut combined = combiner.finish().unwrap();
            for _ in 0..reads {
                assert!(combined.next_batch().unwrap().is_some());
            }
            if reads == 1 {
                canceller.cancel();
                assert_eq!(combined.next_batch().unwrap_err().kind(), ErrorKind::Cancelled);
            }
        }
        assert_eq!((ledger.granted(), ledger.live(), dirs.spill.used_bytes()), (0, 0, 0));
    }
    assert!(dirs.close().is_empty());
}
