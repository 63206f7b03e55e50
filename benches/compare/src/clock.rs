//! Time of this thread on its core: blind to what else the machine does, but for caches and memory.

use std::time::{Duration, Instant};

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

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elapsed {
    /// Processor time of this process, all of its threads.
    pub(crate) process: Duration,
    pub(crate) wall: Duration,
}

/// A clock that was started.
#[derive(Debug)]
pub(crate) struct Clock {
    process: Duration,
    wall: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { process: process_time(), wall: Instant::now() }
    }

    pub(crate) fn elapsed(&self) -> Elapsed {
        let process = process_time().saturating_sub(self.process);
        Elapsed { process, wall: self.wall.elapsed() }
    }
}

fn process_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}
