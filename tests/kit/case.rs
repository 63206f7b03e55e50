//! One shuffle from batches to partitions, as plain numbers, against the oracle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use bywash::{
    AttemptId, ChargeMode, Codec, Error, FsStore, MapId, MapOutput, MemoryLedger, Partitioning,
    ShuffleSpec, ShuffleWriter, SpillOptions, TaskMemory, WriteProgress, minimum_budget,
};

use crate::dirs::Dirs;
use crate::generate::{ColumnPlan, Plan};
use crate::oracle::Oracle;
use crate::search::Case;
use crate::seed::Rng;
use crate::spark_hash::{is_hashable, partition_ids, random_hashable};

/// A shuffle of a random input with random settings.
#[derive(Debug, Clone)]
pub struct ShuffleCase {
    /// The input.
    pub plan: Plan,
    /// How many partitions.
    pub partitions: u32,
    /// Where rows go.
    pub placement: Placement,
    /// The codec.
    pub codec: Codec,
    /// Bytes of budget above the minimum.
    pub budget_above_minimum: u64,
    /// A forced spill after so many of 100 writes.
    pub spill_percent: u64,
    /// Whether spill files have names.
    pub named: bool,
    /// Whether batches read stay charged.
    pub charge: Charge,
}

/// Where rows go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// By the hash of the columns with these labels.
    Hash(Vec<u64>),
    /// By ids that the caller gives.
    Ids(IdShape),
}

/// What given ids look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdShape {
    /// All partitions alike.
    Uniform,
    /// All rows in the last partition.
    Last,
    /// Most in a few.
    Skewed,
    /// In ascending runs, as sorted input has.
    Runs,
}

/// [`ChargeMode`], complete, so that it can be compared and printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    /// Batches stay charged while they live.
    Ledger,
    /// Batches are the caller's.
    Detached,
}

impl Case for ShuffleCase {
    fn random(rng: &mut Rng, index: u64) -> Self {
        // Every twentieth case has very many partitions, others more than a little data.
        let partitions = match index % 20 {
            19 => PARTITIONS_MAX,
            0 => 1,
            _ => u32::try_from(rng.size(1, 3000)).expect("small"),
        };
        let (columns_max, rows_max) = match index % 20 {
            7 => (2, 400_000),
            3 | 13 => (4, 60_000),
            _ => (10, 6000),
        };
        let mut plan = Plan::random(rng, columns_max, rows_max);
        if index % 20 == 11 || index % 20 == 12 {
            // A few values that are larger than a chunk.
            let data_type = rng.pick(&[DataType::Utf8, DataType::LargeBinary]).clone();
            plan.columns.push(ColumnPlan {
                value_bytes_max: 400_000,
                ..ColumnPlan::plain(data_type, plan.columns.len() as u64)
            });
            plan.batch_rows = (0..rng.within(1, 4)).map(|_| rng.index(300)).collect();
        }
        let placement = if rng.chance(50) {
            let shapes = [IdShape::Uniform, IdShape::Last, IdShape::Skewed, IdShape::Runs];
            Placement::Ids(*rng.pick(&shapes))
        } else {
            let label = plan.columns.len() as u64;
            plan.columns.push(ColumnPlan::random(rng, random_hashable, label));
            let mut hashed: Vec<u64> = plan
                .columns
                .iter()
                .filter(|column| column.label == label || rng.chance(30))
                .filter(|column| is_hashable(&column.data_type))
                .map(|column| column.label)
                .collect();
            if rng.chance(50) {
                hashed.reverse();
            }
            Placement::Hash(hashed)
        };
        let mut budget_above_minimum =
            *rng.pick(&[0, 0, 0, 1, 100_000, 1 << 20, 8 << 20, 256 << 20]);
        if index % 20 == 7 {
            // So many rows at the minimum that there are more runs than are merged at once.
            plan.batch_rows.push(rng.index(200_000) + 200_000);
            budget_above_minimum = rng.below(2) * 10_000;
        }
        let codecs = [Codec::None, Codec::Lz4, Codec::Zstd { level: 1 }, Codec::Zstd { level: 3 }];
        Self {
            plan,
            partitions,
            placement,
            codec: *rng.pick(&codecs),
            budget_above_minimum,
            spill_percent: *rng.pick(&[0, 0, 20, 100]),
            named: rng.chance(30),
            charge: *rng.pick(&[Charge::Ledger, Charge::Detached]),
        }
    }

    fn run(&self) -> Result<(), String> {
        let input = self.input();
        let dirs = self.dirs();
        let minimum = minimum_budget(&input.spec, 1).map_err(text("minimum_budget"))?;
        let ledger = MemoryLedger::new(minimum + self.budget_above_minimum);
        let task = admit(&ledger, minimum)?;
        let output = self.write(&input, &dirs, &task)?;
        if let [left, ..] = &dirs.spill_files()[..] {
            return Err(format!("a spill file is left: {}", left.display()));
        }

        // Batches of long strings need more than a writer's minimum; reading has its own budget.
        let reading = MemoryLedger::new(READ_BUDGET);
        let reader = admit(&reading, 0)?;
        input.check(&output, &reader, self.charge.into())?;
        drop(output);
        drop((reader, task));
        for (name, ledger) in [("writing", &ledger), ("reading", &reading)] {
            let (granted, live) = (ledger.granted(), ledger.live());
            if granted != 0 || live != 0 {
                return Err(format!("{name}: {granted} granted and {live} live at the end"));
            }
            if ledger.peak_granted() > ledger.capacity() {
                return Err(format!("{name}: {} granted at the peak", ledger.peak_granted()));
            }
        }
        match &dirs.close()[..] {
            [] => Ok(()),
            left => Err(format!("left behind: {left:?}")),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        let mut cases: Vec<Self> =
            self.plan.smaller().into_iter().filter_map(|plan| self.with_plan(plan)).collect();
        for partitions in [1, self.partitions / 2, self.partitions - 1] {
            if partitions > 0 && partitions < self.partitions {
                cases.push(Self { partitions, ..self.clone() });
            }
        }
        if self.spill_percent > 0 {
            cases.push(Self { spill_percent: 0, ..self.clone() });
        }
        if self.named {
            cases.push(Self { named: false, ..self.clone() });
        }
        if self.codec != Codec::None {
            cases.push(Self { codec: Codec::None, ..self.clone() });
        }
        cases
    }
}

/// A case's data and what must come of them.
#[derive(Debug)]
pub struct Input {
    /// How it is shuffled.
    pub spec: ShuffleSpec,
    /// The batches in order.
    pub batches: Vec<RecordBatch>,
    /// The partition of every row of every batch.
    pub ids: Vec<Vec<u32>>,
    /// What must come back.
    pub oracle: Oracle,
}

impl Input {
    /// Reads all of `output` and compares it with the oracle.
    ///
    /// # Errors
    ///
    /// The first difference, or the engine's.
    pub fn check(
        &self,
        output: &MapOutput,
        reader: &TaskMemory,
        charge: ChargeMode,
    ) -> Result<(), String> {
        let partitions = self.spec.partitions();
        let rows: u64 = (0..partitions).map(|partition| output.rows(partition)).sum();
        if rows != output.total_rows() || rows != self.rows() {
            let (total, given) = (output.total_rows(), self.rows());
            return Err(format!("{given} rows written, {rows} in partitions, {total} in all"));
        }
        for partition in 0..partitions {
            let expected = self.oracle.row_count(partition) as u64;
            if output.rows(partition) != expected {
                let rows = output.rows(partition);
                return Err(format!("partition {partition}: {expected} rows, index says {rows}"));
            }
            let mut check = self.oracle.partition(partition);
            let read = output.read(partition, reader, charge).map_err(text("read"))?;
            for batch in read {
                check.next(&batch.map_err(text("next"))?)?;
            }
            check.end()?;
        }
        Ok(())
    }

    /// Rows of all batches.
    pub fn rows(&self) -> u64 {
        self.ids.iter().map(|ids| ids.len() as u64).sum()
    }
}

impl ShuffleCase {
    /// Rows of a key and a string in batches of these sizes, with ids of `shape`, at the minimum.
    pub fn simple(seed: u64, batch_rows: Vec<usize>, shape: IdShape) -> Self {
        let types = [DataType::Int64, DataType::Utf8];
        let columns = (0..).zip(types).map(|(label, t)| ColumnPlan::plain(t, label)).collect();
        Self {
            plan: Plan { seed, columns, batch_rows, metadata: false },
            partitions: 13,
            placement: Placement::Ids(shape),
            codec: Codec::Lz4,
            budget_above_minimum: 0,
            spill_percent: 0,
            named: false,
            charge: Charge::Ledger,
        }
    }

    /// The data.
    pub fn input(&self) -> Input {
        let schema = self.plan.schema();
        let batches = self.plan.batches();
        let (partitioning, ids): (_, Vec<Vec<u32>>) = match &self.placement {
            Placement::Hash(labels) => {
                let place = |&label: &u64| {
                    let column = self.plan.columns.iter().position(|c| c.label == label);
                    column.expect("a hashed column stays")
                };
                let columns: Vec<usize> = labels.iter().map(place).collect();
                let ids = batches
                    .iter()
                    .map(|batch| partition_ids(batch, &columns, self.partitions))
                    .collect();
                (Partitioning::Hash(columns), ids)
            }
            Placement::Ids(shape) => {
                let ids = batches.iter().enumerate().map(|(index, batch)| {
                    let mut rng = Rng::labelled(self.plan.seed, &[u64::MAX, index as u64]);
                    shape.ids(&mut rng, batch.num_rows(), self.partitions)
                });
                (Partitioning::Ids, ids.collect())
            }
        };
        let oracle = Oracle::new(&schema, &batches, &ids, self.partitions);
        let spec = ShuffleSpec::new(schema, self.partitions, partitioning)
            .expect("types and arguments that are supported")
            .with_codec(self.codec);
        Input { spec, batches, ids, oracle }
    }

    /// Fresh directories as the case wants them.
    pub fn dirs(&self) -> Dirs {
        let options = SpillOptions { named: self.named, ..SpillOptions::default() };
        Dirs::with_store(Arc::new(FsStore::new()), options)
    }

    /// Writes the input with forced spills, and finishes.
    ///
    /// # Errors
    ///
    /// The engine's, with the call that failed.
    pub fn write(
        &self,
        input: &Input,
        dirs: &Dirs,
        task: &TaskMemory,
    ) -> Result<MapOutput, String> {
        let mut rng = Rng::labelled(self.plan.seed, &[u64::MAX - 1]);
        let mut writer =
            ShuffleWriter::new(&input.spec, task, &dirs.spill, &dirs.out, MapId(3), AttemptId(1))
                .map_err(text("new"))?;
        for (batch, ids) in input.batches.iter().zip(&input.ids) {
            match self.placement {
                Placement::Hash(_) => writer.write(batch),
                Placement::Ids(_) => writer.write_with_ids(batch, ids),
            }
            .map_err(text("write"))?;
            if rng.chance(self.spill_percent) {
                writer.spill().map_err(text("spill"))?;
            }
        }
        let progress = writer.canceller();
        let output = writer.finish().map_err(text("finish"))?;
        REACHED.note(&progress.progress());
        Ok(output)
    }

    fn with_plan(&self, plan: Plan) -> Option<Self> {
        let mut placement = self.placement.clone();
        if let Placement::Hash(labels) = &mut placement {
            labels.retain(|&label| plan.columns.iter().any(|column| column.label == label));
            if labels.is_empty() {
                return None;
            }
        }
        Some(Self { plan, placement, ..self.clone() })
    }
}

impl IdShape {
    /// Ids for `rows` rows.
    pub fn ids(self, rng: &mut Rng, rows: usize, partitions: u32) -> Vec<u32> {
        let few = partitions.min(3);
        let below = |rng: &mut Rng, bound: u32| {
            u32::try_from(rng.below(u64::from(bound))).expect("below a u32")
        };
        (0..rows)
            .map(|row| match self {
                Self::Last => partitions - 1,
                Self::Skewed if rng.chance(90) => below(rng, few),
                Self::Skewed | Self::Uniform => below(rng, partitions),
                Self::Runs => u32::try_from(row * partitions as usize / rows).expect("below"),
            })
            .collect()
    }
}

impl From<Charge> for ChargeMode {
    fn from(charge: Charge) -> Self {
        match charge {
            Charge::Ledger => Self::Ledger,
            Charge::Detached => Self::Detached,
        }
    }
}

/// What the cases of this process made the engine do: a property over cases that never spill says
/// little.
#[derive(Debug, Default)]
pub struct Reached {
    /// Cases that were written to the end.
    pub cases: AtomicU64,
    /// Rows.
    pub rows: AtomicU64,
    /// Cases with spills for want of memory.
    pub pressure: AtomicU64,
    /// Cases with forced spills that wrote something.
    pub request: AtomicU64,
    /// Cases with a row that did not fit a chunk.
    pub oversized_row: AtomicU64,
    /// Cases in which runs were merged before the end.
    pub run_merges: AtomicU64,
}

impl Reached {
    pub(crate) fn note(&self, progress: &WriteProgress) {
        let count = |counter: &AtomicU64, some: u64| {
            counter.fetch_add(u64::from(some > 0), Ordering::Relaxed);
        };
        count(&self.cases, 1);
        self.rows.fetch_add(progress.rows, Ordering::Relaxed);
        count(&self.pressure, progress.spills_pressure);
        count(&self.request, progress.spills_request);
        count(&self.oversized_row, progress.spills_oversized_row);
        count(&self.run_merges, progress.run_merges);
    }
}

/// One task alone in `ledger`.
///
/// # Errors
///
/// The ledger's.
pub fn admit(ledger: &MemoryLedger, minimum: u64) -> Result<TaskMemory, String> {
    let mut tasks = ledger.admit(1, minimum).map_err(text("admit"))?;
    tasks.pop().ok_or_else(|| "admit gave no task".to_owned())
}

fn text(call: &str) -> impl Fn(Error) -> String {
    move |error| format!("{call}: {error} [{:?}]", error.kind())
}

/// See [`Reached`].
pub static REACHED: Reached = Reached {
    cases: AtomicU64::new(0),
    rows: AtomicU64::new(0),
    pressure: AtomicU64::new(0),
    request: AtomicU64::new(0),
    oversized_row: AtomicU64::new(0),
    run_merges: AtomicU64::new(0),
};

const PARTITIONS_MAX: u32 = 100_000;
const READ_BUDGET: u64 = 64 << 20;
