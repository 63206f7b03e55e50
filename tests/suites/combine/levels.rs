//! How deep a combine goes, and how it ends where no hash helps.

use bywash::{CombineSpec, Count, MemoryLedger};
use bywash_tests::case::admit;
use bywash_tests::combine::{
    Collect, Keys, Records, combiner, oracle, read_all, records, write_all,
};
use bywash_tests::dirs::Dirs;
use bywash_tests::seed::{Rng, run_seed};

#[test]
fn many_keys_are_split_three_levels_deep_and_then_sorted() {
    let dirs = Dirs::new();
    let spec = CombineSpec::new().with_tiny_parts();
    // A table holds 192 groups at least, a level has four parts.
    for (distinct, depth, is_sorted) in
        [(100, 0, false), (500, 1, false), (2_500, 2, false), (9_000, 3, false), (60_000, 3, true)]
    {
        let mut rng = Rng::labelled(run_seed(), &[distinct]);
        let records = records(&mut rng, 120_000, Keys::Uniform(distinct), 0);
        let ledger = MemoryLedger::new(spec.minimum_budget(&Count).unwrap());
        let task = admit(&ledger, ledger.capacity()).unwrap();
        let mut combiner = combiner(&spec, Count, &task, &dirs).unwrap();
        write_all(&mut combiner, &records, 1000).unwrap();
        let canceller = combiner.canceller();
        let groups = read_all(combiner.finish().unwrap()).unwrap();
        let progress = canceller.progress();
        println!("{distinct} keys: {progress:?}");
        assert_eq!(progress.depth, depth, "{distinct} keys");
        assert_eq!(progress.sorted_parts > 0, is_sorted, "{distinct} keys");
        assert_eq!(progress.groups, groups.len() as u64);
        for (key, values) in oracle(&records) {
            assert_eq!(groups[&key], (values.len() as u64).to_le_bytes());
        }
        assert_eq!((ledger.granted(), dirs.spill.used_bytes()), (0, 0));
    }
}

#[test]
fn equal_hashes_terminate_at_every_budget() {
    let mut rng = Rng::new(run_seed());
    let dirs = Dirs::new();
    for (records, value_max) in [(30_000, 0), (6_000, 60)] {
        let records = records_of(&mut rng, records, value_max);
        let expected = oracle(&records);
        for tiny in [true, false] {
            let mut spec = CombineSpec::new().with_constant_hash();
            if tiny {
                spec = spec.with_tiny_parts();
            }
            for above in [0, 100_000, 32 << 20] {
                let ledger = MemoryLedger::new(spec.minimum_budget(&Collect).unwrap() + above);
                let task = admit(&ledger, spec.minimum_budget(&Collect).unwrap()).unwrap();
                let mut combiner = combiner(&spec, Collect, &task, &dirs).unwrap();
                write_all(&mut combiner, &records, 1000).unwrap();
                let canceller = combiner.canceller();
                let groups = read_all(combiner.finish().unwrap()).unwrap();
                let progress = canceller.progress();
                println!("tiny {tiny}, minimum + {above}: {progress:?}");
                assert_eq!(groups.len(), expected.len());
                for (key, values) in &expected {
                    let mut values = values.clone();
                    values.sort();
                    assert_eq!(Collect::values(&groups[key]), values);
                }
                assert!(progress.sorted_parts > 0, "no hash took them apart");
                assert!(progress.depth <= 2, "and it was noticed");
                assert!(ledger.peak_granted() <= ledger.capacity());
                assert_eq!((ledger.granted(), dirs.spill.used_bytes()), (0, 0));
            }
        }
    }
}

fn records_of(rng: &mut Rng, count: usize, value_max: usize) -> Records {
    records(rng, count, Keys::Uniform(count as u64 / 2), value_max)
}

#[test]
fn the_order_depends_on_the_seed_and_on_nothing_by_chance() {
    let mut rng = Rng::new(run_seed());
    let dirs = Dirs::new();
    let records = records(&mut rng, 20_000, Keys::Uniform(5_000), 0);
    let mut orders = Vec::new();
    for seed in [1, 1, 2] {
        let spec = CombineSpec::new().with_tiny_parts().with_seed(seed);
        let ledger = MemoryLedger::new(spec.minimum_budget(&Count).unwrap());
        let task = admit(&ledger, ledger.capacity()).unwrap();
        let mut combiner = combiner(&spec, Count, &task, &dirs).unwrap();
        write_all(&mut combiner, &records, 1000).unwrap();
        let mut order = Vec::new();
        let mut combined = combiner.finish().unwrap();
        while let Some(batch) = combined.next_batch().unwrap() {
            order.extend(batch.iter().map(|(key, _)| key.to_vec()));
        }
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1]);
    assert_ne!(orders[0], orders[2]);
    for order in &mut orders {
        order.sort();
    }
    assert_eq!(orders[0], orders[2]);
}
