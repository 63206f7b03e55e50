//! The sort and its working set.

use super::insertion;
use super::item::RadixItem;
use super::key::RadixKey;
use super::plan::Plan;
use super::scatter::{count, scatter, sum_up};
use crate::cast::to_usize;
use crate::memory::{Array, Consumer};
use crate::{Error, ErrorKind, Figure, Result};

/// Sorts slices by one key. Never allocates after it was made.
///
/// ```
/// use bywash_core::memory::MemoryLedger;
/// use bywash_core::radix::{RadixKey, RadixSort, Slot};
///
/// let ledger = MemoryLedger::unlimited();
/// let consumer = ledger.admit(1, 0)?[0].consumer("pointers");
/// // Partition ids below 2,000 above a pointer of 40 bits.
/// let mut sort = RadixSort::try_new(&consumer, RadixKey::try_field(40, 2_000)?, 64 << 10)?;
/// let word = |partition: u64, pointer: u64| partition << 40 | pointer;
/// let mut words = [word(7, 1), word(3, 2), word(7, 3), word(3, 4)];
/// let mut scratch = [0; 4];
/// let sorted = match sort.sort(&mut words, &mut scratch)? {
///     Slot::First => words,
///     Slot::Second => scratch,
/// };
/// assert_eq!(sorted, [word(3, 2), word(3, 4), word(7, 1), word(7, 3)]);
/// # Ok::<(), bywash_core::Error>(())
/// ```
#[derive(Debug)]
pub struct RadixSort {
    key: RadixKey,
    len_max: usize,
    /// While counting: items of each value of each digit. While moving: where its next item goes.
    counters: Array<u32>,
}

/// Which of the two slices the sorted items are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it says where the sorted items are"]
pub enum Slot {
    /// The one that held them before.
    First,
    /// The scratch.
    Second,
}

impl RadixSort {
    /// The working set for slices of up to `len_max` items by `key`.
    ///
    /// # Errors
    /// `InvalidArgument` if `len_max` is above [`LEN_MAX`](Self::LEN_MAX); as [`Consumer::reserve`],
    /// which may block.
    pub fn try_new(consumer: &Consumer, key: RadixKey, len_max: usize) -> Result<Self> {
        if len_max > Self::LEN_MAX {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a radix sort takes at most 4,294,967,295 items; sort parts and merge them",
            )
            .with(Figure::Requested, len_max));
        }
        let counters = Array::try_new(consumer, Plan::counters_max(key, len_max))?;
        Ok(Self { key, len_max, counters })
    }

    /// The most items of a slice: places have 32 bits.
    pub const LEN_MAX: usize = u32::MAX as usize;

    /// The bytes that [`RadixSort::try_new`] reserves: 4 to 64 KiB, by how many bits and items there are.
    pub fn bytes_for(key: RadixKey, len_max: usize) -> u64 {
        Array::<u32>::bytes_for(Plan::counters_max(key, len_max))
    }

    /// Sorts the items of `first`, with as much of `second` as they are as scratch. What the other of the two
    /// slices holds afterwards is not said.
    ///
    /// # Errors
    /// `InvalidArgument` if `second` is shorter than `first` or the items are more than the working set was made for;
    /// nothing has been moved then.
    pub fn sort<T: RadixItem>(&mut self, first: &mut [T], second: &mut [T]) -> Result<Slot> {
        let len = first.len();
        let second = self.check(len, second)?;
        let flip = self.key.flip();
        if len <= INSERTION_MAX {
            insertion::sort(first, self.key.mask(), flip);
            return Ok(Slot::First);
        }
        let plan = self.count(first);
        let (mut from, mut to) = (first, second);
        let mut slot = Slot::First;
        let buckets = plan.buckets();
        for (&shift, places) in plan.shifts().iter().zip(self.counters.chunks_exact_mut(buckets)) {
            sum_up(places, to_usize((flip >> shift) & (buckets as u64 - 1)));
            scatter(from, to, shift, places);
            std::mem::swap(&mut from, &mut to);
            slot = slot.other();
        }
        Ok(slot)
    }

    /// As [`RadixSort::sort`], and the sorted items are in `first`: where they ended in the other slice they are
    /// copied back.
    ///
    /// # Errors
    /// As [`RadixSort::sort`].
    pub fn sort_into_first<T: RadixItem>(
        &mut self,
        first: &mut [T],
        second: &mut [T],
    ) -> Result<()> {
        if self.sort(first, second)? == Slot::Second {
            first.copy_from_slice(&second[..first.len()]);
        }
        Ok(())
    }

    /// The key sorted by.
    pub const fn key(&self) -> RadixKey {
        self.key
    }

    fn check<'a, T>(&self, len: usize, second: &'a mut [T]) -> Result<&'a mut [T]> {
        if len > self.len_max {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "more items than this radix sort was made for",
            )
            .with(Figure::Requested, len)
            .with(Figure::Expected, self.len_max));
        }
        let found = second.len();
        second.get_mut(..len).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                "the scratch of a radix sort is at least as long as what is sorted",
            )
            .with(Figure::Requested, len)
            .with(Figure::Found, found)
        })
    }

    /// Counts the digits of the cheapest plan. Which bits vary is guessed from some items; whether
    /// others do is seen while counting, and where they do all is counted once more.
    fn count<T: RadixItem>(&mut self, items: &[T]) -> Plan {
        let mask = self.key.mask();
        let mut varying = sample(items, mask);
        loop {
            let plan = Plan::cheapest(
                self.key,
                varying,
                (items.len(), size_of::<T>()),
                self.counters.len(),
            );
            let counters = &mut self.counters[..plan.shifts().len() * plan.buckets()];
            counters.fill(0);
            // Where the digits are the whole key there is nothing to see.
            let others = mask & !plan.bits();
            let watched = if others == 0 { 0 } else { mask };
            let found = count(items, plan.shifts(), plan.buckets(), watched, counters);
            if found & others == 0 {
                return plan;
            }
            varying = found;
        }
    }
}

impl Slot {
    const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// Bits that are not the same in some of the items, taken evenly.
fn sample<T: RadixItem>(items: &[T], mask: u64) -> u64 {
    let first = items.first().map_or(0, |item| item.key());
    let step = (items.len() / SAMPLES).max(1);
    items.iter().step_by(step).fold(0, |varying, item| varying | (item.key() ^ first)) & mask
}

/// Items up to which inserting beats counting.
const INSERTION_MAX: usize = 32;
/// Items looked at to guess which bits vary.
const SAMPLES: usize = 128;
