//! Which digits to sort by.

/// Digits of one width, from the lowest up; every one has a bit that varies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    shifts: [u32; DIGITS_MAX],
    len: usize,
    /// Bits of a digit; its highest may lie beyond the key, where they are masked.
    width: u32,
}

impl Plan {
    /// The cheapest digits for so many items of which the bits `varying` are not all the same.
    pub(super) fn cheapest(varying: u64, items: usize) -> Self {
        let mut best = Self::of_width(varying, WIDTH_MIN);
        for width in WIDTH_MIN + 1..=WIDTH_MAX {
            let other = Self::of_width(varying, width);
            if other.cost(items) < best.cost(items) {
                best = other;
            }
        }
        best
    }

    /// Where the digits begin.
    pub(super) fn shifts(&self) -> &[u32] {
        &self.shifts[..self.len]
    }

    /// Values of a digit.
    pub(super) const fn buckets(&self) -> usize {
        1 << self.width
    }

    /// Counters that any plan for a key of so many bits needs.
    pub(super) fn counters_max(key_bits: u32) -> usize {
        let counters = |width: u32| (key_bits.div_ceil(width) as usize) << width;
        (WIDTH_MIN..=WIDTH_MAX).map(counters).max().unwrap_or(0)
    }

    fn of_width(varying: u64, width: u32) -> Self {
        let mut plan = Self { shifts: [0; DIGITS_MAX], len: 0, width };
        let mut left = varying;
        while left != 0 {
            let shift = left.trailing_zeros();
            plan.shifts[plan.len] = shift;
            plan.len += 1;
            left &= u64::MAX.checked_shl(shift + width).unwrap_or(0);
        }
        plan
    }

    /// In hundredths of what moving an item by a narrow digit costs.
    fn cost(&self, items: usize) -> usize {
        let scatter = if self.width <= NARROW { 100 } else { 130 };
        self.len * (items.saturating_mul(scatter).saturating_add(self.buckets() * COUNTER_COST))
    }
}

const WIDTH_MIN: u32 = 8;
const WIDTH_MAX: u32 = 12;
const DIGITS_MAX: usize = u64::BITS.div_ceil(WIDTH_MIN) as usize;
/// Bits of a digit whose buckets are few enough for the caches of first level.
const NARROW: u32 = 8;
/// To clear a counter and to sum it up.
const COUNTER_COST: usize = 100;
