//! The files of a group of a v1 memory hierarchy.

use std::sync::Arc;

use bywash_core::Result;

use super::group::Cache;
use super::{Group, GroupEvents, GroupMemory, NO_LIMIT_FROM};
use crate::source::{Dir, Source};
use crate::text::{keyed, number};

#[derive(Debug)]
pub(super) struct V1Files {
    limit: Source,
    usage: Source,
    peak: Source,
    stat: Source,
    kernel: Source,
    oom_control: Source,
    failcnt: Source,
    release_agent: Source,
}

impl V1Files {
    pub(super) fn new(dir: &Arc<Dir>) -> Self {
        Self {
            limit: dir.source(c"memory.limit_in_bytes"),
            usage: dir.source(c"memory.usage_in_bytes"),
            peak: dir.source(c"memory.max_usage_in_bytes"),
            stat: dir.source(c"memory.stat"),
            kernel: dir.source(c"memory.kmem.usage_in_bytes"),
            oom_control: dir.source(c"memory.oom_control"),
            failcnt: dir.source(c"memory.failcnt"),
            release_agent: dir.source(c"release_agent"),
        }
    }

    /// Whether this is the root of the hierarchy: only that has this file.
    pub(super) fn is_root(&self) -> Result<bool> {
        self.release_agent.exists()
    }

    pub(super) fn read(&self, above_own: bool, group: &mut Group) -> Result<()> {
        let limit = self.limit.value(number)?;
        group.limit = limit.filter(|limit| *limit < NO_LIMIT_FROM);
        (group.memory, group.events) = (None, GroupEvents::default());
        if !above_own || group.limit.is_some() {
            self.memory(group)?;
            group.events = self.events()?;
        }
        Ok(())
    }

    fn memory(&self, group: &mut Group) -> Result<()> {
        let Some(usage) = self.usage.value(number)? else {
            return Ok(());
        };
        let mut found = GroupMemory {
            usage,
            peak: self.peak.value(number)?,
            kernel: self.kernel.value(number)?.unwrap_or(0),
            ..Default::default()
        };
        let mut stat = Stat::default();
        self.stat.lines(|line| {
            for (key, place) in stat.own.each() {
                *place = keyed(line, key)?.or(*place);
            }
            let Some(line) = line.strip_prefix(b"total_") else {
                stat.above = keyed(line, b"hierarchical_memory_limit")?.or(stat.above);
                return Ok(());
            };
            for (key, place) in stat.total.each() {
                *place = keyed(line, key)?.or(*place);
            }
            Ok(())
        })?;
        // Without `use_hierarchy` there are no totals: the group's own figures are all.
        let pick = |total: Option<u64>, own: Option<u64>| total.or(own);
        let (total, own) = (stat.total, stat.own);
        let Some((anon, cache)) = pick(total.rss, own.rss).zip(pick(total.cache, own.cache)) else {
            return Err(self.stat.lacks("memory.stat has no rss or no cache"));
        };
        found.anon = anon;
        let cache = Cache {
            all: cache,
            shmem: pick(total.shmem, own.shmem),
            inactive_file: pick(total.inactive_file, own.inactive_file).unwrap_or(0),
            active_file: pick(total.active_file, own.active_file).unwrap_or(0),
            unevictable: pick(total.unevictable, own.unevictable).unwrap_or(0),
        };
        found.inactive_file = cache.inactive_file;
        found.shmem = cache.pinned();
        found.file = cache.all.saturating_sub(found.shmem);
        group.memory = Some(found);
        // Says the limit of groups above, too, that a bind mount or a namespace hides.
        let above = stat.above.filter(|limit| *limit < NO_LIMIT_FROM);
        group.limit = [group.limit, above].into_iter().flatten().min();
        Ok(())
    }

    fn events(&self) -> Result<GroupEvents> {
        let mut events =
            GroupEvents { max: self.failcnt.value(number)?.unwrap_or(0), ..Default::default() };
        self.oom_control.lines(|line| {
            events.oom_kill = keyed(line, b"oom_kill")?.unwrap_or(events.oom_kill);
            Ok(())
        })?;
        Ok(events)
    }
}

#[derive(Debug, Default)]
struct Stat {
    own: Fields,
    total: Fields,
    above: Option<u64>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Fields {
    cache: Option<u64>,
    rss: Option<u64>,
    shmem: Option<u64>,
    inactive_file: Option<u64>,
    active_file: Option<u64>,
    unevictable: Option<u64>,
}

impl Fields {
    const fn each(&mut self) -> [(&'static [u8], &mut Option<u64>); 6] {
        [
            (b"cache", &mut self.cache),
            (b"rss", &mut self.rss),
            (b"shmem", &mut self.shmem),
            (b"inactive_file", &mut self.inactive_file),
            (b"active_file", &mut self.active_file),
            (b"unevictable", &mut self.unevictable),
        ]
    }
}
