//! One shuffle: written, spilled as the budget says, committed, read back charged, verified.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use bywash::{
    AttemptId, ChargeMode, Codec, MapId, MapOutput, OutputDir, OutputOptions, Partitioning,
    ShuffleSpec, ShuffleWriter, SpillDirs, Store, TaskMemory, WriteProgress,
};
use bywash_tests::spark_hash::partition_ids;

use crate::failure::{Result, fail};
use crate::gate::GATE;
use crate::input::{Input, Shape, digest, row_hashes};
use crate::spills;

/// What one task does at a time.
pub(crate) struct Job {
    input: Arc<Input>,
    pub(crate) spec: ShuffleSpec,
    /// The partition of every row of every batch.
    ids: Vec<Vec<u32>>,
    /// How often the input's batches are written.
    rounds: u64,
    out: Arc<OutputDir>,
    out_path: PathBuf,
}

/// What a task needs besides the job.
pub(crate) struct Bench<'a> {
    pub(crate) task: &'a TaskMemory,
    pub(crate) spill_dirs: &'a Arc<SpillDirs>,
    /// Bytes of batches a reader keeps at most, as a consumer behind it would.
    pub(crate) kept_bytes: usize,
    /// Rows and digest of each partition; long enough for every job.
    pub(crate) expected: Vec<(u64, u64)>,
}

impl Job {
    /// A shuffle of about `bytes` of `input`; its output goes to `out_path`.
    pub(crate) fn new(
        input: &Arc<Input>,
        codec: Codec,
        partitions: u32,
        bytes: u64,
        store: Arc<dyn Store>,
        out_path: PathBuf,
    ) -> Result<Self> {
        let (partitioning, ids) = match input.shape {
            Shape::Narrow => {
                let ids = |batch| partition_ids(batch, &[0], partitions);
                (Partitioning::Hash(vec![0]), input.batches.iter().map(ids).collect())
            }
            shape => {
                let id = |&hash: &u64| {
                    // Nine rows of ten are in one partition when skewed.
                    let rare = shape != Shape::Skewed || hash % 10 == 0;
                    let spread = (u128::from(hash) * u128::from(partitions)) >> 64;
                    if rare { u32::try_from(spread).unwrap_or(0) } else { partitions / 2 }
                };
                let ids = |hashes: &Vec<u64>| hashes.iter().map(id).collect();
                (Partitioning::Ids, input.hashes.iter().map(ids).collect())
            }
        };
        let spec = ShuffleSpec::new(Arc::clone(&input.schema), partitions, partitioning);
        let out = OutputDir::open(store, &out_path, OutputOptions::default()).map_err(fail)?;
        Ok(Self {
            input: Arc::clone(input),
            spec: spec.map_err(fail)?.with_codec(codec),
            ids,
            rounds: bytes.div_ceil(input.bytes).max(1),
            out,
            out_path,
        })
    }

    /// What it is, for the report.
    pub(crate) fn label(&self) -> String {
        let (shape, codec) = (self.input.shape.name(), self.spec.codec());
        format!("{shape}/{codec}/{}", self.spec.partitions())
    }

    /// Bytes it shuffles.
    pub(crate) fn bytes(&self) -> u64 {
        self.rounds * self.input.bytes
    }

    /// Runs it to its end; its files are gone then.
    pub(crate) fn run(&self, bench: &mut Bench<'_>) -> Result<WriteProgress> {
        let named = |error: Box<str>| fail(format!("{}: {error}", self.label()));
        let (output, progress) = self.write(bench).map_err(named)?;
        let read = self.read(&output, bench).map_err(named);
        GATE.call(|| drop(output));
        read?;
        remove_files(&self.out_path)?;
        Ok(progress)
    }

    fn write(&self, bench: &mut Bench<'_>) -> Result<(MapOutput, WriteProgress)> {
        let partitions = self.spec.partitions() as usize;
        bench.expected[..partitions].fill((0, 0));
        let (map, attempt) = (MapId(0), AttemptId(0));
        let mut writer = call(|| {
            let (spill, out) = (bench.spill_dirs, &self.out);
            ShuffleWriter::new(&self.spec, bench.task, spill, out, map, attempt)
        })?;
        let by_hash = self.input.shape == Shape::Narrow;
        for _ in 0..self.rounds {
            let batches = self.input.batches.iter().zip(&self.ids).zip(&self.input.hashes);
            for ((batch, ids), hashes) in batches {
                call(|| {
                    if by_hash { writer.write(batch) } else { writer.write_with_ids(batch, ids) }
                })?;
                for (&id, &hash) in ids.iter().zip(hashes) {
                    let (rows, sum) = &mut bench.expected[id as usize];
                    *rows += 1;
                    *sum = digest(*sum, hash);
                }
            }
        }
        let progress = writer.canceller();
        let output = call(|| writer.finish())?;
        let figures = progress.progress();
        GATE.call(|| drop(progress));
        Ok((output, figures))
    }

    fn read(&self, output: &MapOutput, bench: &Bench<'_>) -> Result<()> {
        let mut kept = VecDeque::new();
        let mut kept_bytes = 0;
        for partition in 0..self.spec.partitions() {
            let (mut rows, mut sum) = (0u64, 0);
            let mut reader = call(|| output.read(partition, bench.task, ChargeMode::Ledger))?;
            while let Some(batch) = call(|| reader.next().transpose())? {
                row_hashes(&batch, |hash| {
                    rows += 1;
                    sum = digest(sum, hash);
                })?;
                kept_bytes += keep(&mut kept, batch);
                while kept_bytes > bench.kept_bytes || kept.len() > KEPT_MAX {
                    kept_bytes -= forget(&mut kept);
                }
            }
            GATE.call(|| drop(reader));
            let expected = bench.expected[partition as usize];
            if (rows, sum) != expected {
                let (found, expected) = (rows, expected.0);
                return Err(fail(format!(
                    "partition {partition}: {found} rows were read of {expected} written, or others"
                )));
            }
        }
        while !kept.is_empty() {
            forget(&mut kept);
        }
        Ok(())
    }
}

fn keep(kept: &mut VecDeque<(RecordBatch, usize)>, batch: RecordBatch) -> usize {
    let bytes = batch.get_array_memory_size();
    kept.push_back((batch, bytes));
    bytes
}

/// Drops the oldest batch inside the gate: that takes away from the ledger.
fn forget(kept: &mut VecDeque<(RecordBatch, usize)>) -> usize {
    kept.pop_front().map_or(0, |(batch, bytes)| {
        GATE.call(|| drop(batch));
        bytes
    })
}

/// Batches a reader keeps at most.
const KEPT_MAX: usize = 128;

/// One call into the library.
fn call<T>(f: impl FnOnce() -> bywash::Result<T>) -> Result<T> {
    let result = GATE.call(f);
    spills::note_end();
    result.map_err(fail)
}

fn remove_files(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.is_file() {
            std::fs::remove_file(path).map_err(fail)?;
        }
    }
    Ok(())
}
