//! The shuffle writers: rows in, one committed map output out, whatever the budget.
//!
//! [`ShuffleWriter`] and [`RecordWriter`] are the callers' handles. Behind them [`engine::Engine`] holds
//! every part a writer needs, all charged at birth; a lock keeps the caller's thread and reclaiming ones
//! apart. What batches and records do not have in common are the [`rows::Rows`] in it.

mod columns;
mod commit;
mod engine;
mod flush;
mod handle;
mod merge;
mod progress;
mod push;
mod record_writer;
mod records;
mod rows;
mod shuffle_writer;
mod totals;
mod working_set;
mod write_buffer;

pub(crate) use columns::Columns;
pub(crate) use flush::{write_file, write_run};
pub use handle::Canceller;
pub use progress::WriteProgress;
pub(crate) use progress::{Counters, Phase};
pub use push::PushedOutput;
pub use record_writer::RecordWriter;
pub(crate) use records::RecordRows;
pub use shuffle_writer::ShuffleWriter;
pub use totals::{WriteSummary, WriteTotals};
pub(crate) use working_set::{PartitionArrays, WorkingSet};
pub(crate) use write_buffer::{FileSink, WriteBuffer};
