//! Time of this thread on its core: blind to what else the machine does, but for caches and memory.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The processor time this thread has had.
pub(crate) fn thread_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

/// What `work` took of it.
pub(crate) fn timed(work: impl FnOnce()) -> Duration {
    let start = thread_time();
    work();
    thread_time().saturating_sub(start)
}
