//! Figures for operators: of the ledger, the spill directories, the writers, sorts and combiners, as
//! plain data and as Prometheus text.
//!
//! Owns: which metrics there are ([`GROUPS`], the one table that the text and docs/METRICS.md come
//! from), and the text. Does not own: the figures, which their owners count. Nothing here runs by
//! itself; the host asks when it is asked.
//!
//! ```
//! # use std::sync::Arc;
//! # use arrow_array::{Int64Array, RecordBatch};
//! # use arrow_schema::{DataType, Field, Schema};
//! # use bywash::{
//! #     AttemptId, FsStore, MapId, MemoryLedger, OutputDir, OutputOptions, Partitioning,
//! #     ShuffleSpec, ShuffleWriter, SpillDirs, SpillOptions, Store, default_spill_dirs,
//! # };
//! use bywash::Metrics;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let schema = Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, false)]));
//! # let spec = ShuffleSpec::new(schema.clone(), 16, Partitioning::Hash(vec![0]))?;
//! # let ledger = MemoryLedger::new(8 << 20);
//! # let task = ledger.admit(1, 0)?.remove(0);
//! # let dir = tempfile::tempdir()?;
//! # let store: Arc<dyn Store> = Arc::new(FsStore::new());
//! # let spill_dirs =
//! #     SpillDirs::open(store.clone(), &default_spill_dirs(&store)?.dirs, SpillOptions::default())?;
//! # let out = OutputDir::open(store, &dir.path().join("out"), OutputOptions::default())?;
//! // One for the process, told of what there is to watch; it keeps none of it alive.
//! let metrics = Metrics::new(&ledger);
//! metrics.watch_spill_dirs(&spill_dirs);
//!
//! let mut writer = ShuffleWriter::new(&spec, &task, &spill_dirs, &out, MapId(0), AttemptId(0))?;
//! metrics.watch_writer(&writer);
//! let keys = Int64Array::from_iter_values(0..100_000);
//! writer.write(&RecordBatch::try_new(schema, vec![Arc::new(keys)])?)?;
//! writer.spill()?;
//! writer.finish()?;
//!
//! // Whenever somebody asks: sums go on after a writer has ended.
//! let snapshot = metrics.snapshot();
//! assert_eq!(snapshot.writers.progress.rows, 100_000);
//! let text = snapshot.prometheus();
//! assert!(text.contains("\nbywash_write_rows_total 100000\n"));
//! assert!(text.contains("\nbywash_spills_total{cause=\"request\"} 1\n"));
//! # Ok(())
//! # }
//! ```

mod dirs;
mod families;
mod family;
mod prometheus;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bywash_core::combine::Merge;
use bywash_core::memory::{LedgerSnapshot, MemoryLedger};
use bywash_spill::{
    ColumnCombiner, CombineSummary, CombineTotals, Combiner, RecordWriter, ShuffleWriter,
    SortSummary, SortTotals, Sorter, SpillDirs, WriteSummary, WriteTotals,
};

pub use dirs::{SpillDirFigures, SpillFigures};
pub use families::{GROUPS, LABELS};
pub use family::{MetricFamily, MetricGroup, MetricKind, MetricLabel, MetricUnit, MetricValue};

/// The figures of a ledger, of spill directories, and of writers, sorts and combiners.
pub struct Metrics {
    ledger: MemoryLedger,
    spill_dirs: Mutex<Vec<Weak<SpillDirs>>>,
    writers: WriteTotals,
    sorts: SortTotals,
    combiners: CombineTotals,
}

/// All figures at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricsSnapshot {
    /// The ledger's.
    pub ledger: LedgerSnapshot,
    /// The spill directories'.
    pub spill: SpillFigures,
    /// Sums over the writers.
    pub writers: WriteSummary,
    /// Sums over the sorts.
    pub sorts: SortSummary,
    /// Sums over the combiners.
    pub combiners: CombineSummary,
}

impl Metrics {
    /// The metrics of `ledger`, and of what they are told of later. Holds the ledger, as its clones
    /// do.
    pub fn new(ledger: &MemoryLedger) -> Self {
        Self {
            ledger: ledger.clone(),
            spill_dirs: Mutex::new(Vec::new()),
            writers: WriteTotals::default(),
            sorts: SortTotals::default(),
            combiners: CombineTotals::default(),
        }
    }

    /// Adds spill directories, without keeping them open: what they counted is gone when they are.
    pub fn watch_spill_dirs(&self, spill_dirs: &Arc<SpillDirs>) {
        let added = Arc::downgrade(spill_dirs);
        let mut watched = self.spill_dirs.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|dirs| dirs.strong_count() > 0 && !dirs.ptr_eq(&added));
        watched.push(added);
    }

    /// Adds a writer to the sums, without keeping it alive; see [`WriteTotals::watch`].
    pub fn watch_writer(&self, writer: &ShuffleWriter) {
        self.writers.watch(writer);
    }

    /// As [`Metrics::watch_writer`], for a writer of records.
    pub fn watch_record_writer(&self, writer: &RecordWriter) {
        self.writers.watch_records(writer);
    }

    /// Adds a sort to the sums, without keeping it alive.
    pub fn watch_sorter(&self, sorter: &Sorter) {
        self.sorts.watch(sorter);
    }

    /// Adds a combiner to the sums, without keeping it alive.
    pub fn watch_combiner<M: Merge + Send + 'static>(&self, combiner: &Combiner<M>) {
        self.combiners.watch(combiner);
    }

    /// As [`Metrics::watch_combiner`], for a combiner of columns.
    pub fn watch_column_combiner(&self, combiner: &ColumnCombiner) {
        self.combiners.watch_columns(combiner);
    }

    /// All figures now. Waits for no writer; does no I/O, but for closing spill directories whose last
    /// other owner goes meanwhile. Allocates.
    pub fn snapshot(&self) -> MetricsSnapshot {
        let watched = self.spill_dirs.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut spill = SpillFigures::default();
        for (index, spill_dirs) in watched.iter().filter_map(Weak::upgrade).enumerate() {
            spill.add(&spill_dirs, index == 0);
        }
        MetricsSnapshot {
            ledger: self.ledger.snapshot(),
            spill,
            writers: self.writers.summary(),
            sorts: self.sorts.summary(),
            combiners: self.combiners.summary(),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
