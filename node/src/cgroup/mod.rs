//! The control groups this process is in: where they are, what they limit, what they hold.
//!
//! Groups are found once, from /proc/self/cgroup and /proc/self/mountinfo, and kept open; their
//! figures are then read into fixed places. Versions 1, 2 and a mix of both; seen from the host, in
//! a cgroup namespace, or through a bind mount of a part of the hierarchy.
//!
//! ```text
//! own group      limit, high, usage, anon, shmem, file, kernel, peak, events
//!   its parent   the same where it has a limit: what lies beside us counts there
//!     ..         up to the root of the mount
//! ```

mod group;
mod locate;
mod v1;
mod v2;

use group::NO_LIMIT_FROM;
pub use group::{Group, GroupEvents, GroupMemory, Version};
pub(crate) use group::{Groups, stall_source};
pub(crate) use locate::Membership;
