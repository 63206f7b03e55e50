//! Which digits to sort by.

use super::key::RadixKey;

/// Digits of one width, from the lowest up; every one has a bit that varies.
///
/// A digit ends within the key. The highest may for that begin within the one below it, whose bits it
/// then sorts by again, to no harm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    shifts: [u32; DIGITS_MAX],
    len: usize,
    width: u32,
}

impl Plan {
    /// The cheapest digits for items of so many `bytes` each, of which the bits `varying` of the key are
    /// not all the same, with `counters_max` counters.
    pub(super) fn cheapest(
        key: RadixKey,
        varying: u64,
        (items, bytes): (usize, usize),
        counters_max: usize,
    ) -> Self {
        let cached = items.saturating_mul(bytes) < CACHED_BYTES;
        let mut best = Self::of_width(key, varying, WIDTH_SAFE);
        let mut best_cost = usize::MAX;
        for cost in &COSTS {
            let plan = Self::of_width(key, varying, cost.width);
            let pass = if cached { cost.cached } else { cost.uncached };
            let counters = plan.len * plan.buckets();
            let sum = items.saturating_mul(plan.len * pass).saturating_add(counters * COUNTER_COST);
            if counters <= counters_max && sum < best_cost {
                (best, best_cost) = (plan, sum);
            }
        }
        best
    }

    /// Where the digits begin.
    pub(super) fn shifts(&self) -> &[u32] {
        &self.shifts[..self.len]
    }

    /// The bits of the digits.
    pub(super) fn bits(&self) -> u64 {
        let digit = self.buckets() as u64 - 1;
        self.shifts().iter().fold(0, |bits, shift| bits | digit << shift)
    }

    /// Values of a digit.
    pub(super) const fn buckets(&self) -> usize {
        1 << self.width
    }

    /// The counters that the plans for so many items may need: more are not worth clearing.
    pub(super) fn counters_max(key: RadixKey, items_max: usize) -> usize {
        let limit = items_max.saturating_mul(2).clamp(COUNTERS_LEAST, COUNTERS_MOST);
        let counters = |cost: &Cost| {
            (key.width().div_ceil(cost.width) as usize) << cost.width.min(key.width())
        };
        COSTS.iter().map(counters).filter(|&counters| counters <= limit).max().unwrap_or(0)
    }

    fn of_width(key: RadixKey, varying: u64, width: u32) -> Self {
        let width = width.min(key.width());
        let mut plan = Self { shifts: [0; DIGITS_MAX], len: 0, width };
        let mut left = varying;
        while left != 0 {
            let lowest = left.trailing_zeros();
            plan.shifts[plan.len] = lowest.min(key.bits().end - width);
            plan.len += 1;
            left &= u64::MAX.checked_shl(lowest + width).unwrap_or(0);
        }
        plan
    }
}

/// What counting and moving an item by a digit of so many bits takes, in hundredths of a nanosecond.
struct Cost {
    width: u32,
    /// While both slices are in the cache of second level.
    cached: usize,
    uncached: usize,
}

/// Measured (docs/BENCHMARKS.md). Few buckets are met again before their place is written back.
const COSTS: [Cost; 11] = [
    Cost { width: 4, cached: 104, uncached: 130 },
    Cost { width: 5, cached: 100, uncached: 115 },
    Cost { width: 6, cached: 80, uncached: 102 },
    Cost { width: 7, cached: 79, uncached: 92 },
    Cost { width: 8, cached: 75, uncached: 98 },
    Cost { width: 9, cached: 80, uncached: 125 },
    Cost { width: 10, cached: 80, uncached: 145 },
    Cost { width: 11, cached: 83, uncached: 160 },
    Cost { width: 12, cached: 84, uncached: 185 },
    Cost { width: 13, cached: 95, uncached: 230 },
    Cost { width: 14, cached: 105, uncached: 300 },
];
/// To clear a counter and to sum it up, in the same unit.
const COUNTER_COST: usize = 32;
/// Bytes of a slice from which it counts as out of the cache.
const CACHED_BYTES: usize = 1 << 20;
/// Counters of all digits together: 8 to 64 KiB.
const COUNTERS_LEAST: usize = 2 << 10;
const COUNTERS_MOST: usize = 16 << 10;
/// A width whose counters are within any bound for any key.
const WIDTH_SAFE: u32 = 8;
/// Digits of the least width in a word.
const DIGITS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radix::{Direction, Sign};

    fn key(bits: std::ops::Range<u32>) -> RadixKey {
        RadixKey::try_new(bits, Sign::Unsigned, Direction::Ascending).unwrap()
    }

    fn cheapest(key: RadixKey, varying: u64, items: usize) -> Plan {
        Plan::cheapest(key, varying, (items, 8), Plan::counters_max(key, items))
    }

    const CASES: [(usize, usize); 6] = [
        (33, 33),
        (33, 10_000_000),
        (1_000, 1_000),
        (1_000, 10_000_000),
        (100_000, 100_000),
        (10_000_000, 10_000_000),
    ];

    #[test]
    fn every_plan_covers_what_varies_within_the_key_and_its_counters() {
        for start in 0..=64 {
            for end in start..=64 {
                let key = key(start..end);
                for varying in [key.mask(), key.mask() & 0x8000_0100_0040_0001, 0] {
                    for (items, items_max) in CASES {
                        let counters_max = Plan::counters_max(key, items_max);
                        let plan = Plan::cheapest(key, varying, (items, 8), counters_max);
                        assert_eq!(varying & !plan.bits(), 0, "{key:?} {items}");
                        assert_eq!(plan.bits() & !key.mask(), 0, "{key:?} {items}");
                        assert!(plan.len * plan.buckets() <= counters_max, "{key:?} {items}");
                        let digits = plan.shifts().iter().map(|shift| varying >> shift);
                        for digit in digits {
                            assert_ne!(digit & (plan.buckets() as u64 - 1), 0, "{key:?} {items}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn bits_that_do_not_vary_cost_no_pass() {
        let passes = |varying, items| cheapest(RadixKey::WORD, varying, items).len;
        assert_eq!(passes(0, 1_000_000), 0);
        assert_eq!(passes(0xff << 40, 1_000_000), 1);
        assert_eq!(passes(1 | 1 << 63, 1_000_000), 2);
        assert_eq!(passes(u64::MAX, 10_000_000), 8);
    }

    #[test]
    fn partitions_of_a_chunk_take_one_pass_up_to_8192_and_two_above() {
        for (partitions, passes) in
            [(1, 0), (200, 1), (2_000, 1), (8_192, 1), (100_000, 2), (1 << 24, 2)]
        {
            let key = RadixKey::try_field(40, partitions).unwrap();
            assert_eq!(cheapest(key, key.mask(), 64 << 10).len, passes, "{partitions}");
        }
    }
}
