//! Radix sort equals a naive stable sort: over patterns, lengths, every range of bits and the nine kinds of keys
//! of Spark's RadixSortSuite; it takes nothing of memory, and looks at no bit beside its key's.
//!
//! There is no test of panics within a sort: it calls nothing of a user's, so there is nothing to panic.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;

use bywash_core::ErrorKind;
use bywash_core::memory::{Consumer, MemoryLedger};
use bywash_core::radix::{Direction, Pair, RadixItem, RadixKey, RadixSort, Sign, Slot};
use bywash_tests::alloc;
use bywash_tests::keys::{KeyOrder, Pattern};
use bywash_tests::seed::{Rng, run_seed};
use proptest::prelude::*;

bywash_tests::install_counting_allocator!();

#[test]
fn patterns_of_every_length_to_300() {
    let consumer = consumer();
    let mut rng = Rng::labelled(run_seed(), &[1]);
    for pattern in Pattern::ALL {
        for len in 0..=300 {
            for bits in [0..64, 40..64, 40..48, 40..51, 3..20, 63..64] {
                check_words(&consumer, &order(bits, &mut rng), pattern, len, &mut rng);
            }
        }
    }
}

#[test]
fn patterns_in_and_out_of_the_cache() {
    let consumer = consumer();
    let mut rng = Rng::labelled(run_seed(), &[2]);
    for pattern in Pattern::ALL {
        for len in [5_000, 65_536, 131_071, 200_003] {
            for bits in [0..64, 40..64, 40..48, 40..53, 0..14, 1..64] {
                check_words(&consumer, &order(bits, &mut rng), pattern, len, &mut rng);
            }
        }
    }
}

#[test]
fn every_range_of_bits() {
    let consumer = consumer();
    let mut rng = Rng::labelled(run_seed(), &[3]);
    for start in 0..=64 {
        for end in start..=64 {
            for (signed, descending) in [(false, false), (false, true), (true, false), (true, true)]
            {
                let order = KeyOrder { bits: start..end, signed, descending };
                let len = rng.size(33, 300);
                let pattern = *rng.pick(&Pattern::ALL);
                check_words(&consumer, &order, pattern, len, &mut rng);
            }
        }
    }
}

/// A null goes to one end whatever its key's bits are: the caller keeps nulls in a part of their own.
#[test]
fn sparks_nine_kinds_of_keys() {
    let kinds = [
        (0..64, false, false, true),
        (0..64, false, false, false),
        (0..64, false, true, false),
        (0..64, false, true, true),
        (0..64, true, false, true),
        (0..64, true, false, false),
        (0..64, true, true, false),
        (0..64, true, true, true),
        // Its bytes 0 to 4.
        (0..40, false, false, false),
    ];
    let consumer = consumer();
    let mut rng = Rng::labelled(run_seed(), &[4]);
    for (bits, signed, descending, nulls_first) in kinds {
        let order = KeyOrder { bits, signed, descending };
        for len in (0..40).chain([100, 1_000, 30_000]) {
            // As in its fuzz loops, all keys may lack the same bits.
            let lacking = if rng.chance(50) { rng.bits() & rng.bits() } else { u64::MAX };
            let rows: Vec<_> = (0..len)
                .map(|value| (rng.chance(20), Pair { prefix: rng.bits() & lacking, value }))
                .collect();
            let (nulls, keyed): (Vec<_>, Vec<_>) = rows.iter().partition(|(is_null, _)| *is_null);
            let part = |rows: &[(bool, Pair)]| rows.iter().map(|(_, pair)| *pair).collect();
            let (mut nulls, mut keyed): (Vec<Pair>, Vec<Pair>) = (part(&nulls), part(&keyed));
            let expected = sorted_with_nulls(&order, &rows, nulls_first);

            let mut items = Vec::new();
            let sorted = if nulls_first {
                let start = nulls.len();
                items.append(&mut nulls);
                items.append(&mut keyed);
                start..items.len()
            } else {
                let end = keyed.len();
                items.append(&mut keyed);
                items.append(&mut nulls);
                0..end
            };
            let mut scratch = vec![Pair::default(); sorted.len()];
            let mut sort = RadixSort::try_new(&consumer, key(&order), items.len()).unwrap();
            sort.sort_into_first(&mut items[sorted], &mut scratch).unwrap();
            assert_eq!(items, expected, "{order:?}, nulls first: {nulls_first}, {len} rows");
        }
    }
}

#[test]
fn a_sort_allocates_nothing_and_holds_what_it_said() {
    alloc::assert_installed();
    let consumer = consumer();
    let mut rng = Rng::labelled(run_seed(), &[5]);
    for bits in [0..64, 40..64, 40..51, 7..7] {
        for len in [0, 100, 3_000, 200_000] {
            let key =
                RadixKey::try_new(bits.clone(), Sign::Unsigned, Direction::Ascending).unwrap();
            let mut sort = RadixSort::try_new(&consumer, key, len).unwrap();
            let held = RadixSort::bytes_for(key, len);
            assert_eq!((consumer.granted(), consumer.live()), (held, held), "{key:?} {len}");
            assert!(held <= 64 << 10, "{held}");
            let mut words: Vec<u64> = (0..len).map(|_| rng.bits()).collect();
            let mut scratch = words.clone();
            let (outcome, refusals) =
                alloc::refuse(|| sort.sort_into_first(&mut words, &mut scratch));
            outcome.unwrap();
            assert_eq!(refusals.count, 0);
            drop(sort);
            assert_eq!(consumer.granted(), 0);
        }
    }
}

#[test]
fn a_working_set_that_is_not_granted_is_refused() {
    let key = RadixKey::WORD;
    let bytes = RadixSort::bytes_for(key, 1 << 20);
    let ledger = MemoryLedger::new(bytes - 1);
    let consumer = ledger.admit(1, 0).unwrap()[0].consumer("radix");
    let refused = RadixSort::try_new(&consumer, key, 1 << 20).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::MemoryLimit);
}

#[test]
fn slices_that_do_not_fit_are_refused_untouched() {
    let consumer = consumer();
    let mut sort = RadixSort::try_new(&consumer, RadixKey::WORD, 50).unwrap();
    let items: Vec<u64> = (0..51).rev().collect();
    let mut first = items.clone();
    let refused = sort.sort(&mut first, &mut [0; 51]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{refused}");
    let refused = sort.sort(&mut first[..50], &mut [0; 49]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument, "{refused}");
    assert_eq!(first, items);
    let refused = RadixSort::try_new(&consumer, RadixKey::WORD, RadixSort::LEN_MAX + 1);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn what_lies_beyond_the_items_in_the_scratch_stays() {
    let consumer = consumer();
    let mut sort = RadixSort::try_new(&consumer, RadixKey::WORD, 1_000).unwrap();
    let mut words: Vec<u64> = (0..1_000).rev().collect();
    let mut scratch = vec![7; 1_500];
    sort.sort_into_first(&mut words, &mut scratch).unwrap();
    assert!(words.is_sorted());
    assert!(scratch[1_000..].iter().all(|&word| word == 7));
}

#[test]
fn one_working_set_sorts_one_slice_after_the_other() {
    let consumer = consumer();
    let mut rng = Rng::labelled(run_seed(), &[6]);
    let order = order(40..64, &mut rng);
    let mut sort = RadixSort::try_new(&consumer, key(&order), 5_000).unwrap();
    for _ in 0..200 {
        let len = rng.size(0, 5_000);
        let pattern = *rng.pick(&Pattern::ALL);
        check(&mut sort, &order, &words(&order, pattern, len, &mut rng));
    }
}

proptest! {
    #[test]
    fn any_words_and_pairs(
        keys in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..4, Just(u64::MAX)], 0..700),
        bits in (0u32..=64, 0u32..=64), signed: bool, descending: bool,
    ) {
        let bits = bits.0.min(bits.1)..bits.0.max(bits.1);
        let order = KeyOrder { bits, signed, descending };
        let consumer = consumer();
        let mut sort = RadixSort::try_new(&consumer, key(&order), keys.len()).unwrap();
        check(&mut sort, &order, &keys);
        let pairs: Vec<_> = (0..).zip(&keys).map(|(value, &prefix)| Pair { prefix, value }).collect();
        check(&mut sort, &order, &pairs);
    }
}

/// Sorts words with a pattern in the bits of the order and noise beside them, then pairs of them.
fn check_words(consumer: &Consumer, order: &KeyOrder, pattern: Pattern, len: usize, rng: &mut Rng) {
    let words = words(order, pattern, len, rng);
    let mut sort = RadixSort::try_new(consumer, key(order), len).unwrap();
    check(&mut sort, order, &words);
    // Their numbers tell whether it is stable.
    let pairs: Vec<_> = (0..).zip(&words).map(|(value, &prefix)| Pair { prefix, value }).collect();
    check(&mut sort, order, &pairs);
}

fn check<T: RadixItem + PartialEq + std::fmt::Debug>(
    sort: &mut RadixSort,
    order: &KeyOrder,
    items: &[T],
) {
    let expected = order.sorted(items, |item| item.key());
    let (mut first, mut second) = (items.to_vec(), items.to_vec());
    let slot = sort.sort(&mut first, &mut second).unwrap();
    let sorted = if slot == Slot::First { &first } else { &second };
    // Not assert_eq: it would print a hundred thousand words.
    let wrong = sorted.iter().zip(&expected).position(|(found, expected)| found != expected);
    assert_eq!(wrong, None, "{order:?}, {} items", items.len());
    let mut in_first = items.to_vec();
    sort.sort_into_first(&mut in_first, &mut second).unwrap();
    assert!(in_first == expected, "{order:?}, {} items", items.len());
}

fn words(order: &KeyOrder, pattern: Pattern, len: usize, rng: &mut Rng) -> Vec<u64> {
    let Range { start, end } = order.bits;
    let keys = pattern.keys(rng, len, end - start);
    let noise = if end - start == 64 {
        0
    } else {
        !(u64::MAX >> (64 - (end - start).max(1)) << start.min(63))
    };
    keys.iter().map(|key| key.checked_shl(start).unwrap_or(0) | rng.bits() & noise).collect()
}

fn sorted_with_nulls(order: &KeyOrder, rows: &[(bool, Pair)], nulls_first: bool) -> Vec<Pair> {
    let mut rows = rows.to_vec();
    rows.sort_by(|(left_null, left), (right_null, right)| match (left_null, right_null) {
        (false, false) => order.compare(left.prefix, right.prefix),
        _ if nulls_first => right_null.cmp(left_null),
        _ => left_null.cmp(right_null),
    });
    rows.into_iter().map(|(_, pair)| pair).collect()
}

fn order(bits: Range<u32>, rng: &mut Rng) -> KeyOrder {
    KeyOrder { bits, signed: rng.chance(50), descending: rng.chance(50) }
}

fn key(order: &KeyOrder) -> RadixKey {
    let sign = if order.signed { Sign::TwosComplement } else { Sign::Unsigned };
    let direction = if order.descending { Direction::Descending } else { Direction::Ascending };
    RadixKey::try_new(order.bits.clone(), sign, direction).unwrap()
}

fn consumer() -> Consumer {
    MemoryLedger::unlimited().admit(1, 0).unwrap()[0].consumer("radix")
}
