//! Counting digits and moving items by them.

use super::item::RadixItem;

/// Counts every digit in one pass over the items, the counters being those of one digit after the
/// other. Returns the bits of the keys that are not the same in all items.
pub(super) fn count<T: RadixItem>(
    items: &[T],
    shifts: &[u32],
    buckets: usize,
    mask: u64,
    counters: &mut [u32],
) -> u64 {
    let first = items.first().map_or(0, |item| item.key());
    let low = buckets as u64 - 1;
    let mut varying = 0;
    for block in items.chunks(BLOCK) {
        for item in block {
            varying |= item.key() ^ first;
        }
        for (&shift, counters) in shifts.iter().zip(counters.chunks_exact_mut(buckets)) {
            for item in block {
                counters[crate::cast::to_usize(((item.key() & mask) >> shift) & low)] += 1;
            }
        }
    }
    varying & mask
}

/// Turns counts into where each bucket's first item goes; the bits of `flip` are inverted in the order.
pub(super) fn sum_up(counters: &mut [u32], flip: usize) {
    let mut position = 0;
    for rank in 0..counters.len() {
        let counter = &mut counters[rank ^ flip];
        position += std::mem::replace(counter, position);
    }
}

/// Moves every item to the place of its bucket.
pub(super) fn scatter<T: RadixItem>(
    from: &[T],
    to: &mut [T],
    shift: u32,
    mask: u64,
    places: &mut [u32],
) {
    let low = places.len() as u64 - 1;
    for &item in from {
        let place = &mut places[crate::cast::to_usize(((item.key() & mask) >> shift) & low)];
        to[*place as usize] = item;
        *place += 1;
    }
}

/// Items whose digits are counted one after the other: they stay in the cache of first level.
const BLOCK: usize = 1 << 10;
