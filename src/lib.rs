//! Bywash: a shuffle engine that cannot overflow its memory budget.
//!
//! Arrow batches go in, are partitioned under a hard budget with spills, are committed as a map
//! output, and come back partition by partition in the order they were written.
//!
//! ```
//! use std::path::PathBuf;
//! use std::sync::Arc;
//!
//! use arrow_array::{Int64Array, RecordBatch};
//! use arrow_schema::{DataType, Field, Schema};
//! use bywash::{
//!     AttemptId, ChargeMode, Codec, FsStore, MapId, MemoryLedger, OutputDir, OutputOptions,
//!     Partitioning, ShuffleSpec, ShuffleWriter, SpillDirs, SpillOptions, Store, default_spill_dirs,
//!     minimum_budget,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let schema = Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, false)]));
//! let spec = ShuffleSpec::new(schema.clone(), 16, Partitioning::Hash(vec![0]))?
//!     .with_codec(Codec::Lz4);
//!
//! // One ledger for the process; its tasks share it and can never hold more.
//! let tasks = 1;
//! let ledger = MemoryLedger::new(minimum_budget(&spec, tasks)?.max(8 << 20));
//! let task = ledger.admit(tasks, minimum_budget(&spec, 1)?)?.remove(0);
//!
//! let dir = tempfile::tempdir()?;
//! let store: Arc<dyn Store> = Arc::new(FsStore::new());
//! // On a disk: spilling to a filesystem in memory, as /tmp often is, would free none.
//! let spills: Vec<PathBuf> = default_spill_dirs(&store)?.dirs;
//! let spill_dirs = SpillDirs::open(store.clone(), &spills, SpillOptions::default())?;
//! let out = OutputDir::open(store, &dir.path().join("out"), OutputOptions::default())?;
//!
//! let mut writer = ShuffleWriter::new(&spec, &task, &spill_dirs, &out, MapId(0), AttemptId(0))?;
//! let keys = Int64Array::from_iter_values(0..1000);
//! writer.write(&RecordBatch::try_new(schema, vec![Arc::new(keys)])?)?;
//! let output = writer.finish()?;
//!
//! let mut rows = 0;
//! for partition in 0..output.partitions() {
//!     for batch in output.read(partition, &task, ChargeMode::Ledger)? {
//!         rows += batch?.num_rows();
//!     }
//! }
//! assert_eq!(rows, 1000);
//! assert!(ledger.peak_granted() <= ledger.capacity());
//! # Ok(())
//! # }
//! ```
//!
//! On the same ledger and spill directories, each with an example of its own:
//!
//! - [`RecordWriter`] and [`RecordOutput`]: opaque records (bytes and a partition id) the same way.
//! - [`Sorter`]: rows of batches in order. Over several partitions: [`SortSpec::sample`] into a
//!   [`RangeSample`] for each input, [`RangeBounds::determine`], [`SortSpec::partition_ids`] for
//!   [`ShuffleWriter::write_with_ids`], and a sort of each partition.
//! - [`ColumnCombiner`]: rows of batches grouped by columns, with sums, minima, maxima and counts.
//! - [`Combiner`]: records with equal keys into one, by a merge function ([`Merge`]).
//!
//! Those examples import from `bywash_core` and `bywash_spill`, whose parts they are; here it is all in
//! `bywash`.
//!
//! What the words mean and which crate owns what is in ARCHITECTURE.md; the bytes on disk are in
//! docs/FORMAT.md; which partition a row goes to is in docs/PARTITIONING.md.

mod default_dirs;
pub mod metrics;
mod std_ports;

pub use bywash_core::block::Records;
pub use bywash_core::codec::Codec;
pub use bywash_core::combine::columns::Aggregate;
pub use bywash_core::combine::{AccumulatorSize, Concat, Count, CountingSum, Merge};
pub use bywash_core::key::SortColumn;
pub use bywash_core::memory::{
    ChargeMode, Consumer, Explanation, Exported, HolderReport, LedgerOptions, LedgerSnapshot,
    MemoryLedger, Party, Reclaimed, Reservation, Spill, SpillCause, SpillRecord, SpillScope,
    Spillable, TaskMemory, TaskReport, WaitCanceller,
};
pub use bywash_core::partition::{RangeBounds, RangeSample, SparkHash, pmod};
pub use bywash_core::port::{ByteSource, Clock, MemoryParent, Park, PartitionSink};

/// What the container, its node and its mounts allow.
pub use bywash_node as node;

pub use bywash_core::{AttemptId, Error, ErrorKind, Figure, MapId, Result};
pub use bywash_spill::{
    Canceller, DirCondition, DirIndex, DirReport, FsStore, MapOutput, MemoryBacked, OutputDir,
    OutputDirs, OutputOptions, PARTITIONS_MAX, PartitionReader, Partitioning, PushedOutput,
    RecordOutput, RecordReader, RecordSpec, RecordWriter, ShuffleSpec, ShuffleWriter, SpillDirs,
    SpillOptions, Store, SweepMode, SweepReport, SyncPolicy, UnusedDir, WriteProgress,
    WriteSummary, WriteTotals, check_disk_backed, max_tasks, minimum_budget,
};
pub use bywash_spill::{
    ColumnCombiner, CombineCanceller, CombineProgress, CombineSpec, CombineSummary, CombineTotals,
    Combined, CombinedBatch, Combiner, GroupBatches, GroupSpec, KeyValues, Slices,
};
pub use bywash_spill::{
    SortCanceller, SortProgress, SortSpec, SortSummary, SortTotals, SortedBatches, Sorter,
    minimum_sort_budget,
};
pub use default_dirs::{DefaultSpillDirs, default_spill_dirs};
pub use metrics::{Metrics, MetricsSnapshot};
pub use std_ports::{SystemClock, ThreadPark, waiting_ledger};
