//! All that says how much memory there is, read together.

use std::fmt;
use std::path::PathBuf;

use bywash_core::Result;

use crate::cgroup::{Group, GroupMemory, Groups, Membership, Version, stall_source};
use crate::machine::{Machine, NodeMemory, ProcessMemory};
use crate::source::{Dir, Source};
use crate::stall::Stall;

/// The container this process runs in, and the node below it.
///
/// Made once; it holds a descriptor for each control group from ours up to the root of the mount.
/// [`Container::observe`] then reads into places made at birth: it allocates nothing unless the
/// process was moved to another group, which it notices. Not for sharing between threads: whoever
/// polls owns it.
#[derive(Debug)]
pub struct Container {
    root: PathBuf,
    machine: Machine,
    cgroup: Source,
    mountinfo: Source,
    node_stall: Source,
    membership: Membership,
    groups: Option<Groups>,
    group_stall: Option<Source>,
    /// Whether we came to other groups since the last observation that succeeded.
    moved: bool,
}

/// What was read at one time.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// Our own control group first, then those above it up to the root of the mount; empty where
    /// there are none.
    pub groups: &'a [Group],
    /// The node's memory.
    pub node: NodeMemory,
    /// This process's own memory.
    pub process: Option<ProcessMemory>,
    /// Time lost for want of memory, where the kernel says.
    pub stall: Option<StallReport>,
    /// Whether the first group is one that holds others' processes, too: every one of the node, or
    /// those of a group above ours that is all we can see. Then it says little about us.
    pub(crate) group_is_shared: bool,
    /// Whether the groups are others than those of the observation before.
    pub(crate) moved: bool,
}

/// A [`Stall`] and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StallReport {
    /// Whether only our own group is meant, or the whole node.
    pub scope: StallScope,
    /// The figures.
    pub stall: Stall,
}

/// Whose stalls were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StallScope {
    /// Those of our own control group.
    Group,
    /// Those of the node.
    Node,
}

impl Container {
    /// Finds our groups under `root` (`/` for the machine we run on).
    ///
    /// # Errors
    /// `Corrupt` naming the file that is not as the kernel writes it; `Io`; `Unsupported` for groups
    /// nested deeper than 64.
    pub fn find(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let dir = Dir::open(&root)?;
        let cgroup = dir.source(c"proc/self/cgroup");
        let mut container = Self {
            machine: Machine::new(&dir),
            mountinfo: dir.source(c"proc/self/mountinfo"),
            node_stall: dir.source(c"proc/pressure/memory"),
            membership: Membership::default(),
            groups: None,
            group_stall: None,
            moved: false,
            cgroup,
            root,
        };
        container.find_groups()?;
        Ok(container)
    }

    /// Reads all figures anew. A few dozen small files: some hundred microseconds, no waiting.
    ///
    /// # Errors
    /// As [`Container::find`]. What was read before the error is kept, so a later call may succeed.
    pub fn observe(&mut self) -> Result<Observation<'_>> {
        if !self.membership.is_current(&self.cgroup)? {
            self.find_groups()?;
            self.moved = true;
        }
        if let Some(groups) = &mut self.groups {
            groups.refresh()?;
        }
        let (node, process) = (self.machine.node()?, self.machine.process()?);
        let stall = self.stall()?;
        // News until somebody was told.
        let moved = std::mem::take(&mut self.moved);
        Ok(Observation {
            groups: self.groups.as_ref().map_or(&[], Groups::figures),
            node,
            process,
            stall,
            group_is_shared: self.groups.as_ref().is_some_and(Groups::is_shared),
            moved,
        })
    }

    /// Which hierarchy manages memory; `None` if none does.
    pub fn version(&self) -> Option<Version> {
        self.groups.as_ref().map(Groups::version)
    }

    /// Whether the first group is the one we are in. It is one above, with more in it, where a bind
    /// mount or a namespace hides the way down.
    pub fn sees_own_group(&self) -> bool {
        self.groups.as_ref().is_some_and(Groups::is_own)
    }

    /// All or nothing: what is kept after an error is that of one membership, so that the next
    /// observation tries again and never takes the old groups for the new.
    fn find_groups(&mut self) -> Result<()> {
        let membership = Membership::read(&self.cgroup)?;
        let groups = Groups::find(&self.root, &self.mountinfo, &membership)?;
        let group_stall = stall_source(&self.root, &self.mountinfo, &membership)?;
        (self.membership, self.groups, self.group_stall) = (membership, groups, group_stall);
        Ok(())
    }

    fn stall(&self) -> Result<Option<StallReport>> {
        if let Some(source) = &self.group_stall
            && let Some(stall) = Stall::read(source)?
        {
            return Ok(Some(StallReport { scope: StallScope::Group, stall }));
        }
        let stall = Stall::read(&self.node_stall)?;
        Ok(stall.map(|stall| StallReport { scope: StallScope::Node, stall }))
    }
}

impl Observation<'_> {
    /// Our own group's figures; those of the nearest group above it that has some.
    pub fn own_memory(&self) -> Option<(&Group, &GroupMemory)> {
        self.groups.iter().find_map(|group| Some((group, group.memory.as_ref()?)))
    }

    /// The lowest hard limit of all groups, and whose it is.
    pub fn tightest_limit(&self) -> Option<(&Group, u64)> {
        let limits = self.groups.iter().filter_map(|group| Some((group, group.limit?)));
        limits.min_by_key(|(_, limit)| *limit)
    }
}

impl fmt::Display for StallScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Group => "own group",
            Self::Node => "node",
        })
    }
}
