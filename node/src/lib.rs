//! Where we run: what a container and its node allow, and what a mount really is.
//!
//! Linux. Reads /proc, /sys and mounts under a root path that the caller may give.

mod budget;
mod ceiling;
mod cgroup;
mod container;
mod governor;
mod machine;
mod source;
mod stall;
mod text;

pub use budget::{Budget, BudgetExplanation, Declared, Signal};
pub use cgroup::{Group, GroupEvents, GroupMemory, Version};
pub use container::{Container, Observation, StallReport, StallScope};
pub use governor::{Cause, Governor, GovernorOptions, PollReport};
pub use machine::{NodeMemory, ProcessMemory};
pub use stall::Stall;
