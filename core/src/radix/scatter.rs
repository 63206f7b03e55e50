//! Counting digits and moving items by them.

use super::item::RadixItem;
use crate::cast::to_usize;
use crate::prefetch::prefetch_beyond;

/// Counts every digit in one pass over the items, the counters being those of one digit after the
/// other. Returns which of the bits `watched` are not the same in all keys.
pub(super) fn count<T: RadixItem>(
    items: &[T],
    shifts: &[u32],
    buckets: usize,
    watched: u64,
    counters: &mut [u32],
) -> u64 {
    let first = items.first().map_or(0, |item| item.key());
    let mut varying = 0;
    for block in items.chunks(BLOCK) {
        if watched != 0 {
            for item in block {
                varying |= item.key() ^ first;
            }
        }
        for (&shift, counters) in shifts.iter().zip(counters.chunks_exact_mut(buckets)) {
            count_digit(block, shift, counters);
        }
    }
    varying & watched
}

fn count_digit<T: RadixItem>(items: &[T], shift: u32, counters: &mut [u32]) {
    let (groups, rest) = items.as_chunks::<GROUP>();
    for group in groups {
        for &item in group {
            counters[digit(item, shift, counters.len())] += 1;
        }
    }
    for &item in rest {
        counters[digit(item, shift, counters.len())] += 1;
    }
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
///
/// Out of the cache each bucket's next line would be waited for when it is first written to; it is
/// asked for a line ahead instead. Within the cache that would only cost.
pub(super) fn scatter<T: RadixItem>(from: &[T], to: &mut [T], shift: u32, places: &mut [u32]) {
    if size_of_val(from) >= PREFETCH_BYTES {
        scatter_by::<T, true>(from, to, shift, places);
    } else {
        scatter_by::<T, false>(from, to, shift, places);
    }
}

fn scatter_by<T: RadixItem, const PREFETCH: bool>(
    from: &[T],
    to: &mut [T],
    shift: u32,
    places: &mut [u32],
) {
    let (groups, rest) = from.as_chunks::<GROUP>();
    for group in groups {
        for &item in group {
            move_one::<T, PREFETCH>(item, to, shift, places);
        }
    }
    for &item in rest {
        move_one::<T, PREFETCH>(item, to, shift, places);
    }
}

#[inline]
fn move_one<T: RadixItem, const PREFETCH: bool>(
    item: T,
    to: &mut [T],
    shift: u32,
    places: &mut [u32],
) {
    let next = &mut places[digit(item, shift, places.len())];
    let place = *next as usize;
    if PREFETCH {
        prefetch_beyond(to, place + LINE_BYTES / size_of::<T>());
    }
    to[place] = item;
    *next += 1;
}

/// As many bits from `shift` up as there are buckets for: a power of two.
#[inline]
fn digit<T: RadixItem>(item: T, shift: u32, buckets: usize) -> usize {
    to_usize(item.key() >> shift) & (buckets - 1)
}

/// Items of one turn of a loop: the loop's own instructions are a tenth of the time otherwise.
const GROUP: usize = 8;
/// Items whose digits are counted one after the other: they stay in the cache of first level.
const BLOCK: usize = 1 << 10;
/// Bytes of a slice from which its lines are asked for ahead (docs/BENCHMARKS.md).
const PREFETCH_BYTES: usize = 1 << 20;
const LINE_BYTES: usize = 64;
