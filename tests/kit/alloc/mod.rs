//! A malloc and mmap that count what is asked for, and refuse on demand.
//!
//! A test binary calls [`install_counting_allocator!`](crate::install_counting_allocator), which
//! defines the C functions in the binary, so that Rust allocations (the system allocator is
//! malloc), C codecs and anonymous mappings made through libc all pass here on their way to glibc.
//!
//! Counted are the *requested* sizes of live blocks and the page-rounded lengths of live anonymous
//! mappings that were made inside [`tracked`]; everything else (the test's own data, the harness)
//! is not, wherever it is freed. A block's tag is its presence in the table of tracked blocks, so
//! blocks of strangers are passed through untouched. Nothing here allocates.

mod blocks;
pub mod entry;
mod maps;
mod refuse;

use std::cell::Cell;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub use refuse::{Refusals, refuse};

/// What the hook sees at every tracked event, before the call returns to its caller.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Counted bytes before this call.
    pub before: u64,
    /// Counted bytes after this call.
    pub after: u64,
    /// Bytes this call gave back. A ledger that takes away after freeing still counts them as live.
    pub freed: u64,
}

impl Event {
    /// How far `live` is from what is counted, positive where it is above. The call in progress
    /// does not count: the ledger may hear of it before or after the allocator does.
    pub fn excursion(&self, live: u64) -> i64 {
        let before = i128::from(live) - i128::from(self.before);
        let after = i128::from(live) - i128::from(self.after);
        let nearer = if before.abs() < after.abs() { before } else { after };
        i64::try_from(nearer).unwrap_or(i64::MAX)
    }
}

/// Runs `f`, counting what it allocates on this thread.
pub fn tracked<R>(f: impl FnOnce() -> R) -> R {
    let _restore = set_tracking(true);
    f()
}

/// Runs `f` inside a tracked scope without counting what it allocates.
pub fn untracked<R>(f: impl FnOnce() -> R) -> R {
    let _restore = set_tracking(false);
    f()
}

/// Bytes of all live tracked blocks and mappings.
pub fn counted() -> u64 {
    COUNTED.load(Ordering::Relaxed)
}

/// The part of [`counted`] that is mappings.
pub fn counted_mapped() -> u64 {
    MAPPED.load(Ordering::Relaxed)
}

/// Tracked events so far.
pub fn events() -> u64 {
    EVENTS.load(Ordering::Relaxed)
}

/// The most bytes that one tracked event was about.
pub fn largest_event() -> u64 {
    LARGEST.load(Ordering::Relaxed)
}

/// Writes to every page of the tables, so that the harness's resident memory does not grow later.
pub fn touch_tables() {
    blocks::touch();
    maps::touch();
}

/// Calls `hook` at every tracked event from now on; once in a process. The hook may allocate.
pub fn set_hook(hook: fn(Event)) {
    assert!(HOOK.set(hook).is_ok(), "one hook in a process");
}

/// Stops counting the block or mapping that holds `address`: its owner is the caller now. Returns
/// the addresses that are no longer counted, if they were. Slow when `address` is not the first.
pub fn give_away(address: *const u8) -> Option<Range<usize>> {
    let address = address.addr();
    let found = blocks::remove_containing(address).inspect(|block| {
        account(0, block.len() as u64, 0, 0);
    });
    found.or_else(|| {
        maps::remove_containing(address).inspect(|mapping| {
            account(0, 0, 0, mapping.len() as u64);
        })
    })
}

/// Panics unless this binary's allocations really pass through here.
pub fn assert_installed() {
    let before = counted();
    let (rust, c) = tracked(|| {
        let block = std::hint::black_box(Box::new([0u8; 12_345]));
        let rust = counted() - before;
        drop(block);
        let path = std::fs::canonicalize("/").expect("the root");
        (rust, path)
    });
    untracked(|| drop(c));
    assert_eq!(rust, 12_345, "the counting allocator is not linked in");
}

/// Adds and takes away bytes of blocks and mappings as one event.
fn account(heap_plus: u64, heap_minus: u64, mapped_plus: u64, mapped_minus: u64) {
    let (plus, minus) = (heap_plus + mapped_plus, heap_minus + mapped_minus);
    MAPPED.fetch_add(mapped_plus.wrapping_sub(mapped_minus), Ordering::Relaxed);
    let change = plus.wrapping_sub(minus);
    let before = COUNTED.fetch_add(change, Ordering::SeqCst);
    EVENTS.fetch_add(1, Ordering::Relaxed);
    LARGEST.fetch_max(plus.max(minus), Ordering::Relaxed);
    PENDING.set(Event { before, after: before.wrapping_add(change), freed: minus });
}

/// Calls the hook for the event just accounted, unless this is the hook's own.
fn run_hook() {
    let Some(hook) = HOOK.get() else { return };
    if HOOKING.replace(true) {
        return;
    }
    let event = PENDING.get();
    untracked(|| hook(event));
    HOOKING.set(false);
}

fn is_tracking() -> bool {
    TRACKING.get()
}

fn set_tracking(on: bool) -> Restore {
    Restore(TRACKING.replace(on))
}

struct Restore(bool);

impl Drop for Restore {
    fn drop(&mut self) {
        TRACKING.set(self.0);
    }
}

// Plain thread-locals without destructors: reading one neither allocates nor fails.
thread_local! {
    static TRACKING: Cell<bool> = const { Cell::new(false) };
    static HOOKING: Cell<bool> = const { Cell::new(false) };
    static PENDING: Cell<Event> = const { Cell::new(Event { before: 0, after: 0, freed: 0 }) };
}

static COUNTED: AtomicU64 = AtomicU64::new(0);
static MAPPED: AtomicU64 = AtomicU64::new(0);
static EVENTS: AtomicU64 = AtomicU64::new(0);
static LARGEST: AtomicU64 = AtomicU64::new(0);
static HOOK: OnceLock<fn(Event)> = OnceLock::new();
