//! One group's figures, and the list of our own and those above it.

use std::path::Path;
use std::sync::Arc;

use bywash_core::{Error, ErrorKind, Figure, Result};

use super::locate::{self, Located, Membership};
use super::v1::V1Files;
use super::v2::V2Files;
use crate::source::{Dir, Source};

/// Which hierarchy manages memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy of its own for each controller; also in a mixed setup.
    V1,
    /// The unified hierarchy.
    V2,
}

/// What the processes of a group use, in bytes, those of groups below it included.
///
/// The kernel gathers these per CPU: they may be behind by some hundred KiB for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupMemory {
    /// All that is charged, page cache included (`memory.current`, `memory.usage_in_bytes`).
    pub usage: u64,
    /// Anonymous memory (v2 `anon`, v1 `rss`).
    pub anon: u64,
    /// Shared memory, files on tmpfs and ramfs, locked pages of files: memory that looks like page
    /// cache and cannot be dropped.
    pub shmem: u64,
    /// Page cache that can be dropped, `shmem` not included.
    pub file: u64,
    /// The part of the page cache that is dropped first.
    pub inactive_file: u64,
    /// Kernel memory and socket buffers. 0 where the kernel does not say.
    pub kernel: u64,
    /// The part of `kernel` that is given back under pressure. 0 on v1, which does not tell.
    pub kernel_reclaimable: u64,
    /// The most `usage` ever was, where the kernel says (v2 since Linux 5.19).
    pub peak: Option<u64>,
}

impl GroupMemory {
    /// `usage` without the page cache that goes first: what kubelet reports and evicts by.
    pub const fn working_set(&self) -> u64 {
        self.usage.saturating_sub(self.inactive_file)
    }

    /// What no pressure gives back: `anon`, `shmem` and the unreclaimable part of `kernel`.
    pub const fn unreclaimable(&self) -> u64 {
        let kernel = self.kernel.saturating_sub(self.kernel_reclaimable);
        self.anon.saturating_add(self.shmem).saturating_add(kernel)
    }
}

/// Page cache, as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cache {
    /// All of it, shmem included.
    pub(super) all: u64,
    /// Shared memory and files on tmpfs, where the kernel says.
    pub(super) shmem: Option<u64>,
    /// On the lists of files that can be dropped.
    pub(super) inactive_file: u64,
    pub(super) active_file: u64,
    /// On the list of what cannot be, anonymous pages included.
    pub(super) unevictable: u64,
}

impl Cache {
    /// The part of it that cannot be dropped.
    pub(super) fn pinned(&self) -> u64 {
        let listed = self.inactive_file.saturating_add(self.active_file);
        let unlisted = self.all.saturating_sub(listed);
        // Before Linux 4.4 shmem is not told: it is the cache that is on no list of files.
        let Some(shmem) = self.shmem else { return unlisted };
        // On ramfs, or locked: on no list of files and not shmem. Both figures bound it, so that
        // neither locked anonymous memory nor pages on their way between lists are taken for it.
        let locked = unlisted.saturating_sub(shmem).min(self.unevictable);
        shmem.saturating_add(locked).min(self.all)
    }
}

/// How often a group met its limits, since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GroupEvents {
    /// Went above `high` and was throttled (v2).
    pub high: u64,
    /// Met its limit, upon which page cache is dropped: with files written this is ordinary
    /// (v2 `max`, v1 `failcnt`).
    pub max: u64,
    /// Met its limit with nothing left to drop (v2).
    pub oom: u64,
    /// Processes killed for memory.
    pub oom_kill: u64,
}

/// What one group allows and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its directory.
    pub path: Arc<str>,
    /// The hard limit in bytes (`memory.max`; v1: the smaller of `memory.limit_in_bytes` and
    /// `hierarchical_memory_limit`); `None` for none.
    pub limit: Option<u64>,
    /// The limit above which the kernel throttles (`memory.high`, v2).
    pub high: Option<u64>,
    /// What it uses. For a group above our own only where it has a limit; `None` also where the
    /// memory controller is not enabled and in the root of a v2 hierarchy.
    pub memory: Option<GroupMemory>,
    /// Our own group: events of it and the groups below; above: those of that group's own limits.
    pub events: GroupEvents,
}

impl Group {
    fn unread(dir: &Path) -> Self {
        let path = Arc::from(Path::new("/").join(dir).to_string_lossy());
        Self { path, limit: None, high: None, memory: None, events: GroupEvents::default() }
    }
}

/// Our own group and those above it, kept open.
#[derive(Debug)]
pub(crate) struct Groups {
    version: Version,
    is_own: bool,
    is_root: bool,
    files: Vec<Files>,
    figures: Vec<Group>,
}

#[derive(Debug)]
enum Files {
    V1(V1Files),
    V2(V2Files),
}

impl Groups {
    /// The groups this process is in, as `membership` and the mounts under `root` say; `None` where
    /// no group manages our memory or no mount shows it.
    pub(crate) fn find(
        root: &Path,
        mountinfo: &Source,
        membership: &Membership,
    ) -> Result<Option<Self>> {
        let located = locate::memory_group(root, mountinfo, membership)?;
        located.map(|located| Self::open(root, located)).transpose()
    }

    fn open(root: &Path, located: Located) -> Result<Self> {
        let Located { version, mut dir, depth, is_own } = located;
        if depth >= LEVELS_MAX {
            let message = "control groups are nested deeper than is supported";
            return Err(Error::new(ErrorKind::Unsupported, message)
                .with(Figure::Found, depth + 1)
                .with(Figure::Expected, LEVELS_MAX));
        }
        let mut files = Vec::with_capacity(depth + 1);
        let mut figures = Vec::with_capacity(depth + 1);
        for level in 0..=depth {
            let opened = Dir::open(&root.join(&dir))?;
            files.push(match version {
                Version::V1 => Files::V1(V1Files::new(&opened)),
                Version::V2 => Files::V2(V2Files::new(&opened, level == 0)),
            });
            figures.push(Group::unread(&dir));
            dir.pop();
        }
        let is_root = match files.first() {
            Some(Files::V1(files)) if depth == 0 => files.is_root()?,
            _ => false,
        };
        Ok(Self { version, is_own, is_root, files, figures })
    }

    /// Reads all figures anew. Allocates nothing.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        let mut above_own = false;
        for (files, group) in self.files.iter().zip(&mut self.figures) {
            match files {
                Files::V1(files) => files.read(above_own, group)?,
                Files::V2(files) => files.read(above_own, group)?,
            }
            // Where our own group has no memory files, the first that has some stands for it.
            above_own |= group.memory.is_some();
        }
        Ok(())
    }

    /// Own group first, then upwards.
    pub(crate) fn figures(&self) -> &[Group] {
        &self.figures
    }

    pub(crate) const fn version(&self) -> Version {
        self.version
    }

    /// Whether the first is the group we are in, and not one above it that is all we can see.
    pub(crate) const fn is_own(&self) -> bool {
        self.is_own
    }

    /// Whether the first holds processes that are not of our group: it is one above ours, or the v1
    /// root, which holds all of the node (a v2 root has no figures anyway).
    pub(crate) const fn is_shared(&self) -> bool {
        self.is_root || !self.is_own
    }
}

/// The pressure file of our own group in the unified hierarchy, which may be there beside a v1
/// memory hierarchy. None in the root: that is the node's.
pub(crate) fn stall_source(
    root: &Path,
    mountinfo: &Source,
    membership: &Membership,
) -> Result<Option<Source>> {
    let Some(located) = locate::unified_group(root, mountinfo, membership)? else {
        return Ok(None);
    };
    let dir = Dir::open(&root.join(&located.dir))?;
    // Every group but the root has this file.
    let below_root = dir.source(c"cgroup.events").exists()?;
    Ok(below_root.then(|| dir.source(c"memory.pressure")))
}

/// Limits from here on mean none: v1 writes "no limit" as the largest multiple of a page.
pub(crate) const NO_LIMIT_FROM: u64 = 1 << 62;
const LEVELS_MAX: usize = 64;
