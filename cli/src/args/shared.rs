//! What several commands are told alike: a memory budget, where to spill, what to report.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::failure::{Failure, Result};
use crate::sizes::{parse_positive_size, parse_size};

/// The memory budget of a command.
#[derive(Debug, Clone, Args)]
pub struct MemoryArgs {
    /// Memory budget of the whole command: a size, or auto.
    ///
    /// auto: what the limits of the container and the memory of the node leave beside what others
    /// hold, less --reserve and a margin of 64 MiB or a sixteenth of the tightest limit, whichever is
    /// more. It follows them while the command runs. The report says what was decided, and why.
    #[arg(long, value_parser = parse_memory, value_name = "SIZE|auto", allow_negative_numbers = true)]
    pub memory: Memory,
    /// With --memory auto: what to leave to others in the container, such as a JVM's heap or Python
    /// workers; what they hold already is a part of it.
    #[arg(long, value_parser = parse_size, value_name = "SIZE", allow_negative_numbers = true)]
    pub reserve: Option<u64>,
}

/// Where a command spills.
#[derive(Debug, Clone, Args)]
pub struct SpillArgs {
    /// Directory for spills; may be given several times [default: those on a disk of
    /// $BYWASH_SPILL_DIRS, else the first on a disk of /var/tmp, the system's directory for
    /// temporary files, the current one].
    #[arg(long, visible_alias = "dir", value_name = "SPILL")]
    pub spill_dir: Vec<PathBuf>,
    /// What becomes of a spill directory that is in memory (tmpfs and the like).
    #[arg(long, value_enum, default_value_t, value_name = "HOW")]
    pub spill_memory_backed: SpillMemoryBacked,
}

/// What a command tells at its end.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// Explain at the end who held the memory and why it spilled, on standard error, or in the
    /// JSON report under `explain`.
    #[arg(long)]
    pub explain: bool,
    /// Write metrics of memory, spill directories and the writers, sort or combiner to FILE at the
    /// end, as Prometheus text.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What becomes of a spill directory whose files are memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum SpillMemoryBacked {
    /// It is not used: spilling there frees no memory.
    #[default]
    Refuse,
    /// It is used after those on a disk; its files are charged to --memory, a share of which is
    /// kept for them as for a task more.
    Charge,
    /// It is used and its files are counted nowhere: in a container the kernel may kill the program.
    Unaccounted,
}

impl SpillMemoryBacked {
    /// The value as given on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Charge => "charge",
            Self::Unaccounted => "unaccounted",
        }
    }
}

/// What `--memory` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// So many bytes.
    Size(u64),
    /// What the container and the node leave.
    Auto,
}

impl MemoryArgs {
    /// As [`Memory::check_reserve`].
    pub(crate) fn check(&self) -> Result<()> {
        self.memory.check_reserve(self.reserve)
    }
}

impl Memory {
    /// Fails if something is to be left to others out of a budget that was given.
    pub(crate) fn check_reserve(self, reserve: Option<u64>) -> Result<()> {
        match (self, reserve) {
            (Self::Size(_), Some(_)) => Err(Failure::new(
                "--reserve goes with --memory auto; a size given as --memory is taken as it is",
            )),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(bytes) => bytes.fmt(f),
            Self::Auto => f.write_str(AUTO),
        }
    }
}

/// Parses a memory budget: a size above zero, or `auto`.
pub fn parse_memory(text: &str) -> Result<Memory, String> {
    if text.trim().eq_ignore_ascii_case(AUTO) {
        return Ok(Memory::Auto);
    }
    let size = parse_positive_size(text).map_err(|error| format!("{error}, or {AUTO}"))?;
    Ok(Memory::Size(size))
}

const AUTO: &str = "auto";
