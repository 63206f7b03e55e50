//! A memory budget from what the container and its node leave.
//!
//! Every limit over us is a candidate, and the tightest wins:
//!
//! - `memory.max` (v1: `memory.limit_in_bytes`, `hierarchical_memory_limit`) and `memory.high` of our
//!   control group and of each above it, against what that group holds;
//! - the node: `MemTotal`, of which all but `MemAvailable` is held. So with no limit, or one above
//!   what the node has left, `MemAvailable` and what is ours already stand in.
//!
//! Held is anonymous and shared memory and the kernel's, never page cache: that is dropped when
//! memory is wanted, and a budget that counts it shrinks with every file read. Swap is not room.

use std::fmt;
use std::sync::Arc;

use bywash_core::{Error, ErrorKind, Figure, Result};

use crate::ceiling::{Claims, Room};
use crate::cgroup::GroupMemory;
use crate::container::{Container, Observation, StallReport};
use crate::machine::{NodeMemory, ProcessMemory};

/// Memory that others in our container will use, in bytes, as their configuration says, whether they
/// have touched it yet or not. All 0 by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Declared {
    /// The JVM's heap (`-Xmx`).
    pub heap: u64,
    /// The JVM's direct buffers (`-XX:MaxDirectMemorySize`).
    pub direct: u64,
    /// The JVM's metaspace, code cache and thread stacks.
    pub metaspace: u64,
    /// Python workers beside us.
    pub python: u64,
    /// Left free whatever happens: what the library needs beyond its ledger (16 MiB and 1 MiB for
    /// each thread), what can grow between two polls, page cache to write with, and the some hundred
    /// KiB per CPU by which the kernel's figures may be behind. 64 MiB or a sixteenth of the
    /// container is a good start.
    pub margin: u64,
}

impl Declared {
    /// All but the margin.
    pub const fn others(&self) -> u64 {
        self.heap
            .saturating_add(self.direct)
            .saturating_add(self.metaspace)
            .saturating_add(self.python)
    }
}

/// Bytes that a ledger may have, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// The ledger's capacity.
    pub capacity: u64,
    /// How it came about.
    pub explanation: BudgetExplanation,
}

/// Which figure was the tightest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// The hard limit of a control group.
    GroupLimit,
    /// The limit above which a control group is throttled.
    GroupHigh,
    /// What the node has left.
    Node,
    /// The most the host allows ([`GovernorOptions::ceiling`](crate::GovernorOptions::ceiling)).
    Host,
}

/// Why a capacity is what it is. `Display` tells it in one line with all figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetExplanation {
    /// The most the tightest signal allows.
    pub ceiling: u64,
    /// Which that was.
    pub signal: Signal,
    /// Whose limit it was, if a control group's.
    pub group: Option<Arc<str>>,
    /// The limit: of the group, or the node's memory.
    pub limit: u64,
    /// What is held under it that no pressure gives back, ours included.
    pub held: u64,
    /// The ledger's part of that.
    pub ours: u64,
    /// What was declared for others, margin not included.
    pub declared: u64,
    /// The part of it that they do not use yet.
    pub untouched: u64,
    /// The declared margin.
    pub margin: u64,
    /// The least that any limit over us has left beside what is held: page cache and free memory.
    pub slack: u64,
    /// Our own group.
    pub own: Option<GroupMemory>,
    /// The node.
    pub node: NodeMemory,
    /// This process.
    pub process: Option<ProcessMemory>,
    /// Time lost for want of memory.
    pub stall: Option<StallReport>,
}

impl Budget {
    /// The capacity that a ledger which holds nothing yet may have: the limit less the larger of
    /// what others hold and what they were declared to need, less the margin. Reads files; allocates
    /// only for an error.
    ///
    /// # Errors
    /// `MemoryLimit` when nothing is left; those of [`Container::observe`].
    pub fn from_container(container: &mut Container, declared: Declared) -> Result<Self> {
        let explanation = BudgetExplanation::of(&container.observe()?, &declared, 0);
        if explanation.ceiling == 0 {
            return Err(explanation.nothing_left());
        }
        Ok(Self { capacity: explanation.ceiling, explanation })
    }
}

impl BudgetExplanation {
    /// The tightest of all that was observed, for a ledger that holds `live` bytes.
    pub(crate) fn of(seen: &Observation<'_>, declared: &Declared, live: u64) -> Self {
        let own = seen.own_memory().map(|(_, memory)| *memory);
        let claims = claims(seen, own, declared, live);
        let mut found = Self::of_node(seen, own, &claims);
        for group in seen.groups {
            let held = group.memory.map_or(0, |memory| memory.unreclaimable());
            let limits = [(Signal::GroupLimit, group.limit), (Signal::GroupHigh, group.high)];
            for (signal, limit) in limits {
                let Some(limit) = limit else { continue };
                let room = Room { limit, held };
                let ceiling = room.ceiling(&claims);
                found.slack = found.slack.min(room.slack());
                if ceiling < found.ceiling {
                    found.group = Some(Arc::clone(&group.path));
                    (found.ceiling, found.signal) = (ceiling, signal);
                    (found.limit, found.held) = (limit, held);
                }
            }
        }
        found
    }

    /// The host allows less than all that was observed.
    pub(crate) fn bound_by_host(&mut self, ceiling: u64) {
        (self.ceiling, self.signal, self.group) = (ceiling, Signal::Host, None);
    }

    fn of_node(seen: &Observation<'_>, own: Option<GroupMemory>, claims: &Claims) -> Self {
        let node = seen.node;
        let held = node.available.map_or(0, |available| node.total.saturating_sub(available));
        let room = Room { limit: node.total, held };
        Self {
            ceiling: room.ceiling(claims),
            signal: Signal::Node,
            group: None,
            limit: room.limit,
            held: room.held,
            ours: claims.ours,
            declared: claims.declared,
            untouched: claims.untouched(),
            margin: claims.margin,
            slack: room.slack(),
            own,
            node,
            process: seen.process,
            stall: seen.stall,
        }
    }

    #[cold]
    fn nothing_left(&self) -> Error {
        Error::new(
            ErrorKind::MemoryLimit,
            "nothing is left for the shuffle's memory: raise the limit, or lower what is declared \
             (heap, direct, metaspace, python, margin)",
        )
        .with_detail(self.to_string())
        .with(Figure::Requested, self.declared.saturating_add(self.margin))
        .with(Figure::Available, self.limit)
        .with(Figure::Held, self.held)
    }
}

/// What is ours under every limit, and what is beside us in our own group.
fn claims(
    seen: &Observation<'_>,
    own: Option<GroupMemory>,
    declared: &Declared,
    live: u64,
) -> Claims {
    // In a group that holds others' processes, what is held is no sign that what was declared for
    // ours is in use.
    let own = own.filter(|_| !seen.group_is_shared);
    // Memory that was taken and never touched is live and not held: ours is no more than what this
    // process has resident, and what may lie on tmpfs.
    let shmem = own.map_or(seen.node.shmem, |own| own.shmem);
    let resident = seen.process.map_or(live, |process| process.resident().saturating_add(shmem));
    let ours = live.min(resident);
    let held = match (own, seen.process) {
        (Some(own), _) => own.unreclaimable(),
        (None, Some(process)) => process.resident(),
        (None, None) => 0,
    };
    Claims {
        ours,
        beside_us: held.saturating_sub(ours),
        declared: declared.others(),
        margin: declared.margin,
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GroupLimit => "memory limit",
            Self::GroupHigh => "memory.high",
            Self::Node => "memory of the node",
            Self::Host => "limit set by the host",
        })
    }
}

impl fmt::Display for BudgetExplanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.held.saturating_sub(self.ours);
        write!(f, "at most {} by the {}", self.ceiling, self.signal)?;
        if let Some(group) = &self.group {
            write!(f, " of {group}")?;
        }
        write!(
            f,
            ": {} - {others} held by others - {} declared and not yet used (of {}) - {} margin; \
             ours {}",
            self.limit, self.untouched, self.declared, self.margin, self.ours
        )?;
        if let Some(own) = &self.own {
            write!(
                f,
                "; group: usage {}, working set {}, anon {}, shmem {}, file {}, kernel {}",
                own.usage,
                own.working_set(),
                own.anon,
                own.shmem,
                own.file,
                own.kernel
            )?;
        }
        write!(f, "; node: total {}", self.node.total)?;
        if let Some(available) = self.node.available {
            write!(f, ", available {available}")?;
        }
        if let Some(process) = &self.process {
            write!(f, "; process: anon {}, shmem {}", process.anon, process.shmem)?;
        }
        if let Some(StallReport { scope, stall }) = &self.stall {
            let (whole, hundredths) = (stall.full_avg10 / 100, stall.full_avg10 % 100);
            write!(f, "; stalled ({scope}): {whole}.{hundredths:02} % of 10 s")?;
        }
        Ok(())
    }
}
