//! Who holds memory, for explanations, error messages and leak reports.

use std::fmt;

/// What one consumer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct HolderReport {
    /// The number of its task in the ledger, from 1.
    pub task: u64,
    /// The consumer's name; `exported` stands for buffers that were handed out and are still charged.
    pub name: &'static str,
    /// Bytes granted to it.
    pub granted: u64,
    /// Bytes it has really allocated.
    pub live: u64,
    /// The most bytes that were ever granted to it at once.
    pub peak: u64,
    /// Bytes it has given back by spilling so far.
    pub spilled: u64,
    /// Bytes a spill would give back now.
    pub reclaimable: u64,
}

impl HolderReport {
    pub(super) const fn exported(task: u64, bytes: u64) -> Self {
        Self {
            task,
            name: "exported",
            granted: bytes,
            live: bytes,
            peak: bytes,
            spilled: 0,
            reclaimable: 0,
        }
    }
}

impl fmt::Display for HolderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, name, granted, live, peak, spilled, reclaimable } = self;
        write!(
            f,
            "{name} of task {task}: granted {granted} B, live {live} B, peak {peak} B, \
             spilled {spilled} B, reclaimable {reclaimable} B"
        )
    }
}

/// What a task still held when its owner was done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskReport {
    /// The task's number in its ledger.
    pub task: u64,
    /// Everybody who holds memory of it; nobody is what it should be, unless buffers are still
    /// with the caller.
    pub holders: Vec<HolderReport>,
}

impl TaskReport {
    /// Bytes still held.
    pub fn held(&self) -> u64 {
        self.holders.iter().map(|holder| holder.granted).sum()
    }
}

impl fmt::Display for TaskReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} holds {} B", self.task, self.held())?;
        self.holders.iter().try_for_each(|holder| write!(f, "; {holder}"))
    }
}
