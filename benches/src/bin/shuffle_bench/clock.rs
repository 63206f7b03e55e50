//! Time of a run: on the wall, and of this thread on its core.
//!
//! The second is blind to waiting for the disk but also to neighbours on a shared machine; where the
//! two ratios differ much, the machine was not quiet.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A clock that was started.
#[derive(Debug)]
pub(crate) struct Clock {
    wall: Instant,
    cpu: Timespec,
}

/// What a run took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elapsed {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { cpu: clock_gettime(ClockId::ThreadCPUTime), wall: Instant::now() }
    }

    pub(crate) fn elapsed(&self) -> Elapsed {
        let cpu = clock_gettime(ClockId::ThreadCPUTime) - self.cpu;
        Elapsed { wall: self.wall.elapsed(), cpu: cpu.try_into().unwrap_or_default() }
    }
}
