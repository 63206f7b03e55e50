//! Spark's RadixSort, in its own virtual machine, called as its shuffle writer calls it.

use std::time::Duration;

use super::room::Room;
use crate::failure::Result;
use crate::jvm::Jvm;
use crate::rounds::{Rival, Run};

#[derive(Debug)]
pub(crate) struct Spark {
    jvm: Jvm,
    pages: Pages,
}

/// What Java's heap lies on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pages {
    /// What it takes if nothing is said.
    AsShipped,
    /// Huge pages, as ours.
    Huge,
}

impl Spark {
    pub(crate) fn start(room: &Room, pages: Pages) -> Result<Self> {
        // The words, the scratch and room around them; touched before the clock.
        let heap = format!("{}m", ((room.len() * 16) >> 20) * 3 / 2 + 512);
        let (least, most) = (format!("-Xms{heap}"), format!("-Xmx{heap}"));
        let mut options = vec![&*least, &*most, "-XX:+AlwaysPreTouch", "-XX:+UseSerialGC"];
        if matches!(pages, Pages::Huge) {
            options.push("-XX:+UseTransparentHugePages");
        }
        let mut jvm = Jvm::start("RadixHarness", &options, &[])?;
        jvm.ask(&format!("words {} {} {}", room.len(), room.partitions(), room.sorts()))?;
        Ok(Self { jvm, pages })
    }
}

impl Rival for Spark {
    fn name(&self) -> String {
        match self.pages {
            Pages::AsShipped => "Spark RadixSort".into(),
            Pages::Huge => "Spark RadixSort, huge pages".into(),
        }
    }

    fn run(&mut self) -> Result<Run> {
        match *self.jvm.ask("run")? {
            [nanoseconds, digest] => Ok(Run { time: Duration::from_nanos(nanoseconds), digest }),
            _ => Err("the harness answers a run with its time and the digest".into()),
        }
    }
}
