//! Bytes to disk and back for the Bywash shuffle engine.
//!
//! A [`ShuffleWriter`] takes batches and commits a [`MapOutput`], a [`RecordWriter`] takes opaque
//! records and commits a [`RecordOutput`]; [`SpillDirs`] hold its runs,
//! an [`OutputDir`] the result. Both stand on a [`Store`], the one door to the filesystem.

mod combine;
mod handle;
mod map_output;
mod merge;
mod names;
mod output_dir;
mod output_dirs;
mod quota;
mod reader;
mod record_spec;
mod run;
mod session;
mod sort;
mod spec;
mod spill_dirs;
mod store;
mod sums;
mod sweep;
mod writer;

pub use combine::{
    ColumnCombiner, CombineCanceller, CombineProgress, CombineSpec, CombineSummary, CombineTotals,
    Combined, CombinedBatch, Combiner, GroupBatches, GroupSpec, KeyValues, Slices,
};
pub use map_output::{
    INDEX_HEADER_BYTES, INDEX_MAGIC, INDEX_VERSION, MapOutput, RecordOutput, SCHEMA_BYTES_MAX,
    SCHEMA_HEADER_BYTES, SCHEMA_MAGIC, SCHEMA_VERSION, index_offset, schema_offset,
};
pub use names::{Token, index_name};
pub use output_dir::{OutputDir, OutputFile, OutputOptions, SyncPolicy};
pub use output_dirs::OutputDirs;
pub use reader::{PartitionReader, RecordReader};
pub use record_spec::RecordSpec;
pub use run::{PAGE_BYTES, PAGE_ENTRIES, page_offset};
pub use sort::{
    SortCanceller, SortProgress, SortSpec, SortSummary, SortTotals, SortedBatches, Sorter,
    minimum_sort_budget,
};
pub use spec::{PARTITIONS_MAX, Partitioning, ShuffleSpec, max_tasks, minimum_budget};
pub use spill_dirs::{
    DirCondition, DirIndex, DirMask, DirReport, MemoryBacked, SpillDirs, SpillFile, SpillOptions,
    UnusedDir, check_disk_backed,
};
pub use store::{
    Access, FsStore, Lock, Name, Publish, Store, StoreDir, StoreFile, StoreOp, read_exact_at,
    write_all_at,
};
pub use sweep::{IndexNames, SweepMode, SweepReport, sweep_outputs, sweep_sessions};
pub use writer::{
    Canceller, PushedOutput, RecordWriter, ShuffleWriter, WriteProgress, WriteSummary, WriteTotals,
};
