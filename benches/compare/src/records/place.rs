//! Where everybody writes, and within what.

use std::path::PathBuf;
use std::str::FromStr;

use bywash_core::memory::{Area, MemoryLedger, page_bytes};

use crate::failure;

/// What is the same for all rivals beside their input.
#[derive(Debug)]
pub(crate) struct Place {
    /// Spills and outputs: one filesystem for all.
    pub(crate) dir: PathBuf,
    pub(crate) partitions: u32,
    pub(crate) memory: Memory,
}

impl Place {
    pub(crate) fn ledger(&self) -> MemoryLedger {
        match self.memory {
            Memory::Unlimited => MemoryLedger::unlimited(),
            Memory::Mebibytes(mebibytes) => MemoryLedger::new(mebibytes << 20),
        }
    }
}

/// Bytes that a run of anybody's touches, those of the page cache included.
const TOUCHED_MAX: usize = 5 << 30;

/// Touches as much memory as a run will and gives it back. A virtual machine's free memory goes back to its host within
/// seconds, and fetching it again would be in the time of whoever comes after a pause.
pub(crate) fn fetch_memory() -> failure::Result<()> {
    let tasks = MemoryLedger::unlimited().admit(1, 0)?;
    let consumer = tasks.first().ok_or("no task was admitted")?.consumer("fetched");
    let mut area = Area::try_new(&consumer, TOUCHED_MAX)?;
    area.iter_mut().step_by(page_bytes()).for_each(|byte| *byte = 1);
    Ok(())
}

/// A memory budget.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Memory {
    Unlimited,
    Mebibytes(u64),
}

impl Memory {
    /// As Spark's setting of its memory outside the heap; none is more than the records take.
    pub(crate) fn for_spark(self) -> String {
        match self {
            Self::Unlimited => "8g".into(),
            Self::Mebibytes(mebibytes) => format!("{mebibytes}m"),
        }
    }
}

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mebibytes = text.strip_suffix("MiB").and_then(|number| number.parse().ok());
        match mebibytes {
            Some(mebibytes) => Ok(Self::Mebibytes(mebibytes)),
            None if text == "none" => Ok(Self::Unlimited),
            None => Err(format!("{text:?}: a budget is none or a number with MiB")),
        }
    }
}
