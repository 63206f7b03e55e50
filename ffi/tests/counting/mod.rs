//! An allocator that tells how much was allocated at once.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    /// Bytes allocated by this thread less those it freed, and the most that was.
    static BYTES: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
}

fn count(bytes: i64) {
    // Gone at the end of a thread.
    let _ = BYTES.try_with(|cell| {
        let (now, peak) = cell.get();
        cell.set((now + bytes, peak.max(now + bytes)));
    });
}

// SAFETY: it passes everything on.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed() as i64);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-(layout.size().cast_signed() as i64));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// What `work` did to the heap on this thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counted {
    /// Bytes allocated and not freed.
    pub(crate) held: i64,
    /// The most bytes held at once.
    pub(crate) peak: i64,
}

pub(crate) fn counted(work: impl FnOnce()) -> Counted {
    let before = BYTES.with(|cell| {
        let (now, _) = cell.get();
        cell.set((now, now));
        now
    });
    work();
    let (now, peak) = BYTES.with(Cell::get);
    let counted = Counted { held: now - before, peak: peak - before };
    assert!(counted.held <= counted.peak);
    counted
}
