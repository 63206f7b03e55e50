//! A few items: cheaper to insert than to count.

use super::item::RadixItem;

/// Sorts by the bits of `mask`, those of `flip` inverted. Stable; quadratic.
pub(super) fn sort<T: RadixItem>(items: &mut [T], mask: u64, flip: u64) {
    let key = |item: T| (item.key() ^ flip) & mask;
    for end in 1..items.len() {
        let item = items[end];
        let mut place = end;
        while place > 0 && key(items[place - 1]) > key(item) {
            items[place] = items[place - 1];
            place -= 1;
        }
        items[place] = item;
    }
}
