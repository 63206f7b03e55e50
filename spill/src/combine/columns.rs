//! Combining the rows of batches: group by columns, with sums, minima, maxima and counts.

use std::iter::FusedIterator;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bywash_core::cast::{to_u32, to_usize};
use bywash_core::column::{ColumnView, Layout};
use bywash_core::combine::Merge;
use bywash_core::combine::columns::{Aggregate, Aggregates, BatchRoom, GroupKeys, GroupRows};
use bywash_core::memory::{Area, Array, ChargeMode, Consumer, TaskMemory};
use bywash_core::policy::CombineSizing;
use bywash_core::{Error, ErrorKind, Figure, Result};

use super::batch::{BatchBuffer, larger_area};
use super::handle::{CombineCanceller, Combined, Combiner};
use super::progress::{CombineProgress, Signals};
use super::records::{KeyValues, Slices};
use super::spec::CombineSpec;
use super::working_set::Beside;
use crate::spill_dirs::SpillDirs;

/// Rows turned into records at once.
const STEP: usize = 1024;
/// Bytes of their keys.
const KEY_BYTES: usize = 64 << 10;

/// What rows are grouped by, and what is made of each group; cheap to clone.
#[derive(Debug, Clone)]
pub struct GroupSpec {
    layout: Arc<Layout>,
    keys: GroupKeys,
    aggregates: Aggregates,
    output: SchemaRef,
    combine: CombineSpec,
}

/// Groups the rows of batches.
///
/// Rows are equal as SQL groups them: nulls are equal, all NaN are equal, -0.0 equals 0.0. As
/// [`Combiner`] in everything else.
///
/// ```
/// use std::sync::Arc;
///
/// use arrow_array::{Decimal128Array, Int64Array, RecordBatch, StringArray};
/// use bywash_core::combine::columns::Aggregate;
/// use bywash_core::memory::{ChargeMode, MemoryLedger};
/// use bywash_spill::{ColumnCombiner, FsStore, GroupSpec, SpillDirs, SpillOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let batch = RecordBatch::try_from_iter([
///     ("city", Arc::new(StringArray::from(vec!["Ulm", "Ulm", "Ulm"])) as _),
///     ("price", Arc::new(Int64Array::from(vec![5, 7, 9])) as _),
/// ])?;
/// let spec = GroupSpec::new(batch.schema(), &[0], &[Aggregate::Sum(1), Aggregate::CountRows])?;
/// assert_eq!(spec.output_schema().field(1).name(), "sum(price)");
///
/// let ledger = MemoryLedger::new(spec.minimum_budget()?);
/// let task = ledger.admit(1, spec.minimum_budget()?)?.remove(0);
/// let spills = [std::env::current_dir()?.join("groups-of-an-example")];
/// let spill_dirs = SpillDirs::open(Arc::new(FsStore::new()), &spills, SpillOptions::default())?;
///
/// let mut combiner = ColumnCombiner::new(&spec, &task, &spill_dirs)?;
/// combiner.write(&batch)?;
/// let groups = combiner.finish(ChargeMode::Ledger)?.collect::<Result<Vec<_>, _>>()?;
/// // Sums of integers are decimals of 38 digits.
/// let sum = Decimal128Array::from(vec![21]).with_precision_and_scale(38, 0)?;
/// assert_eq!(groups[0].column(1).as_ref(), &sum);
/// assert_eq!(groups[0].column(2).as_ref(), &Int64Array::from(vec![3]));
/// # drop(spill_dirs);
/// # std::fs::remove_dir_all(&spills[0])?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ColumnCombiner {
    spec: GroupSpec,
    combiner: Combiner<Aggregates>,
    scratch: Scratch,
    rows: GroupRows,
    /// Part of a batch may have been taken.
    is_failed: bool,
}

/// The groups of a finished [`ColumnCombiner`], as batches: the group columns, then the aggregates.
///
/// The memory of a batch is held from birth; those that the caller keeps, charged to the ledger or the
/// host, are replaced. Where that is in part only, batches are smaller. A batch of which not a row
/// fits is `BudgetHeldByCaller` if what the caller keeps would make room, else `MemoryLimit`: nothing
/// is lost, and the same groups come with a later call once there is memory. After another error, or
/// one of the combiner itself, it gives nothing more.
#[derive(Debug)]
pub struct GroupBatches {
    combined: Combined<Aggregates>,
    /// Groups of its last batch that were given out.
    taken: usize,
    rows: GroupRows,
    mode: ChargeMode,
    /// What the next batch takes, kept from the combiner's table while it is filled.
    room: BatchRoom,
    is_done: bool,
}

/// Records on their way into the combiner.
#[derive(Debug)]
struct Scratch {
    consumer: Consumer,
    parts: ScratchParts,
}

/// Its memory, made with the combiner.
#[derive(Debug)]
struct ScratchParts {
    keys: Area,
    /// Bytes of each key, then where each ends.
    lengths: Array<u32>,
    offsets: Array<i32>,
    values: Area,
}

impl GroupSpec {
    /// Groups rows of `schema` by columns, given by index, of any type that can be shuffled; by none
    /// of them all rows are one group, and without rows there is none.
    ///
    /// # Errors
    /// `InvalidArgument` for a column that is not there, `Unsupported`, naming it, for one whose
    /// type cannot be grouped or aggregated.
    pub fn new(schema: SchemaRef, by: &[usize], aggregates: &[Aggregate]) -> Result<Self> {
        let layout = Arc::new(Layout::try_new(schema)?);
        let keys = GroupKeys::try_new(&layout, by)?;
        let aggregates = Aggregates::try_new(&layout, aggregates)?;
        // Whether the batches that come out can be made is known now, not at the end.
        let rows = GroupRows::try_new(layout.schema(), keys.clone(), aggregates.clone())?;
        let output = Arc::clone(rows.schema());
        Ok(Self { layout, keys, aggregates, output, combine: CombineSpec::new() })
    }

    /// The same, spilled another way.
    #[must_use]
    pub const fn with_combine(mut self, combine: CombineSpec) -> Self {
        self.combine = combine;
        self
    }

    /// The columns that come out: the group columns as they are in the input, then an aggregate each,
    /// named `sum(column)`, `min(column)`, `max(column)`, `count(column)`, and `count` for rows. A name
    /// that an earlier column has gets `_2`, `_3` and so on.
    ///
    /// The metadata of group columns stays; the input schema's own does not, for it may speak of columns
    /// that are gone, and aggregates have none.
    pub const fn output_schema(&self) -> &SchemaRef {
        &self.output
    }

    /// The least capacity of a ledger with one task in which a combiner can be made and its groups
    /// read one batch after the other: the combiner's fixed parts, and what turns rows to records or
    /// groups to a batch. With one byte less it is not made.
    ///
    /// # Errors
    /// As [`CombineSpec::minimum_budget`].
    pub fn minimum_budget(&self) -> Result<u64> {
        let (smallest, _) = self.combine.sizings(self.aggregates.size(), 0)?;
        let scratch = ScratchSize::new(self, &self.rows()?).bytes_for(smallest);
        Ok(self.combine.minimum_budget(&self.aggregates)? + scratch)
    }

    fn rows(&self) -> Result<GroupRows> {
        GroupRows::try_new(self.layout.schema(), self.keys.clone(), self.aggregates.clone())
    }
}

impl ColumnCombiner {
    /// Makes a combiner and reserves its working set in `task`.
    ///
    /// # Errors
    /// As [`Combiner::new`].
    pub fn new(spec: &GroupSpec, task: &TaskMemory, spill_dirs: &Arc<SpillDirs>) -> Result<Self> {
        let rows = spec.rows()?;
        let (merge, size) = (spec.aggregates.clone(), ScratchSize::new(spec, &rows));
        let (combiner, parts) =
            Combiner::with_beside(&spec.combine, merge, task, spill_dirs, &size)?;
        // What it grows by, and batches: asked for beside the combiner, which spills for it.
        let consumer = task.consumer("group-rows");
        let scratch = Scratch { consumer, parts };
        Ok(Self { spec: spec.clone(), combiner, scratch, rows, is_failed: false })
    }

    /// Combines the rows of a batch of the spec's schema.
    ///
    /// # Errors
    /// `InvalidArgument` for another schema: nothing is taken and the combiner goes on; for a sum of
    /// more than 38 digits, or offsets that point outside their data, it does not. As
    /// [`Combiner::write`] else.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.is_failed {
            return Err(FAILED);
        }
        self.spec.layout.check_batch(batch)?;
        let written = self.write_rows(batch);
        self.is_failed = written.is_err();
        written
    }

    fn write_rows(&mut self, batch: &RecordBatch) -> Result<()> {
        let views = self.spec.layout.views(batch);
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = self.scratch.fill(&self.spec, &views, from, batch.num_rows() - from)?;
            self.combiner.write(&self.scratch.records(rows, self.spec.aggregates.width())?)?;
            from += rows;
        }
        Ok(())
    }

    /// Spills what is in memory; returns the bytes given back. Asks for no memory.
    ///
    /// # Errors
    /// As [`Combiner::write`].
    pub fn spill(&mut self) -> Result<u64> {
        self.combiner.spill()
    }

    /// Ends the input. Asks for no memory.
    ///
    /// # Errors
    /// As [`Combiner::write`]; `InvalidArgument` for [`ChargeMode::Host`] when no host lends the
    /// ledger its memory.
    pub fn finish(self, mode: ChargeMode) -> Result<GroupBatches> {
        if self.is_failed {
            return Err(FAILED);
        }
        self.scratch.consumer.check_charge(mode)?;
        let Self { combiner, scratch: Scratch { consumer, parts }, rows, .. } = self;
        let combined = combiner.finish()?;
        // Not the combiner's any more: what a spill of it gives back is told from what it holds.
        let room = BatchRoom::new(parts.keys.into_reservation().pass_to(&consumer)?);
        Ok(GroupBatches { combined, taken: 0, rows, mode, room, is_done: false })
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> CombineProgress {
        self.combiner.progress()
    }

    pub(super) const fn signals(&self) -> &Arc<Signals> {
        self.combiner.signals()
    }

    /// Something to cancel this combiner with, from any thread, also while it is read.
    pub fn canceller(&self) -> CombineCanceller {
        self.combiner.canceller()
    }
}

impl GroupBatches {
    /// The columns of the batches, as [`GroupSpec::output_schema`] says.
    pub const fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    /// What was done so far. Takes no lock.
    pub fn progress(&self) -> CombineProgress {
        self.combined.progress()
    }

    /// Has groups at hand; false when all were given out.
    fn fill(&mut self) -> Result<bool> {
        if self.taken < self.combined.batch().len() {
            return Ok(true);
        }
        self.taken = 0;
        Ok(self.combined.next_batch()?.is_some())
    }

    /// Makes a batch of the groups at hand. Those that there is no memory for are not taken: they come
    /// with the next call.
    fn make(&mut self) -> Result<RecordBatch> {
        let (batch, taken) = (self.combined.batch(), self.taken);
        let group = |row: usize| (batch.key(taken + row), batch.value(taken + row));
        let (bytes, rows) = batch.capacity();
        let (full, left) = (self.rows.bytes_max(bytes, rows), batch.len() - taken);
        self.room.take_back(full);
        let mut needed = self.rows.plan_within(left, group, full)?;
        if self.room.grow_now(needed).is_err() {
            needed = self.rows.plan_within(left, group, self.room.bytes())?;
            self.room.grow(needed)?;
        }
        let made = self.rows.batch(group, &mut self.room, self.mode)?;
        self.taken += self.rows.planned_rows();
        self.room.refill(full);
        Ok(made)
    }
}

impl Iterator for GroupBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let (next, goes_on) = match self.fill() {
            Ok(true) => {
                let made = self.make();
                let goes_on = made.as_ref().map_or_else(loses_nothing, |_| true);
                (Some(made), goes_on)
            }
            Ok(false) => (None, false),
            Err(error) => (Some(Err(error)), false),
        };
        if !goes_on {
            self.is_done = true;
            self.room.clear();
        }
        next
    }
}

impl FusedIterator for GroupBatches {}

/// Whether groups that a batch could not be made of can be had once there is memory.
fn loses_nothing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::MemoryLimit | ErrorKind::BudgetHeldByCaller)
}

/// How large a [`Scratch`] is.
struct ScratchSize<'a> {
    rows: &'a GroupRows,
    /// Bytes of an accumulator.
    width: usize,
}

impl<'a> ScratchSize<'a> {
    const fn new(spec: &GroupSpec, rows: &'a GroupRows) -> Self {
        Self { rows, width: spec.aggregates.width() }
    }

    /// Bytes for keys: no fewer than a batch of groups takes, for it is made in their place.
    fn key_bytes(&self, sizing: CombineSizing) -> usize {
        let (bytes, rows) = BatchBuffer::capacity_for(sizing.batch_bytes, sizing.batch_rows);
        KEY_BYTES.max(to_usize(self.rows.bytes_max(bytes, rows)))
    }
}

impl Beside for ScratchSize<'_> {
    type Parts = ScratchParts;

    fn bytes_for(&self, sizing: CombineSizing) -> u64 {
        Area::len_for(self.key_bytes(sizing)) as u64
            + Array::<u32>::bytes_for(STEP)
            + Array::<i32>::bytes_for(STEP + 1)
            + Area::len_for(STEP * self.width) as u64
    }

    fn make(&self, sizing: CombineSizing, consumer: &Consumer) -> Result<ScratchParts> {
        Ok(ScratchParts {
            keys: Area::try_new(consumer, self.key_bytes(sizing))?,
            lengths: Array::try_new(consumer, STEP)?,
            offsets: Array::try_new(consumer, STEP + 1)?,
            values: Area::try_new(consumer, STEP * self.width)?,
        })
    }
}

impl Scratch {
    /// Turns as many rows as there is room for into records; returns how many.
    fn fill(
        &mut self,
        spec: &GroupSpec,
        views: &[ColumnView],
        from: usize,
        left: usize,
    ) -> Result<usize> {
        let Self { consumer, parts: ScratchParts { keys, lengths, offsets, values } } = self;
        let lengths = &mut lengths[..left.min(STEP)];
        spec.keys.lengths(views, from, lengths)?;
        let (mut rows, mut bytes) = (0, 0);
        for length in lengths.iter_mut() {
            let end = bytes + *length as usize;
            if end > keys.len() && rows > 0 {
                break;
            }
            // Where the key begins; writing it moves this to its end.
            *length = to_u32(bytes);
            (rows, bytes) = (rows + 1, end);
            if end > keys.len() {
                *keys = larger_area(consumer, end)?;
            }
        }
        let places = &mut lengths[..rows];
        spec.keys.write(views, from, places, keys)?;
        for (offset, end) in offsets[1..].iter_mut().zip(places.iter()) {
            *offset =
                i32::try_from(*end).map_err(|_| super::ONE_RECORD.with(Figure::RowBytes, *end))?;
        }
        let width = spec.aggregates.width();
        spec.aggregates.write(views, from, &mut values[..rows * width]);
        Ok(rows)
    }

    fn records(&self, rows: usize, width: usize) -> Result<KeyValues<'_>> {
        let ScratchParts { keys, offsets, values, .. } = &self.parts;
        let keys = Slices::Offsets { bytes: keys, offsets: &offsets[..=rows] };
        KeyValues::try_new(keys, Slices::Fixed { bytes: &values[..rows * width], width })
    }
}

const FAILED: Error = Error::new(
    ErrorKind::Poisoned,
    "an earlier batch of this combiner failed and may have been taken in part; retry the task",
);
