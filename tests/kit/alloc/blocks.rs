//! The table of tracked heap blocks: address to requested size, in static memory.
//!
//! Open addressing with linear probing in shards, each behind a spin lock that is held for a few
//! loads and stores and never across a call. Only tracked blocks are here.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, Ordering::Relaxed};

/// Notes a block that the C library just handed out.
pub(super) fn insert(address: usize, size: usize) {
    let (shard, home) = place(address);
    let _locked = lock(&shard.lock);
    for step in 0..SLOTS {
        let slot = &shard.slots[(home + step) % SLOTS];
        if slot.address.load(Relaxed) == 0 {
            slot.address.store(address, Relaxed);
            slot.size.store(size, Relaxed);
            return;
        }
    }
    super::refuse::die(b"the table of tracked blocks is full\n");
}

/// Forgets a block that is about to be freed; `None` when it is not a tracked one.
pub(super) fn remove(address: usize) -> Option<usize> {
    let (shard, home) = place(address);
    let _locked = lock(&shard.lock);
    for step in 0..SLOTS {
        let at = (home + step) % SLOTS;
        match shard.slots[at].address.load(Relaxed) {
            0 => return None,
            found if found == address => {
                let size = shard.slots[at].size.load(Relaxed);
                shard.close_gap(at);
                return Some(size);
            }
            _ => {}
        }
    }
    None
}

/// Forgets the block that holds `address`, however far inside; returns where it is.
pub(super) fn remove_containing(address: usize) -> Option<Range<usize>> {
    if let Some(size) = remove(address) {
        return Some(address..address + size);
    }
    let start = TABLE.iter().find_map(|shard| {
        let _locked = lock(&shard.lock);
        shard.slots.iter().find_map(|slot| {
            let start = slot.address.load(Relaxed);
            let end = start + slot.size.load(Relaxed);
            (start != 0 && (start..end).contains(&address)).then_some(start)
        })
    })?;
    remove(start).map(|size| start..start + size)
}

/// Writes to every page of the table.
pub(super) fn touch() {
    for shard in &TABLE {
        let _locked = lock(&shard.lock);
        for slot in &shard.slots {
            slot.size.swap(slot.size.load(Relaxed), Relaxed);
        }
    }
}

struct Slot {
    address: AtomicUsize,
    size: AtomicUsize,
}

struct Shard {
    lock: AtomicBool,
    slots: [Slot; SLOTS],
}

impl Shard {
    /// Empties slot `gap` and moves later members of its probe chain up, so that chains stay whole.
    fn close_gap(&self, mut gap: usize) {
        let mut at = gap;
        loop {
            at = (at + 1) % SLOTS;
            let address = self.slots[at].address.load(Relaxed);
            if address == 0 {
                break;
            }
            // It may move to the gap if its home is not between the gap and where it is now.
            let (_, home) = place(address);
            if (at + SLOTS - home) % SLOTS >= (at + SLOTS - gap) % SLOTS {
                self.slots[gap].address.store(address, Relaxed);
                self.slots[gap].size.store(self.slots[at].size.load(Relaxed), Relaxed);
                gap = at;
            }
        }
        self.slots[gap].address.store(0, Relaxed);
    }
}

fn place(address: usize) -> (&'static Shard, usize) {
    let hash = (address >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (&TABLE[hash >> (usize::BITS - SHARD_BITS)], (hash >> 20) % SLOTS)
}

/// Spins until `lock` is ours; freed on drop.
pub(super) fn lock(lock: &'static AtomicBool) -> Locked {
    while lock.swap(true, Ordering::Acquire) {
        std::hint::spin_loop();
    }
    Locked(lock)
}

pub(super) struct Locked(&'static AtomicBool);

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

const SHARD_BITS: u32 = 6;
const SLOTS: usize = 1 << 13;
static TABLE: [Shard; 1 << SHARD_BITS] = [const {
    Shard {
        lock: AtomicBool::new(false),
        slots: [const { Slot { address: AtomicUsize::new(0), size: AtomicUsize::new(0) } }; SLOTS],
    }
}; 1 << SHARD_BITS];
