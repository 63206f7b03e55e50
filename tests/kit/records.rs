//! Opaque records: calls made from numbers, a naive oracle, and one case from writing to reading.

use std::collections::BTreeMap;
use std::sync::Arc;

use bywash::{
    AttemptId, ChargeMode, Codec, FsStore, MapId, MemoryLedger, RecordOutput, RecordSpec,
    RecordWriter, Result, SpillOptions, TaskMemory,
};

use crate::case::{Charge, IdShape, REACHED, admit};
use crate::dirs::Dirs;
use crate::search::Case;
use crate::seed::Rng;

/// The records of one call.
#[derive(Debug, Clone, Default)]
pub struct RecordCall {
    /// What the records lie in.
    pub base: Vec<u8>,
    /// Where each begins.
    pub offsets: Vec<u64>,
    /// Bytes of each.
    pub lengths: Vec<u32>,
    /// The partition of each.
    pub partitions: Vec<u32>,
}

impl RecordCall {
    /// Records one after another.
    pub fn of<'a>(records: impl IntoIterator<Item = (u32, &'a [u8])>) -> Self {
        let mut call = Self::default();
        for (partition, record) in records {
            call.offsets.push(call.base.len() as u64);
            call.lengths.push(u32::try_from(record.len()).expect("a record's length"));
            call.partitions.push(partition);
            call.base.extend_from_slice(record);
        }
        call
    }

    /// Gives them to a writer.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, writer: &mut RecordWriter) -> Result<()> {
        writer.write(&self.base, &self.offsets, &self.lengths, &self.partitions)
    }

    /// Its records and their partitions.
    pub fn records(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let places = self.offsets.iter().zip(&self.lengths);
        places.zip(&self.partitions).map(|((&offset, &length), &partition)| {
            let start = usize::try_from(offset).expect("an offset");
            (partition, &self.base[start..start + length as usize])
        })
    }
}

/// What must come back: every partition's records in order.
#[derive(Debug, Default)]
pub struct RecordOracle {
    partitions: BTreeMap<u32, Vec<Vec<u8>>>,
    none: Vec<Vec<u8>>,
}

impl RecordOracle {
    /// Of these calls.
    pub fn new(calls: &[RecordCall]) -> Self {
        let mut oracle = Self::default();
        for (partition, record) in calls.iter().flat_map(RecordCall::records) {
            oracle.partitions.entry(partition).or_default().push(record.to_vec());
        }
        oracle
    }

    /// A partition's records.
    pub fn partition(&self, partition: u32) -> &[Vec<u8>] {
        self.partitions.get(&partition).unwrap_or(&self.none)
    }

    /// Records in all.
    pub fn rows(&self) -> u64 {
        self.partitions.values().map(|records| records.len() as u64).sum()
    }

    /// Reads all of `output` and compares.
    ///
    /// # Errors
    /// The first difference, or the engine's.
    pub fn check(
        &self,
        output: &RecordOutput,
        reader: &TaskMemory,
        charge: ChargeMode,
    ) -> Result<(), String> {
        if output.total_rows() != self.rows() {
            return Err(format!("{} records of {}", output.total_rows(), self.rows()));
        }
        for partition in 0..output.partitions() {
            let expected = self.partition(partition);
            if output.rows(partition) != expected.len() as u64 {
                let rows = output.rows(partition);
                return Err(format!("partition {partition}: {} not {rows}", expected.len()));
            }
            if expected.is_empty() && output.bytes(partition) == 0 && partition > READ_EMPTY {
                continue;
            }
            let mut expected = expected.iter();
            for records in output.read(partition, reader, charge).map_err(text("read"))? {
                let records = records.map_err(text("next"))?;
                let offsets = records.offsets();
                let whole = offsets.first() == Some(&0)
                    && offsets.last().map(|&end| end as usize) == Some(records.bytes().len());
                if !whole || offsets.len() != records.len() + 1 || records.is_empty() {
                    return Err(format!("partition {partition}: odd offsets {offsets:?}"));
                }
                for (index, record) in records.iter().enumerate() {
                    if expected.next().is_none_or(|expected| expected != record)
                        || records.get(index) != Some(record)
                    {
                        return Err(format!("partition {partition}: another record"));
                    }
                }
            }
            if expected.next().is_some() {
                return Err(format!("partition {partition}: records are missing"));
            }
        }
        Ok(())
    }
}

/// How a call's records lie in their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// One after another.
    Adjoining,
    /// With gaps between them, last first.
    Scattered,
    /// All from the same bytes.
    Overlapping,
}

/// How long records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    /// All so long.
    Fixed(usize),
    /// Up to so long, short ones as likely as long ones.
    UpTo(usize),
    /// Up to 40 bytes, and one in so many up to so long.
    OneIn(u64, usize),
}

/// A shuffle of random records with random settings.
#[derive(Debug, Clone)]
pub struct RecordCase {
    /// Where the bytes come from.
    pub seed: u64,
    /// Records of each call.
    pub calls: Vec<usize>,
    /// How long they are.
    pub lengths: Lengths,
    /// How they lie.
    pub lie: Lie,
    /// How many partitions.
    pub partitions: u32,
    /// Where they go.
    pub shape: IdShape,
    /// The codec.
    pub codec: Codec,
    /// Bytes of budget above the minimum.
    pub budget_above_minimum: u64,
    /// A forced spill after so many of 100 calls.
    pub spill_percent: u64,
    /// A forced spill at so many records.
    pub threshold_records: Option<u64>,
    /// A forced spill at so many bytes.
    pub threshold_bytes: Option<u64>,
    /// Whether spill files have names.
    pub named: bool,
    /// Whether records read stay charged.
    pub charge: Charge,
}

impl RecordCase {
    /// Records of one call, a few, at the minimum.
    pub fn plain(lengths: Lengths, calls: &[usize]) -> Self {
        Self {
            seed: 1,
            calls: calls.to_vec(),
            lengths,
            lie: Lie::Adjoining,
            partitions: 13,
            shape: IdShape::Uniform,
            codec: Codec::Lz4,
            budget_above_minimum: 0,
            spill_percent: 0,
            threshold_records: None,
            threshold_bytes: None,
            named: false,
            charge: Charge::Ledger,
        }
    }

    /// What it writes.
    pub fn spec(&self) -> RecordSpec {
        let mut spec = RecordSpec::new(self.partitions).expect("a spec").with_codec(self.codec);
        if let Some(records) = self.threshold_records {
            spec = spec.with_spill_threshold_records(records);
        }
        if let Some(bytes) = self.threshold_bytes {
            spec = spec.with_spill_threshold_bytes(bytes);
        }
        spec
    }

    /// The data.
    pub fn input(&self) -> Vec<RecordCall> {
        let calls = self.calls.iter().enumerate();
        calls.map(|(index, &records)| self.call(index as u64, records)).collect()
    }

    fn call(&self, index: u64, records: usize) -> RecordCall {
        let mut rng = Rng::labelled(self.seed, &[index]);
        let partitions = self.shape.ids(&mut rng, records, self.partitions);
        let lengths: Vec<usize> = (0..records)
            .map(|_| match self.lengths {
                Lengths::Fixed(bytes) => bytes,
                Lengths::UpTo(bytes) => rng.size(0, bytes),
                Lengths::OneIn(rare, bytes) if rng.below(rare) == 0 => rng.index(bytes + 1),
                Lengths::OneIn(..) => rng.index(41),
            })
            .collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let total: usize = lengths.iter().sum();
        let (mut base_bytes, gap) = match self.lie {
            Lie::Adjoining => (total, 0),
            Lie::Scattered => (total + 3 * records, 3),
            Lie::Overlapping => (longest + 17, 0),
        };
        base_bytes = base_bytes.max(1);
        let mut base = Vec::with_capacity(base_bytes + 72);
        // What hardly gets smaller is compressed another way than what does: noise alone, and with words between.
        let phrase_percent = *rng.pick(&[0, 40, 60]);
        while base.len() < base_bytes {
            if rng.chance(phrase_percent) {
                base.extend_from_slice(b"all work and no play makes a dull record");
            }
            for _ in 0..4 {
                base.extend_from_slice(&u64::to_le_bytes(rng.bits() & 0x0000_ffff_ffff_ffff));
            }
        }
        base.truncate(base_bytes);
        let mut end = if self.lie == Lie::Scattered { base_bytes } else { 0 };
        let offsets = lengths.iter().map(|&length| match self.lie {
            Lie::Adjoining => {
                end += length;
                end - length
            }
            Lie::Scattered => {
                end -= length + gap;
                end
            }
            Lie::Overlapping => rng.index(base_bytes - length + 1),
        });
        let offsets = offsets.map(|offset| offset as u64).collect();
        let lengths = lengths.iter().map(|&length| u32::try_from(length).expect("a length"));
        RecordCall { base, offsets, lengths: lengths.collect(), partitions }
    }

    /// Fresh directories as the case wants them.
    pub fn dirs(&self) -> Dirs {
        let options = SpillOptions { named: self.named, ..SpillOptions::default() };
        Dirs::with_store(Arc::new(FsStore::new()), options)
    }

    /// Writes the calls with forced spills, and finishes.
    ///
    /// # Errors
    /// The engine's, with the call that failed.
    pub fn write(
        &self,
        calls: &[RecordCall],
        dirs: &Dirs,
        task: &TaskMemory,
    ) -> Result<RecordOutput, String> {
        let mut rng = Rng::labelled(self.seed, &[u64::MAX]);
        let spec = self.spec();
        let mut writer =
            RecordWriter::new(&spec, task, &dirs.spill, &dirs.out, MapId(3), AttemptId(1))
                .map_err(text("new"))?;
        for call in calls {
            call.write(&mut writer).map_err(text("write"))?;
            if rng.chance(self.spill_percent) {
                writer.spill().map_err(text("spill"))?;
            }
        }
        let progress = writer.canceller();
        let output = writer.finish().map_err(text("finish"))?;
        REACHED.note(&progress.progress());
        Ok(output)
    }
}

impl Case for RecordCase {
    fn random(rng: &mut Rng, index: u64) -> Self {
        let partitions = match index % 20 {
            19 => 1 << 24,
            0 => 1,
            _ => u32::try_from(rng.size(1, 3000)).expect("small"),
        };
        let shapes = [IdShape::Uniform, IdShape::Last, IdShape::Skewed, IdShape::Runs];
        let codecs = [Codec::None, Codec::Lz4, Codec::Zstd { level: 1 }];
        let lengths = [
            Lengths::Fixed(0),
            Lengths::Fixed(8),
            Lengths::Fixed(104),
            Lengths::UpTo(300),
            Lengths::UpTo(20_000),
            Lengths::OneIn(500, 100_000),
            Lengths::OneIn(2000, 900_000),
        ];
        let lengths = *rng.pick(&lengths);
        let records_max = match lengths {
            Lengths::Fixed(_) | Lengths::UpTo(300) => 60_000,
            _ => 4000,
        };
        let mut calls: Vec<usize> =
            (0..rng.within(0, 12)).map(|_| rng.size(0, records_max)).collect();
        let mut budgets = vec![0, 0, 0, 1, 100_000, 1 << 20, 8 << 20, 256 << 20];
        if index % 20 == 7 {
            // So many at the minimum that there are more runs than are merged at once.
            calls.push(300_000);
            budgets.truncate(3);
        }
        let large = calls.iter().sum::<usize>() > 200_000;
        Self {
            seed: rng.bits(),
            calls,
            lengths: if large { Lengths::Fixed(104) } else { lengths },
            lie: *rng.pick(&[Lie::Adjoining, Lie::Scattered, Lie::Overlapping]),
            partitions,
            shape: *rng.pick(&shapes),
            codec: *rng.pick(&codecs),
            budget_above_minimum: *rng.pick(&budgets),
            spill_percent: *rng.pick(&[0, 0, 20, 100]),
            threshold_records: rng.chance(15).then(|| rng.within(2000, 100_000)),
            threshold_bytes: rng.chance(15).then(|| rng.within(100_000, 4_000_000)),
            named: rng.chance(30),
            charge: *rng.pick(&[Charge::Ledger, Charge::Detached]),
        }
    }

    fn run(&self) -> Result<(), String> {
        let calls = self.input();
        let oracle = RecordOracle::new(&calls);
        let dirs = self.dirs();
        let minimum = self.spec().minimum_budget(1).map_err(text("minimum_budget"))?;
        let ledger = MemoryLedger::new(minimum + self.budget_above_minimum);
        let task = admit(&ledger, minimum)?;
        let output = self.write(&calls, &dirs, &task)?;
        if let [left, ..] = &dirs.spill_files()[..] {
            return Err(format!("a spill file is left: {}", left.display()));
        }
        let reading = MemoryLedger::new(READ_BUDGET);
        let reader = admit(&reading, 0)?;
        oracle.check(&output, &reader, self.charge.into())?;
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
        let mut cases = Vec::new();
        for index in 0..self.calls.len() {
            let mut calls = self.calls.clone();
            calls.remove(index);
            cases.push(Self { calls, ..self.clone() });
            let mut calls = self.calls.clone();
            if calls[index] > 0 {
                calls[index] /= 2;
                cases.push(Self { calls, ..self.clone() });
            }
        }
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

fn text(what: &'static str) -> impl Fn(bywash::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// Empty partitions up to here are read too.
const READ_EMPTY: u32 = 1000;
/// For the reader of a case: several records of the largest size and its index.
const READ_BUDGET: u64 = 512 << 20;
