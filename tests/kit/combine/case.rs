//! A random combine against a map.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bywash::{
    Codec, CombineProgress, CombineSpec, Combined, Combiner, Count, CountingSum, ErrorKind,
    KeyValues, MemoryLedger, Merge, Slices, TaskMemory,
};

use super::strain::{Strain, Strained};
use super::{Collect, Keys, Records, oracle, records};
use crate::case::admit;
use crate::dirs::Dirs;
use crate::search::Case;
use crate::seed::Rng;

/// What is made of the values of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merging {
    /// All of them.
    Collect,
    /// Their sum and number; values are 8 bytes.
    Sum,
    /// Their number.
    Count,
}

/// One combine.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings of a random case")]
pub struct CombineCase {
    /// Seed of the records.
    pub seed: u64,
    /// Records.
    pub records: usize,
    /// How keys are spread.
    pub keys: Keys,
    /// Bytes of a value at most.
    pub value_max: usize,
    /// What is made of them.
    pub merging: Merging,
    /// Bytes above the minimum.
    pub budget_above_minimum: u64,
    /// Calls after which the caller spills, in percent.
    pub spill_percent: u64,
    /// Calls, also while reading, after which all is reclaimed, in percent.
    pub reclaim_percent: u64,
    /// A thread that reclaims all the time.
    pub other_thread: bool,
    /// A hash that takes no keys apart.
    pub constant_hash: bool,
    /// Parts so small that few records reach every level.
    pub tiny: bool,
    /// How spills are compressed.
    pub codec: Codec,
    /// Combiners whose accumulators are combined again; 0 for none.
    pub map_sides: usize,
    /// Memory comes and goes during calls of the merge function.
    pub strained: bool,
}

/// What cases have reached.
#[derive(Debug, Default)]
pub struct Reached {
    /// Cases.
    pub cases: AtomicU64,
    /// Groups.
    pub groups: AtomicU64,
    /// Spills.
    pub spills: AtomicU64,
    /// Cases that were spilled a second level deep.
    pub second_level: AtomicU64,
    /// Cases that were spilled a third level deep.
    pub third_level: AtomicU64,
    /// Parts that were sorted by key.
    pub sorted_parts: AtomicU64,
    /// Merges of runs.
    pub run_merges: AtomicU64,
    /// Strained cases that went through.
    pub strained: AtomicU64,
    /// Strained cases with a group for which there was no memory.
    pub refused: AtomicU64,
    /// Cases with a group larger than a batch.
    pub large_groups: AtomicU64,
}

/// See [`Reached`].
pub static REACHED: Reached = Reached {
    cases: AtomicU64::new(0),
    groups: AtomicU64::new(0),
    spills: AtomicU64::new(0),
    second_level: AtomicU64::new(0),
    third_level: AtomicU64::new(0),
    sorted_parts: AtomicU64::new(0),
    run_merges: AtomicU64::new(0),
    strained: AtomicU64::new(0),
    refused: AtomicU64::new(0),
    large_groups: AtomicU64::new(0),
};

impl Case for CombineCase {
    fn random(rng: &mut Rng, _index: u64) -> Self {
        match rng.below(10) {
            0 => return Self::random_deep(rng),
            1 => return Self::random_large(rng),
            2 => return Self::random_growing(rng),
            _ => {}
        }
        let distinct =
            if rng.chance(50) { rng.within(1, 40_000) } else { rng.size(1, 40_000) as u64 };
        let keys = *rng.pick(&[Keys::Uniform(distinct), Keys::Hot(distinct), Keys::Zipf(distinct)]);
        let merging = *rng.pick(&[Merging::Collect, Merging::Sum, Merging::Count]);
        let constant_hash = rng.chance(15);
        let value_max = match merging {
            Merging::Collect => rng.size(0, 200),
            _ => 8,
        };
        // All values of a hot key must fit into memory.
        let most = if merging == Merging::Collect { 8_000 } else { 40_000 };
        Self {
            seed: rng.bits(),
            records: if rng.chance(50) { rng.index(most) } else { rng.size(0, most) },
            keys,
            value_max,
            merging,
            budget_above_minimum: *rng.pick(&[0, 0, 0, 1, 20_000, 60_000, 200_000, 1 << 20]),
            spill_percent: *rng.pick(&[0, 0, 5, 60]),
            reclaim_percent: *rng.pick(&[0, 0, 5, 60]),
            other_thread: rng.chance(10),
            constant_hash,
            tiny: rng.chance(70),
            codec: *rng.pick(&[Codec::Lz4, Codec::None, Codec::ZSTD]),
            map_sides: *rng.pick(&[0, 0, 1, 3]),
            strained: rng.chance(30),
        }
    }

    fn run(&self) -> Result<(), String> {
        let mut rng = Rng::new(self.seed);
        let mut records = records(&mut rng, self.records, self.keys, self.value_max);
        if self.merging != Merging::Collect {
            for (_, value) in &mut records {
                *value = (rng.bits().cast_signed() >> 20).to_le_bytes().to_vec();
            }
        }
        match self.merging {
            Merging::Collect => self.combine(&records, Collect, |values, accumulator| {
                let mut values = values.to_vec();
                values.sort();
                values == Collect::values(accumulator)
            }),
            Merging::Sum => self.combine(&records, CountingSum, |values, accumulator| {
                let word = |value: &[u8]| i64::from_le_bytes(value.try_into().expect("8 bytes"));
                let sum: i64 = values.iter().map(|value| word(value)).sum();
                let mut expected = sum.to_le_bytes().to_vec();
                expected.extend_from_slice(&(values.len() as u64).to_le_bytes());
                expected == accumulator
            }),
            Merging::Count => self.combine(&records, Count, |values, accumulator| {
                (values.len() as u64).to_le_bytes() == accumulator
            }),
        }
    }

    fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        let mut with = |change: fn(&mut Self), possible: bool| {
            if possible {
                let mut case = self.clone();
                change(&mut case);
                smaller.push(case);
            }
        };
        with(|case| case.records /= 2, self.records > 0);
        with(|case| case.records -= 1, self.records > 0);
        with(|case| case.strained = false, self.strained);
        with(|case| case.map_sides = 0, self.map_sides > 0);
        with(|case| case.other_thread = false, self.other_thread);
        with(|case| case.reclaim_percent = 0, self.reclaim_percent > 0);
        with(|case| case.spill_percent = 0, self.spill_percent > 0);
        with(|case| case.constant_hash = false, self.constant_hash);
        with(|case| case.codec = Codec::None, self.codec != Codec::None);
        with(|case| case.value_max /= 2, self.value_max > 8);
        smaller
    }
}

impl CombineCase {
    /// So many keys that no hash takes apart, in so little memory, that runs by key are merged while
    /// others are read.
    fn random_deep(rng: &mut Rng) -> Self {
        Self {
            seed: rng.bits(),
            records: 15_000 + rng.index(25_000),
            keys: Keys::Uniform(rng.within(10_000, 80_000)),
            value_max: 8,
            merging: *rng.pick(&[Merging::Sum, Merging::Count]),
            budget_above_minimum: *rng.pick(&[0, 60_000, 200_000, 1 << 20, 8 << 20]),
            spill_percent: *rng.pick(&[0, 20, 60]),
            reclaim_percent: *rng.pick(&[0, 0, 5]),
            other_thread: false,
            constant_hash: true,
            tiny: true,
            codec: *rng.pick(&[Codec::None, Codec::None, Codec::Lz4]),
            map_sides: *rng.pick(&[0, 0, 0, 2]),
            strained: rng.chance(80),
        }
    }

    /// Few keys whose accumulators grow out of their room again and again, while memory is taken away.
    fn random_growing(rng: &mut Rng) -> Self {
        let distinct = rng.within(20, 120);
        Self {
            seed: rng.bits(),
            records: rng.index(4_000),
            keys: Keys::Uniform(distinct),
            value_max: rng.size(4, 120),
            merging: Merging::Collect,
            budget_above_minimum: *rng.pick(&[20_000, 60_000, 200_000]),
            spill_percent: 0,
            reclaim_percent: 0,
            other_thread: false,
            constant_hash: false,
            tiny: true,
            codec: Codec::None,
            map_sides: 0,
            strained: true,
        }
    }

    /// Few groups, each larger than a batch.
    fn random_large(rng: &mut Rng) -> Self {
        let records = rng.size(1, 150);
        // Often no key comes twice.
        let distinct = if rng.chance(50) { u64::MAX } else { rng.within(1, records as u64) };
        Self {
            seed: rng.bits(),
            records,
            keys: Keys::Uniform(distinct),
            value_max: rng.size(2_000, 100_000),
            merging: Merging::Collect,
            budget_above_minimum: *rng.pick(&[0, 0, 60_000, 200_000, 1 << 20]),
            spill_percent: *rng.pick(&[0, 0, 0, 20]),
            reclaim_percent: *rng.pick(&[0, 0, 5]),
            other_thread: false,
            constant_hash: rng.chance(20),
            tiny: rng.chance(50),
            codec: *rng.pick(&[Codec::Lz4, Codec::None]),
            map_sides: *rng.pick(&[0, 0, 0, 2]),
            strained: rng.chance(30),
        }
    }

    fn combine<M: Merge + Copy + Send + 'static>(
        &self,
        records: &Records,
        merge: M,
        same: impl Fn(&[Vec<u8>], &[u8]) -> bool,
    ) -> Result<(), String> {
        let text = |error: bywash::Error| format!("{error} [{:?}]", error.kind());
        let mut spec = CombineSpec::new().with_codec(self.codec).with_seed(self.seed);
        if self.constant_hash {
            spec = spec.with_constant_hash();
        }
        if self.tiny {
            spec = spec.with_tiny_parts();
        }
        let dirs = Dirs::new();
        let minimum = spec.minimum_budget(&merge).map_err(text)?;
        let combiners = self.map_sides.max(1) as u64 + u64::from(self.map_sides > 0);
        let largest = self.room_for_largest(records);
        let most = (minimum + self.budget_above_minimum + largest) * combiners;
        let ledger = MemoryLedger::new(most);
        let mut rng = Rng::labelled(self.seed, &[1]);
        let stop = AtomicBool::new(false);
        let groups = std::thread::scope(|scope| {
            if self.other_thread {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        ledger.reclaim(u64::MAX);
                        std::thread::yield_now();
                    }
                });
            }
            let groups = self.groups(records, merge, &spec, &ledger, &dirs, &mut rng);
            stop.store(true, Ordering::Relaxed);
            groups
        });
        REACHED.large_groups.fetch_add(u64::from(largest > 0), Ordering::Relaxed);
        ledger.set_capacity(most);
        let groups = match groups {
            // Of what others hold a group that is larger than a part may miss some.
            Err(error)
                if self.strained && largest > 0 && error.kind() == ErrorKind::MemoryLimit =>
            {
                REACHED.refused.fetch_add(1, Ordering::Relaxed);
                return left(&ledger, dirs);
            }
            groups => groups.map_err(text)?,
        };
        let expected = oracle(records);
        if groups.len() != expected.len() {
            return Err(format!("{} groups where {} are right", groups.len(), expected.len()));
        }
        for (key, values) in &expected {
            let Some(found) = groups.get(key) else {
                return Err(format!("no group of {key:?}"));
            };
            if !same(values, found) {
                return Err(format!(
                    "the group of {key:?} is {found:?}; its values are {values:?}"
                ));
            }
        }
        if ledger.peak_granted() > most {
            return Err("more was granted than there is".to_owned());
        }
        left(&ledger, dirs)?;
        REACHED.strained.fetch_add(u64::from(self.strained), Ordering::Relaxed);
        REACHED.cases.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What groups need that are larger than what is there from birth.
    fn room_for_largest(&self, records: &Records) -> u64 {
        if self.merging != Merging::Collect {
            return 0;
        }
        let bytes = |values: &Vec<Vec<u8>>| values.iter().map(|value| value.len() + 4).sum();
        let groups = oracle(records);
        let largest: usize = groups.values().map(bytes).max().unwrap_or(0);
        if largest < 1000 {
            return 0;
        }
        let largest = largest as u64;
        if groups.len() == records.len() && self.map_sides == 0 {
            // None grows: as much as all take, and no more, if that is enough to read one.
            let all: u64 = groups.values().map(|values| bytes(values) as u64 + 4096).sum();
            return all.min(10 * largest).max(3 * largest + (64 << 10));
        }
        10 * largest + (64 << 10)
    }

    fn groups<M: Merge + Copy + Send + 'static>(
        &self,
        records: &Records,
        merge: M,
        spec: &CombineSpec,
        ledger: &MemoryLedger,
        dirs: &Dirs,
        rng: &mut Rng,
    ) -> bywash::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let minimum = spec.minimum_budget(&merge)?;
        let task = admit(ledger, minimum).expect("a task");
        let strain = self.strained.then(|| {
            let least = minimum * (self.map_sides.max(1) as u64 + u64::from(self.map_sides > 0));
            let rng = Rng::labelled(self.seed, &[2]);
            Strain::new(ledger, least, task.consumer("others"), rng)
        });
        let make = |task| {
            let merge = Strained { merge, strain: strain.clone() };
            Combiner::new(spec, merge, &task, &dirs.spill)
        };
        let mut last = make(task)?;
        if self.map_sides == 0 {
            self.write(&mut last, records, ledger, strain.as_ref(), rng)?;
        }
        let share = records.len().div_ceil(self.map_sides.max(1)).max(1);
        for part in records.chunks(share).take(self.map_sides) {
            let mut first = make(admit_next(ledger, minimum, strain.as_ref()))?;
            self.write(&mut first, &part.to_vec(), ledger, strain.as_ref(), rng)?;
            let mut combined = first.finish()?;
            while let Some(batch) = combined.next_batch()? {
                let keys: Vec<&[u8]> = batch.iter().map(|(key, _)| key).collect();
                let values: Vec<&[u8]> = batch.iter().map(|(_, value)| value).collect();
                let records = KeyValues::try_new(Slices::Each(&keys), Slices::Each(&values))?;
                last.write_accumulators(&records)?;
                self.disturb(ledger, strain.as_ref(), rng);
            }
        }
        self.read(last.finish()?, ledger, strain.as_ref(), rng)
    }

    fn write<M: Merge + Send + 'static>(
        &self,
        combiner: &mut Combiner<M>,
        records: &Records,
        ledger: &MemoryLedger,
        strain: Option<&Strain>,
        rng: &mut Rng,
    ) -> bywash::Result<()> {
        let mut left = &records[..];
        while !left.is_empty() {
            let (now, later) = left.split_at(rng.size(1, 2000).min(left.len()));
            left = later;
            let keys: Vec<&[u8]> = now.iter().map(|(key, _)| &key[..]).collect();
            let values: Vec<&[u8]> = now.iter().map(|(_, value)| &value[..]).collect();
            combiner.write(&KeyValues::try_new(Slices::Each(&keys), Slices::Each(&values))?)?;
            if rng.chance(self.spill_percent) {
                combiner.spill()?;
            }
            self.disturb(ledger, strain, rng);
        }
        Ok(())
    }

    fn read<M: Merge + Send + 'static>(
        &self,
        mut combined: Combined<M>,
        ledger: &MemoryLedger,
        strain: Option<&Strain>,
        rng: &mut Rng,
    ) -> bywash::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut groups = BTreeMap::new();
        self.disturb(ledger, strain, rng);
        while let Some(batch) = combined.next_batch()? {
            for (key, value) in batch.iter() {
                let before = groups.insert(key.to_vec(), value.to_vec());
                assert!(before.is_none(), "a key was given out twice");
            }
            self.disturb(ledger, strain, rng);
        }
        assert!(combined.next_batch()?.is_none(), "the end stays the end");
        count(&combined.progress());
        Ok(groups)
    }

    fn disturb(&self, ledger: &MemoryLedger, strain: Option<&Strain>, rng: &mut Rng) {
        if let Some(strain) = strain {
            strain.change();
        }
        if rng.chance(self.reclaim_percent) {
            ledger.reclaim(u64::MAX);
        }
        assert!(self.strained || ledger.over() == 0, "the budget holds");
    }
}

/// One more task beside those that hold memory. What is granted above a capacity that fell is no
/// promise's: an admission may be refused then, but not once all memory is back.
fn admit_next(ledger: &MemoryLedger, minimum: u64, strain: Option<&Strain>) -> TaskMemory {
    let strain = match (admit(ledger, minimum), strain) {
        (Err(_), Some(strain)) => strain,
        (task, _) => return task.expect("a task"),
    };
    strain.let_go();
    admit(ledger, minimum).expect("a task")
}

/// Fails if anything is left.
fn left(ledger: &MemoryLedger, dirs: Dirs) -> Result<(), String> {
    if (ledger.granted(), ledger.live()) != (0, 0) || dirs.spill.used_bytes() != 0 {
        return Err(format!("left: {:?}, {} B", ledger.holders(), dirs.spill.used_bytes()));
    }
    let left = dirs.close();
    if left.is_empty() { Ok(()) } else { Err(format!("files are left: {left:?}")) }
}

fn count(progress: &CombineProgress) {
    let add = |counter: &AtomicU64, value| counter.fetch_add(value, Ordering::Relaxed);
    add(&REACHED.groups, progress.groups);
    add(&REACHED.spills, progress.spills());
    add(&REACHED.second_level, u64::from(progress.depth > 1));
    add(&REACHED.third_level, u64::from(progress.depth > 2));
    add(&REACHED.sorted_parts, progress.sorted_parts);
    add(&REACHED.run_merges, progress.run_merges);
}
