//! When spills began and ended, noted by the threads that spill.
//!
//! A spill begins where a file is created in the spill directory and ends with the call it was made in.

use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sampler::now;

/// One spill.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spill {
    /// Which task.
    pub(crate) task: usize,
    /// Microseconds since the start.
    pub(crate) begin: u64,
    /// The end of the call, once it is there.
    pub(crate) end: Option<u64>,
}

/// Makes room for the spills of a run, so that a note allocates nothing.
pub(crate) fn prepare() {
    lock().reserve(SPILLS_MAX);
}

/// Says which task this thread runs; spills of other threads are not noted.
pub(crate) fn set_task(task: usize) {
    TASK.set(Some(task));
}

/// Notes that this thread creates a spill file.
pub(crate) fn note_begin() {
    if let Some(task) = TASK.get() {
        let mut spills = lock();
        if spills.len() < SPILLS_MAX {
            SPILLING.set(true);
            spills.push(Spill { task, begin: now(), end: None });
        }
    }
}

/// Notes that the call this thread made has returned.
pub(crate) fn note_end() {
    if SPILLING.replace(false) {
        let (task, end) = (TASK.get(), Some(now()));
        let mut spills = lock();
        let open = spills.iter_mut().rev().filter(|spill| Some(spill.task) == task);
        open.take_while(|spill| spill.end.is_none()).for_each(|spill| spill.end = end);
    }
}

/// All spills so far, in the order they began.
pub(crate) fn take() -> Vec<Spill> {
    std::mem::take(&mut *lock())
}

fn lock() -> MutexGuard<'static, Vec<Spill>> {
    SPILLS.lock().unwrap_or_else(PoisonError::into_inner)
}

const SPILLS_MAX: usize = 1 << 16;

static SPILLS: Mutex<Vec<Spill>> = Mutex::new(Vec::new());

thread_local! {
    static TASK: Cell<Option<usize>> = const { Cell::new(None) };
    static SPILLING: Cell<bool> = const { Cell::new(false) };
}
