//! The list of tracked anonymous mappings, which may be cut by unmapping a part.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use super::blocks::lock;

/// Notes a mapping of whole pages.
pub(super) fn insert(start: usize, length: usize) {
    let _locked = lock(&LOCK);
    insert_locked(start, length);
}

/// Forgets whatever is tracked in a range of whole pages; returns the bytes that were.
pub(super) fn remove(start: usize, length: usize) -> usize {
    let _locked = lock(&LOCK);
    let end = start + length;
    let mut removed = 0;
    for slot in &LIST[..USED.load(Relaxed)] {
        let (from, to) = slot.range();
        if from == to || to <= start || end <= from {
            continue;
        }
        removed += to.min(end) - from.max(start);
        slot.set(0, 0);
        if from < start {
            insert_locked(from, start - from);
        }
        if end < to {
            insert_locked(end, to - end);
        }
    }
    removed
}

/// Forgets the mapping that holds `address`; returns where it is.
pub(super) fn remove_containing(address: usize) -> Option<Range<usize>> {
    let _locked = lock(&LOCK);
    LIST[..USED.load(Relaxed)].iter().find_map(|slot| {
        let (from, to) = slot.range();
        (from..to).contains(&address).then(|| {
            slot.set(0, 0);
            from..to
        })
    })
}

/// Writes to every page of the list.
pub(super) fn touch() {
    let _locked = lock(&LOCK);
    for slot in &LIST {
        slot.end.swap(slot.end.load(Relaxed), Relaxed);
    }
}

/// `length` in whole pages.
pub(super) const fn pages(length: usize) -> usize {
    // Rounding to the smallest page of our targets: on larger pages callers pass whole ones.
    length.next_multiple_of(4096)
}

fn insert_locked(start: usize, length: usize) {
    match LIST.iter().enumerate().find(|(_, slot)| slot.range() == (0, 0)) {
        Some((place, slot)) => {
            slot.set(start, start + length);
            USED.fetch_max(place + 1, Relaxed);
        }
        None => super::refuse::die(b"the list of tracked mappings is full\n"),
    }
}

struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
}

impl Slot {
    fn range(&self) -> (usize, usize) {
        (self.start.load(Relaxed), self.end.load(Relaxed))
    }

    fn set(&self, start: usize, end: usize) {
        self.start.store(start, Relaxed);
        self.end.store(end, Relaxed);
    }
}

static LOCK: AtomicBool = AtomicBool::new(false);
/// Places of the list that were ever used.
static USED: AtomicUsize = AtomicUsize::new(0);
static LIST: [Slot; 4096] =
    [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; 4096];
