//! Records with equal keys into one, whatever the budget: map-side and reduce-side combine.
//!
//! ```text
//! write ─► table ─ full ─► run of level 0, by parts of the hash
//! finish: no runs ─► groups are given out from the table
//!         runs    ─► the table becomes the last run; then, part by part:
//!                    one run ─► its groups as they are
//!                    several ─► table, other hash ─ full ─► run of the next level
//!                               no level left, or the hash takes nothing apart ─► runs by key, merged
//! ```
//!
//! [`Combiner`] is the caller's handle while filling, [`Combined`] while reading. Behind both
//! [`engine::Engine`] holds every part, charged at birth; a lock keeps the caller's thread and
//! reclaiming ones apart.

mod batch;
mod columns;
mod engine;
mod frames;
mod handle;
mod level;
mod output;
mod progress;
mod records;
mod sorted;
mod spec;
mod totals;
mod working_set;

use bywash_core::{Error, ErrorKind};

pub use batch::CombinedBatch;
pub use columns::{ColumnCombiner, GroupBatches, GroupSpec};
pub use handle::{CombineCanceller, Combined, Combiner};
pub use progress::CombineProgress;
pub use records::{KeyValues, Slices};
pub use spec::CombineSpec;
pub use totals::{CombineSummary, CombineTotals};

const ONE_RECORD: Error = Error::new(
    ErrorKind::MemoryLimit,
    "a key and its accumulator are larger than the memory that can be had for them; raise the budget",
);
