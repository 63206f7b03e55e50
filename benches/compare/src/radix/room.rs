//! The input, and the two slices that all of ours work in: huge pages for everyone in this process.

use std::cell::RefCell;
use std::time::Duration;

use bywash_core::memory::{Array, Consumer};

use super::words::{digest, fill};
use crate::clock::timed;
use crate::failure::Result;
use crate::rounds::Run;

#[derive(Debug)]
pub(crate) struct Room {
    words: Array<u64>,
    slices: RefCell<(Array<u64>, Array<u64>)>,
    partitions: u64,
}

impl Room {
    pub(crate) fn try_new(consumer: &Consumer, len: usize, partitions: u64) -> Result<Self> {
        let mut words = Array::try_new(consumer, len)?;
        fill(&mut words, partitions);
        let slices = (Array::try_new(consumer, len)?, Array::try_new(consumer, len)?);
        Ok(Self { words, slices: RefCell::new(slices), partitions })
    }

    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    pub(crate) fn partitions(&self) -> u64 {
        self.partitions
    }

    /// Sorts of one run: short ones are repeated, for the clock's sake.
    pub(crate) fn sorts(&self) -> usize {
        (SORTED_MIN / self.len().max(1)).max(1)
    }

    /// Sorts a copy of the words by `sort`, which says whether they ended in the second slice. Where words of one
    /// partition may have changed places they are put in order before the digest.
    pub(crate) fn run(
        &self,
        stable: bool,
        mut sort: impl FnMut(&mut [u64], &mut [u64]) -> bool,
    ) -> Run {
        let (first, second) = &mut *self.slices.borrow_mut();
        let mut time = Duration::ZERO;
        let mut in_second = false;
        for _ in 0..self.sorts() {
            first.copy_from_slice(&self.words);
            time += timed(|| in_second = sort(first, second));
        }
        let sorted: &mut [u64] = if in_second { second } else { first };
        if !stable {
            // The words' numbers make it one order.
            sorted.sort();
        }
        Run { time, digest: digest(sorted) }
    }
}

/// Words sorted in a run at least.
const SORTED_MIN: usize = 10_000_000;
