//! The files of a group of the unified hierarchy.

use std::sync::Arc;

use bywash_core::Result;

use super::group::Cache;
use super::{Group, GroupEvents, GroupMemory};
use crate::source::{Dir, Source};
use crate::text::{keyed, number, number_or_max};

#[derive(Debug)]
pub(super) struct V2Files {
    max: Source,
    high: Source,
    current: Source,
    peak: Source,
    stat: Source,
    events: Source,
}

impl V2Files {
    pub(super) fn new(dir: &Arc<Dir>, own: bool) -> Self {
        // Events go up the tree: above our own group only those of its own limits concern us, not
        // those of a neighbour that met its limit.
        let events = if own { c"memory.events" } else { c"memory.events.local" };
        Self {
            max: dir.source(c"memory.max"),
            high: dir.source(c"memory.high"),
            current: dir.source(c"memory.current"),
            peak: dir.source(c"memory.peak"),
            stat: dir.source(c"memory.stat"),
            events: dir.source(events),
        }
    }

    pub(super) fn read(&self, above_own: bool, group: &mut Group) -> Result<()> {
        group.limit = self.max.value(number_or_max)?.flatten();
        group.high = self.high.value(number_or_max)?.flatten();
        let concerns_us = !above_own || group.limit.is_some() || group.high.is_some();
        (group.memory, group.events) = (None, GroupEvents::default());
        if concerns_us {
            group.memory = self.memory()?;
            group.events = self.events()?;
        }
        Ok(())
    }

    fn memory(&self) -> Result<Option<GroupMemory>> {
        let Some(usage) = self.current.value(number)? else {
            return Ok(None);
        };
        let mut found = GroupMemory { usage, peak: self.peak.value(number)?, ..Default::default() };
        let (mut anon, mut all, mut kernel) = (None, None, None);
        let mut cache = Cache { shmem: Some(0), ..Default::default() };
        let (mut parts, mut sock) = (0u64, 0);
        self.stat.lines(|line| {
            anon = keyed(line, b"anon")?.or(anon);
            all = keyed(line, b"file")?.or(all);
            kernel = keyed(line, b"kernel")?.or(kernel);
            for part in [&b"kernel_stack"[..], b"pagetables", b"percpu", b"slab"] {
                parts = parts.saturating_add(keyed(line, part)?.unwrap_or(0));
            }
            sock = keyed(line, b"sock")?.unwrap_or(sock);
            cache.shmem = keyed(line, b"shmem")?.or(cache.shmem);
            let listed = [
                (&b"inactive_file"[..], &mut cache.inactive_file),
                (b"active_file", &mut cache.active_file),
                (b"unevictable", &mut cache.unevictable),
            ];
            for (key, place) in listed {
                *place = keyed(line, key)?.unwrap_or(*place);
            }
            let reclaimable = keyed(line, b"slab_reclaimable")?;
            found.kernel_reclaimable = reclaimable.unwrap_or(found.kernel_reclaimable);
            Ok(())
        })?;
        let Some((anon, all)) = anon.zip(all) else {
            return Err(self.stat.lacks("memory.stat has no anon or no file"));
        };
        found.anon = anon;
        cache.all = all;
        found.inactive_file = cache.inactive_file;
        found.shmem = cache.pinned();
        found.file = all.saturating_sub(found.shmem);
        // `kernel` is there since Linux 5.18; it does not include socket buffers.
        found.kernel = kernel.unwrap_or(parts).saturating_add(sock);
        Ok(Some(found))
    }

    fn events(&self) -> Result<GroupEvents> {
        let mut events = GroupEvents::default();
        self.events.lines(|line| {
            events.high = keyed(line, b"high")?.unwrap_or(events.high);
            events.max = keyed(line, b"max")?.unwrap_or(events.max);
            events.oom = keyed(line, b"oom")?.unwrap_or(events.oom);
            events.oom_kill = keyed(line, b"oom_kill")?.unwrap_or(events.oom_kill);
            Ok(())
        })?;
        Ok(events)
    }
}
