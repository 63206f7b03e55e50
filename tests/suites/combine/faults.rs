//! Every operation of the storage fails in turn: the groups are right, or an error says what failed
//! and nothing is left.

use std::sync::Arc;

use bywash::{CombineSpec, ErrorKind, FsStore, MemoryLedger, SpillOptions, Store};
use bywash_tests::case::admit;
use bywash_tests::combine::{Collect, Keys, combiner, oracle, read_all, records, write_all};
use bywash_tests::dirs::Dirs;
use bywash_tests::faults::{Fault, FaultStore, Repeat};
use bywash_tests::seed::{Rng, run_seed};

#[test]
fn every_operation_of_the_storage_fails_in_turn() {
    let mut rng = Rng::new(run_seed());
    let records = records(&mut rng, 3_000, Keys::Uniform(1_500), 12);
    let expected = oracle(&records);
    for spec in [
        CombineSpec::new().with_tiny_parts(),
        // Sorted by key, too.
        CombineSpec::new().with_tiny_parts().with_constant_hash(),
    ] {
        for fault in [Fault::IO, Fault::NO_SPACE, Fault::SHORT] {
            let (mut at, mut failed, mut right) = (0, 0, 0);
            loop {
                let store = Arc::new(FaultStore::new(Arc::new(FsStore::new())));
                let dyn_store = Arc::clone(&store) as Arc<dyn Store>;
                let dirs = Dirs::with_store(dyn_store, SpillOptions::default());
                let ledger = MemoryLedger::new(spec.minimum_budget(&Collect).unwrap());
                let task = admit(&ledger, ledger.capacity()).unwrap();
                let mut combiner = combiner(&spec, Collect, &task, &dirs).unwrap();
                store.arm(at, fault, Repeat::Once);
                let groups = write_all(&mut combiner, &records, 500)
                    .and_then(|()| combiner.finish())
                    .and_then(read_all);
                let fired = store.fired().is_some();
                store.disarm();
                match groups {
                    Ok(groups) => {
                        assert_eq!(groups.len(), expected.len());
                        for (key, values) in &expected {
                            let mut values = values.clone();
                            values.sort();
                            assert_eq!(Collect::values(&groups[key]), values);
                        }
                        right += 1;
                    }
                    Err(error) => {
                        assert!(fired, "{error}");
                        let kinds = [ErrorKind::Io, ErrorKind::NoSpace, ErrorKind::Corrupt];
                        assert!(kinds.contains(&error.kind()), "{error}");
                        failed += 1;
                    }
                }
                assert_eq!((ledger.granted(), ledger.live(), dirs.spill.used_bytes()), (0, 0, 0));
                assert!(dirs.spill_files().is_empty());
                if !fired {
                    break;
                }
                at += 1;
            }
            println!("{fault:?}: {failed} failed, {right} were right, of {at} operations");
            assert!(failed > 5, "{failed}");
        }
    }
}
