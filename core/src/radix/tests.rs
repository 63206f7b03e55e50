use proptest::prelude::*;

use super::{Direction, Pair, RadixItem, RadixKey, RadixSort, Sign, Slot};
use crate::memory::MemoryLedger;

fn sorted<T: RadixItem>(key: RadixKey, items: &[T]) -> Vec<T> {
    let ledger = MemoryLedger::unlimited();
    let consumer = ledger.admit(1, 0).unwrap()[0].consumer("radix");
    let mut sort = RadixSort::try_new(&consumer, key, items.len()).unwrap();
    let (mut first, mut second) = (items.to_vec(), items.to_vec());
    let slot = sort.sort(&mut first, &mut second).unwrap();
    if slot == Slot::First { first } else { second }
}

proptest! {
    #[test]
    fn words_equal_a_stable_sort(
        words in prop::collection::vec(any::<u64>(), 0..400),
        start in 0u32..64, width in 0u32..=64, signed: bool, down: bool,
    ) {
        let end = (start + width).min(64);
        let sign = if signed { Sign::TwosComplement } else { Sign::Unsigned };
        let direction = if down { Direction::Descending } else { Direction::Ascending };
        let key = RadixKey::try_new(start..end, sign, direction).unwrap();
        let mut expected = words.clone();
        expected.sort_by_key(|word| (word ^ key.flip()) & key.mask());
        prop_assert_eq!(sorted(key, &words), expected);
        let pairs: Vec<_> =
            (0..).zip(&words).map(|(value, &word)| Pair { prefix: word & 0x1ff << start, value }).collect();
        let mut expected = pairs.clone();
        expected.sort_by_key(|pair| (pair.prefix ^ key.flip()) & key.mask());
        prop_assert_eq!(sorted(key, &pairs), expected);
    }
}
