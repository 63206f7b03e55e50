//! Where we run: what a container and its node allow, and what a mount really is.
//!
//! Linux. Reads /proc, /sys and mounts under a root path that the caller may give.
//!
//! ```
//! use std::time::Duration;
//!
//! use bywash_core::memory::MemoryLedger;
//! use bywash_node::{Budget, Container, Declared, Governor, GovernorOptions};
//!
//! # fn main() -> bywash_core::Result<()> {
//! // What others in the container will use, and what is to be left free.
//! let declared = Declared { heap: 64 << 20, margin: 32 << 20, ..Declared::default() };
//! let mut container = Container::find("/")?;
//! let budget = Budget::from_container(&mut container, declared)?;
//! println!("{}", budget.explanation);
//! let ledger = MemoryLedger::new(budget.capacity);
//!
//! // About once a second, with the time of a clock that does not go back.
//! let options = GovernorOptions { ceiling: budget.capacity, ..GovernorOptions::default() };
//! let mut governor = Governor::new(container, declared, options)?;
//! let report = governor.poll(Duration::from_secs(1), &ledger)?;
//! assert!(report.new_capacity <= budget.capacity);
//! # Ok(())
//! # }
//! ```

mod budget;
mod ceiling;
mod cgroup;
mod container;
mod governor;
mod machine;
mod mount;
mod source;
mod stall;
mod text;

pub use budget::{Budget, BudgetExplanation, Declared, Signal};
pub use cgroup::{Group, GroupEvents, GroupMemory, Version};
pub use container::{Container, Observation, StallReport, StallScope};
pub use governor::{Cause, Governor, GovernorOptions, PollReport};
pub use machine::{NodeMemory, ProcessMemory};
pub use mount::{Filesystem, FilesystemKind, InMemory, Mount};
pub use stall::Stall;
