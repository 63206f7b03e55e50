//! The shuffle writer: rows in, one committed map output out, whatever the budget.
//!
//! [`ShuffleWriter`] is the caller's handle. Behind it [`engine::Engine`] holds every part a writer
//! needs, all charged at birth; a lock keeps the caller's thread and reclaiming ones apart.

mod commit;
mod engine;
mod flush;
mod handle;
mod merge;
mod oversized;
mod progress;
mod push;
mod totals;
mod working_set;
mod write_buffer;

pub(crate) use flush::write_file;
pub use handle::{Canceller, ShuffleWriter};
pub use progress::WriteProgress;
pub use push::PushedOutput;
pub use totals::{WriteSummary, WriteTotals};
pub(crate) use working_set::{PartitionArrays, WorkingSet};
pub(crate) use write_buffer::{FileSink, WriteBuffer};
