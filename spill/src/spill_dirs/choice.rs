//! What is known of each spill directory, without a clock and without memory.

use std::sync::atomic::{AtomicU64, Ordering};

use bywash_core::{Error, ErrorKind};

/// A spill directory, by its place in the order given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirIndex(u8);

impl DirIndex {
    /// The place as a number from 0.
    pub const fn get(self) -> usize {
        self.0 as usize
    }

    pub(super) const FIRST: Self = Self(0);

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..64).map(Self)
    }

    const fn bit(self) -> u64 {
        1 << self.0
    }
}

/// A set of spill directories; empty by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirMask(u64);

impl DirMask {
    /// The most directories that a set can hold.
    pub const DIRS_MAX: usize = 64;

    /// The set with `dir`.
    #[must_use]
    pub const fn with(self, dir: DirIndex) -> Self {
        Self(self.0 | dir.bit())
    }

    /// Whether `dir` is in the set.
    pub const fn contains(self, dir: DirIndex) -> bool {
        self.0 & dir.bit() != 0
    }
}

/// Whether a spill directory is worth trying, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DirCondition {
    /// Nothing speaks against it.
    Usable,
    /// Its disk or quota was full, or the memory it may take; tried again when no usable one is left.
    Full,
    /// An operation failed; tried last, as a disk that loses bytes seldom heals.
    Failing,
}

/// The conditions of all directories.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    full: AtomicU64,
    failing: AtomicU64,
}

impl Conditions {
    pub(super) fn of(&self, dir: DirIndex) -> DirCondition {
        if self.failing.load(Ordering::Relaxed) & dir.bit() != 0 {
            DirCondition::Failing
        } else if self.full.load(Ordering::Relaxed) & dir.bit() != 0 {
            DirCondition::Full
        } else {
            DirCondition::Usable
        }
    }

    /// Remembers what an error says about the directory, if anything.
    pub(super) fn note(&self, dir: DirIndex, error: &Error) {
        let mask = match error.kind() {
            ErrorKind::NoSpace | ErrorKind::Quota | ErrorKind::MemoryLimit => &self.full,
            // Out of descriptors: no directory's fault.
            ErrorKind::Unavailable => return,
            _ => &self.failing,
        };
        mask.fetch_or(dir.bit(), Ordering::Relaxed);
    }

    /// Space came free.
    pub(super) fn emptied(&self, dir: DirIndex) {
        self.full.fetch_and(!dir.bit(), Ordering::Relaxed);
    }
}
