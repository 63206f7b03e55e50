//! What a sort sorts: schema, columns, codec of its runs.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bywash_core::codec::Codec;
use bywash_core::column::Layout;
use bywash_core::key::{SortColumn, SortKey, ViewRows};
use bywash_core::partition::{RangeBounds, RangeSample};
use bywash_core::{Error, ErrorKind, Figure, Result};

use super::memory::SortMemory;

/// The shape of a sort; cheap to clone.
#[derive(Debug, Clone)]
pub struct SortSpec {
    layout: Arc<Layout>,
    key: Arc<SortKey>,
    codec: Codec,
    runs_max: usize,
}

impl SortSpec {
    /// A sort of rows of `schema` by `columns`, the most significant first. Rows that are equal in all
    /// of them stay in the order they came in; without columns all rows do. Runs are written as they
    /// are, not compressed.
    ///
    /// # Errors
    /// `Unsupported`, naming the column, for a type that the engine does not take or that has no order;
    /// `InvalidArgument` for a column that is not there.
    pub fn new(schema: SchemaRef, columns: &[SortColumn]) -> Result<Self> {
        let layout = Arc::new(Layout::try_new(schema)?);
        let key = Arc::new(SortKey::try_new(&layout, columns)?);
        Ok(Self { layout, key, codec: Codec::None, runs_max: runs_max_default() })
    }

    /// The same sort with another codec of its runs.
    #[must_use]
    pub const fn with_codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// The same sort with at most so many runs, each an open file, before some are merged: 2 to 4096
    /// [default: 512, or half of the descriptors that the process may have where that is less]. Never
    /// more than there is room for in small budgets: 32 at the minimum. The default is for one sort of the
    /// process at a time: give several a part of the descriptors each.
    #[must_use]
    pub fn with_runs_max(mut self, runs: usize) -> Self {
        self.runs_max = runs.clamp(2, 4096);
        self
    }

    /// The schema.
    pub fn schema(&self) -> &SchemaRef {
        self.layout.schema()
    }

    /// The codec of the runs.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// How rows are ordered.
    pub const fn key(&self) -> &Arc<SortKey> {
        &self.key
    }

    /// Lets `sample` look at all rows of a batch: the first step of a sort over many partitions.
    ///
    /// # Errors
    /// `InvalidArgument` for a batch of another schema, or after rows of another sort.
    pub fn sample(&self, batch: &RecordBatch, sample: &mut RangeSample) -> Result<()> {
        self.layout.check_batch(batch)?;
        sample.add(&self.key, &ViewRows(&self.layout.views(batch)), batch.num_rows())
    }

    /// The partitions of a batch's rows by bounds determined of samples for the same columns, one for
    /// each place of `ids`: what a writer takes with the batch. Partitions that are each sorted by this
    /// follow one another in order.
    ///
    /// # Errors
    /// `InvalidArgument` for a batch of another schema or another number of rows than places, and for bounds of a sort by
    /// columns of other types, nullability, directions or places of nulls.
    pub fn partition_ids(
        &self,
        bounds: &RangeBounds,
        batch: &RecordBatch,
        ids: &mut [u32],
    ) -> Result<()> {
        self.layout.check_batch(batch)?;
        if ids.len() != batch.num_rows() {
            return Err(Error::invalid("there is not one place for the id of each row")
                .with(Figure::Expected, batch.num_rows())
                .with(Figure::Found, ids.len()));
        }
        bounds.partition_ids(&self.key, &ViewRows(&self.layout.views(batch)), 0, ids)
    }

    pub(crate) const fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub(crate) const fn runs_max(&self) -> usize {
        self.runs_max
    }
}

/// The least capacity of a ledger whose `tasks` tasks sort this at once, in bytes.
///
/// A ledger of exactly this works, whatever the rows; with one byte less a task is not admitted or its
/// sorter is not made. Only a row that is to come back in a batch needs room of its own where it is
/// larger than what staging takes.
///
/// # Errors
/// `InvalidArgument` for no tasks or a codec level out of range.
pub fn minimum_sort_budget(spec: &SortSpec, tasks: usize) -> Result<u64> {
    if tasks == 0 {
        return Err(Error::invalid("the number of tasks is at least 1"));
    }
    let each = SortMemory::minimum_bytes(spec)?;
    each.checked_mul(tasks as u64).ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, "so many tasks need more memory than can be counted")
            .with(Figure::Requested, each)
    })
}

/// What the process has room for now.
fn runs_max_default() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = limit.and_then(|limit| usize::try_from(limit / 2).ok());
    half.map_or(RUNS_MAX, |half| half.clamp(2, RUNS_MAX))
}

/// Runs kept before some are merged: an open file each.
const RUNS_MAX: usize = 512;
