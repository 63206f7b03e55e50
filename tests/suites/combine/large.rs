//! Groups that are larger than a batch.

use bywash::{CombineSpec, Concat, MemoryLedger};
use bywash_tests::case::admit;
use bywash_tests::combine::{Records, combiner, key, read_all, write_all};
use bywash_tests::dirs::Dirs;

#[test]
fn groups_that_fill_the_memory_are_given_out() {
    let (dirs, spec) = (Dirs::new(), CombineSpec::new());
    for (groups, bytes) in [(5u8, 200_000), (9, 110_000), (25, 40_000), (2, 400_000)] {
        let records: Records =
            (0..groups).map(|group| (key(u64::from(group)), vec![group; bytes])).collect();
        for spills in [false, true] {
            let ledger = MemoryLedger::new(spec.minimum_budget(&Concat).unwrap() + (1 << 20));
            let task = admit(&ledger, ledger.capacity()).unwrap();
            let mut combiner = combiner(&spec, Concat, &task, &dirs).unwrap();
            write_all(&mut combiner, &records, 1).unwrap();
            assert_eq!(combiner.progress().spills(), 0, "they fit");
            if spills {
                combiner.spill().unwrap();
            }
            let found = read_all(combiner.finish().unwrap()).unwrap();
            assert_eq!(found, records.iter().cloned().collect(), "{groups} of {bytes}");
            assert_eq!((ledger.granted(), dirs.spill.used_bytes()), (0, 0));
        }
    }
}
