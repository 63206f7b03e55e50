//! Merging sorted rows: of chunks in memory, or of runs on disk through a few decoded blocks.
//!
//! ```text
//! run 0 ─► slot ─► lane 0 ┐                      ┌─► blocks of another run, or of a sink
//! run 1 ─► slot ─► lane 1 ├─ loser tree ─ picks ─┤
//! chunk 2 ───────► lane 2 ┘                      └─► record batches
//! ```
//!
//! A lane is where one source stands; picks are slices of chunks and slots in the order of their rows,
//! gathered column by column once there are enough. A slot that picks refer to is kept until then.
//! Equal rows come in the order of their lanes.

mod lane;
mod picker;
mod run;
mod slots;
mod wide;

pub(crate) use lane::Lane;
pub(crate) use picker::{Limits, Picker, Rows, Stop};
pub(crate) use run::{BlockReader, Loaded, SortedRun};
pub(crate) use slots::{Origin, Slots};
pub(crate) use wide::{compare_wide, wide_prefix};
