//! The table against a map of the standard library, at every amount of memory.

mod lengths;
mod refused;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::memory::{Consumer, MemoryLedger};
use crate::{Error, Result};

const SIZE: TableSize = TableSize { slots: 64, floor_bytes: 4096, area_bytes: 4096 };

fn table(budget: u64, merge: &impl Merge, hash: KeyHash) -> (MemoryLedger, Consumer, Table) {
    let ledger = MemoryLedger::new(Table::bytes_for(SIZE) + budget);
    let consumer = ledger.admit(1, 0).unwrap()[0].consumer("table");
    let table = Table::try_new(&consumer, SIZE, merge.size(), hash).unwrap();
    assert_eq!(ledger.granted(), Table::bytes_for(SIZE));
    (ledger, consumer, table)
}

fn contents(table: &Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let (mut cursor, mut found) = (Cursor::default(), BTreeMap::new());
    while let Some((key, accumulator)) = table.next(&mut cursor) {
        assert!(found.insert(key.to_vec(), accumulator.to_vec()).is_none(), "a key twice");
    }
    assert_eq!(found.len(), table.len());
    found
}

/// Puts records until the table is full; the map gets what went in. Returns how many did.
fn fill<M: Merge>(
    table: &mut Table,
    merge: &mut M,
    records: &[(Vec<u8>, Vec<u8>)],
    oracle: &mut BTreeMap<Vec<u8>, Vec<Vec<u8>>>,
) -> usize {
    for (at, (key, value)) in records.iter().enumerate() {
        match table.put(key, Input::Value(value), merge).unwrap() {
            Put::Done => oracle.entry(key.clone()).or_default().push(value.clone()),
            Put::Full => return at,
            Put::Crowded => panic!("a good hash"),
        }
    }
    records.len()
}

fn records(distinct: u16, value_max: usize) -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let record = (0..distinct, proptest::collection::vec(any::<u8>(), 0..=value_max));
    let key = |k: u16| k.to_le_bytes()[..usize::from(k % 3)].iter().chain(b"x").copied().collect();
    proptest::collection::vec(record.prop_map(move |(k, v)| (key(k), v)), 0..600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn variable_accumulators_are_those_of_a_map(
        records in records(900, 40),
        budget in prop_oneof![Just(0u64), Just(8192), Just(65536), Just(1 << 22)],
    ) {
        let mut merge = Concat;
        let (ledger, _consumer, mut table) = table(budget, &merge, KeyHash::with_seed(7));
        let mut left = &records[..];
        let mut spills = 0;
        loop {
            let mut oracle = BTreeMap::new();
            let taken = fill(&mut table, &mut merge, left, &mut oracle);
            let expected: BTreeMap<_, _> =
                oracle.into_iter().map(|(key, values)| (key, values.concat())).collect();
            prop_assert_eq!(contents(&table), expected.clone());
            prop_assert!(ledger.live() <= ledger.granted() && ledger.granted() <= ledger.capacity());
            // Both orders hold the same, and are in order.
            if spills % 2 == 0 { table.order_by_hash() } else { table.order_by_key() }
            let ordered: Vec<_> = table.ordered().collect();
            if spills % 2 == 0 {
                prop_assert!(ordered.is_sorted_by_key(|entry| entry.part(20)));
            } else {
                prop_assert!(ordered.is_sorted_by(|a, b| a.key < b.key));
            }
            let all: BTreeMap<_, _> = ordered
                .iter()
                .map(|entry| (entry.key.to_vec(), entry.accumulator.to_vec()))
                .collect();
            prop_assert_eq!(all, expected);
            table.reset(KeyHash::with_seed(spills), Mode::Combine);
            prop_assert_eq!(ledger.granted(), Table::bytes_for(SIZE) + list_growth(&ledger));
            left = &left[taken..];
            if left.is_empty() {
                break;
            }
            prop_assert!(taken > 0, "one record fits an empty table");
            spills += 1;
        }
    }

    /// What is given back by moving entries together is not always to be had again.
    #[test]
    fn a_capacity_that_falls_and_rises_loses_nothing(
        records in records(64, 40),
        falls in proptest::collection::vec(any::<bool>(), 600),
    ) {
        let mut merge = Concat;
        let (ledger, _consumer, mut table) = table(1 << 22, &merge, KeyHash::with_seed(7));
        let capacity = ledger.capacity();
        let mut oracle = BTreeMap::<_, Vec<u8>>::new();
        for ((key, value), falls) in records.iter().zip(falls) {
            ledger.set_capacity(if falls { 1 } else { capacity });
            if table.put(key, Input::Value(value), &mut merge).unwrap() == Put::Done {
                oracle.entry(key.clone()).or_default().extend_from_slice(value);
            }
        }
        prop_assert_eq!(contents(&table), oracle);
    }

    #[test]
    fn counts_are_those_of_a_map(records in records(2000, 0)) {
        let mut merge = Count;
        let (_ledger, _consumer, mut table) = table(1 << 22, &merge, KeyHash::with_seed(7));
        let mut oracle = BTreeMap::new();
        prop_assert_eq!(fill(&mut table, &mut merge, &records, &mut oracle), records.len());
        for (key, count) in contents(&table) {
            prop_assert_eq!(u64::from_le_bytes(count.try_into().unwrap()), oracle[&key].len() as u64);
        }
    }
}

/// The lists of areas keep what they grew to.
fn list_growth(ledger: &MemoryLedger) -> u64 {
    (ledger.granted() - Table::bytes_for(SIZE)).min(64 << 10)
}

#[test]
fn a_refused_growth_changes_nothing() {
    let mut merge = Count;
    let (_ledger, _consumer, mut table) = table(0, &merge, KeyHash::with_seed(1));
    let mut taken = 0u32;
    while table.put(&taken.to_le_bytes(), Input::Value(&[]), &mut merge).unwrap() == Put::Done {
        taken += 1;
    }
    assert_eq!((taken, table.len()), (48, 48), "three quarters of the floor's slots");
    let before = contents(&table);
    for again in 0..3 {
        let put = table.put(b"another", Input::Value(&[]), &mut merge).unwrap();
        assert_eq!((put, again >= 0), (Put::Full, true));
    }
    assert_eq!(contents(&table), before);
    // Keys that are there can still be merged.
    assert_eq!(table.put(&0u32.to_le_bytes(), Input::Value(&[]), &mut merge).unwrap(), Put::Done);
}

#[test]
fn what_was_replaced_is_compacted_before_memory_is_asked_for() {
    let mut merge = Concat;
    let (ledger, _consumer, mut table) = table(1 << 20, &merge, KeyHash::with_seed(1));
    // Sixteen accumulators that grow in turn to 200 bytes leave far more than a floor behind.
    for round in 0..100u32 {
        for key in 0..16u32 {
            let value = round.to_le_bytes();
            let put = table.put(&key.to_le_bytes(), Input::Value(&value[..2]), &mut merge).unwrap();
            assert_eq!(put, Put::Done);
        }
    }
    assert!(ledger.granted() <= Table::bytes_for(SIZE) + (3 << 12), "{}", ledger.granted());
    for (_, accumulator) in contents(&table) {
        let expected: Vec<u8> =
            (0..100u32).flat_map(|round| round.to_le_bytes()[..2].to_vec()).collect();
        assert_eq!(accumulator, expected);
    }
}

#[test]
fn an_accumulator_of_its_own_area_grows_and_gives_back() {
    let mut merge = Concat;
    let (ledger, _consumer, mut table) = table(1 << 20, &merge, KeyHash::with_seed(1));
    let mut expected = Vec::new();
    for round in 0..200u8 {
        let value = vec![round; 700];
        assert_eq!(table.put(b"list", Input::Value(&value), &mut merge).unwrap(), Put::Done);
        expected.extend_from_slice(&value);
    }
    assert_eq!(contents(&table)[&b"list"[..]], expected);
    assert!(table.grown_bytes() <= 2 * 140_000 + (1 << 13), "{}", table.grown_bytes());
    table.reset(KeyHash::with_seed(1), Mode::Combine);
    assert_eq!(ledger.granted(), Table::bytes_for(SIZE));
}

#[test]
fn keys_that_no_hash_tells_apart_are_reported_and_can_be_kept_beside_each_other() {
    let mut merge = Count;
    let (_ledger, _consumer, mut table) = table(1 << 20, &merge, KeyHash::constant());
    let mut taken = 0u32;
    while table.put(&taken.to_be_bytes(), Input::Value(&[]), &mut merge).unwrap() == Put::Done {
        taken += 1;
    }
    assert!((64..200).contains(&taken), "{taken}");
    table.reset(KeyHash::constant(), Mode::Append);
    for at in 0..3000u32 {
        let key = (at % 1000).to_be_bytes();
        assert_eq!(table.put(&key, Input::Value(&[]), &mut merge).unwrap(), Put::Done);
    }
    assert_eq!(table.len(), 3000);
    table.order_by_key();
    let keys: Vec<_> = table.ordered().map(|entry| entry.key.to_vec()).collect();
    assert!(keys.is_sorted());
    assert_eq!(keys.iter().filter(|key| **key == 5u32.to_be_bytes()).count(), 3);
    // And merged where they lie.
    table.fold(&mut merge).unwrap();
    let counts = contents(&table);
    assert_eq!(counts.len(), 1000);
    assert!(counts.values().all(|count| *count == 3u64.to_le_bytes()));
    assert_eq!(table.put(b"more", Input::Value(&[]), &mut merge).unwrap(), Put::Done);
    table.fold(&mut merge).unwrap();
    assert_eq!((table.len(), contents(&table).len()), (1001, 1001));
}

#[test]
fn a_merge_function_cannot_claim_more_than_it_was_given() {
    struct Liar;
    impl Merge for Liar {
        fn size(&self) -> AccumulatorSize {
            AccumulatorSize::Variable
        }
        fn create(&mut self, value: &[u8], _: &mut [u8]) -> Result<usize> {
            Ok(value.len() + 1)
        }
        fn merge(&mut self, _: &mut [u8], _: usize, _: &[u8]) -> Result<usize> {
            Err(Error::invalid("never"))
        }
        fn merge_accumulators(&mut self, _: &mut [u8], _: usize, _: &[u8]) -> Result<usize> {
            Err(Error::invalid("never"))
        }
    }
    let (_ledger, _consumer, mut table) = table(0, &Liar, KeyHash::with_seed(1));
    let error = table.put(b"k", Input::Value(b"v"), &mut Liar).unwrap_err();
    assert!(error.to_string().contains("another length"), "{error}");
}

#[test]
fn empty_keys_and_empty_values_are_records() {
    let mut merge = Concat;
    let (_ledger, _consumer, mut table) = table(0, &merge, KeyHash::with_seed(1));
    for (key, value) in [(&b""[..], &b""[..]), (b"", b""), (b"k", b""), (b"", b"v")] {
        assert_eq!(table.put(key, Input::Value(value), &mut merge).unwrap(), Put::Done);
    }
    let expected = [(b"".to_vec(), b"v".to_vec()), (b"k".to_vec(), b"".to_vec())];
    assert_eq!(contents(&table), BTreeMap::from(expected));
}
