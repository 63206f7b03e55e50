//! What a command took: its budget, its memory, its spill directories and its time, as plain data for
//! `--json` and the same as text.

use std::fmt;

use bywash::DirReport;
use serde::{Deserialize, Serialize};

use crate::auto_report::AutoReport;
use crate::explain::ExplainReport;
use crate::sizes::human_size;

/// What a command under a budget took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resources {
    /// The memory budget; with `--memory auto` what was found at the start.
    pub budget_bytes: u64,
    /// How `--memory auto` found it and what became of it.
    pub auto: Option<AutoReport>,
    /// The most that was granted at once.
    pub granted_peak_bytes: u64,
    /// The most that was allocated at once.
    pub live_peak_bytes: u64,
    /// Bound of the Parquet readers' memory, which is outside of the budget.
    pub reader_share_bytes: u64,
    /// The most anonymous memory of the process at any sample, taken every few milliseconds.
    pub resident_anonymous_peak_bytes: u64,
    /// The kernel's high-water mark of the process, file pages of the program included.
    pub resident_total_peak_bytes: u64,
    /// The directories that were spilled to.
    pub spill_dirs: Vec<SpillDirUse>,
    /// Wall time of the work, reading and writing of Parquet included.
    pub seconds: f64,
    /// Where the memory went, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explain: Option<ExplainReport>,
}

/// A spill directory and what went there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpillDirUse {
    /// Its path.
    pub path: String,
    /// What it is on, and where that is mounted.
    pub filesystem: String,
    /// Whether its files are memory.
    pub in_memory: bool,
    /// Bytes written there.
    pub written_bytes: u64,
}

impl Resources {
    /// The lines about spill directories.
    pub(crate) fn fmt_spill_dirs(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for dir in &self.spill_dirs {
            let kind = dir.filesystem.split(' ').next().unwrap_or_default();
            writeln!(f, "  {kind:<15} {} to {}", human_size(dir.written_bytes), dir.path)?;
        }
        Ok(())
    }
}

impl SpillDirUse {
    /// What a directory says of itself.
    pub fn of(dir: &DirReport) -> Self {
        Self {
            path: dir.path.to_string(),
            filesystem: dir.filesystem.to_string(),
            in_memory: dir.filesystem.is_memory_backed(),
            written_bytes: dir.written_bytes_total,
        }
    }
}

/// The lines about memory.
impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "budget            {}", human_size(self.budget_bytes))?;
        if let Some(auto) = &self.auto {
            write!(f, "{auto}")?;
        }
        writeln!(f, "granted peak      {}", human_size(self.granted_peak_bytes))?;
        writeln!(f, "live peak         {}", human_size(self.live_peak_bytes))?;
        writeln!(
            f,
            "resident peak     {} anonymous (sampled), {} in all (kernel)",
            human_size(self.resident_anonymous_peak_bytes),
            human_size(self.resident_total_peak_bytes)
        )?;
        writeln!(
            f,
            "parquet readers   at most {}, outside of the budget",
            human_size(self.reader_share_bytes)
        )
    }
}
