//! External sort: rows in, the same rows out in the order of some columns, whatever the budget.
//!
//! Rows are staged and sorted a chunk at a time. Chunks that memory holds are merged straight into
//! batches; when it does not, they are merged into a run on disk, and runs are merged at the end, in
//! as few passes as the budget allows. [`Sorter`] is the caller's handle while rows come,
//! [`SortedBatches`] while they are read; behind both is the engine, whose memory any thread may ask
//! for.

mod engine;
mod fill;
mod handle;
mod memory;
mod merge;
mod progress;
mod read;
mod rest;
mod spec;
mod spill;
mod totals;

pub use handle::{SortedBatches, Sorter};
pub use progress::{SortCanceller, SortProgress};
pub use spec::{SortSpec, minimum_sort_budget};
pub use totals::{SortSummary, SortTotals};
