//! One measured run of the engine: from making the writer to the committed map output.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bywash::{
    AttemptId, FsStore, MapId, MemoryBacked, MemoryLedger, OutputDir, OutputOptions, ShuffleSpec,
    ShuffleWriter, SpillDirs, SpillOptions, Store, WriteProgress, default_spill_dirs,
    minimum_budget,
};

use crate::clock::{Clock, Elapsed};
use crate::failure::{Result, fail};
use crate::source::Source;

/// What is the same for every run.
pub(crate) struct Plan<'a> {
    pub(crate) spec: &'a ShuffleSpec,
    /// Per batch; empty when the engine hashes.
    pub(crate) ids: Option<Ids>,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) output_dir: &'a Path,
}

/// What a run took.
pub(crate) struct ShuffleRun {
    pub(crate) time: Elapsed,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) granted_peak: u64,
    pub(crate) live_peak: u64,
    pub(crate) progress: WriteProgress,
}

/// Partition ids that look random and are the same in every run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    pub(crate) partitions: u32,
}

impl Ids {
    fn fill(self, first_row: u64, rows: usize, ids: &mut Vec<u32>) {
        ids.clear();
        let multiplier = u128::from(self.partitions);
        ids.extend((first_row..).take(rows).map(|row| {
            let spread = (row + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            u32::try_from((u128::from(spread) * multiplier) >> 64).unwrap_or(0)
        }));
    }
}

/// Where to measure when nothing is said.
pub(crate) fn first_on_a_disk() -> Result<PathBuf> {
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let found = default_spill_dirs(&store).map_err(fail)?;
    found.dirs.into_iter().next().ok_or_else(|| "no directory on a disk".into())
}

/// Shuffles the source once into a directory that is removed after the clock.
pub(crate) fn run(plan: &Plan<'_>, source: &Source) -> Result<ShuffleRun> {
    let dir = tempfile::Builder::new().prefix("run-").tempdir_in(plan.output_dir).map_err(fail)?;
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    // Who measures in memory wants to know how fast that is.
    let options =
        SpillOptions { memory_backed: MemoryBacked::Unaccounted, ..SpillOptions::default() };
    let spill =
        SpillDirs::open(Arc::clone(&store), &[dir.path().to_owned()], options).map_err(fail)?;
    let out = OutputDir::open(store, dir.path(), OutputOptions::default()).map_err(fail)?;
    let ledger = plan.memory_limit.map_or_else(MemoryLedger::unlimited, MemoryLedger::new);
    let minimum = minimum_budget(plan.spec, 1).map_err(fail)?;
    let task = ledger.admit(1, minimum).map_err(fail)?.pop().ok_or("no task was admitted")?;
    let mut rows = 0u64;
    let mut ids = Vec::new();

    let clock = Clock::start();
    let mut writer =
        ShuffleWriter::new(plan.spec, &task, &spill, &out, MapId(0), AttemptId(0)).map_err(fail)?;
    source.for_each(|batch| {
        match plan.ids {
            None => writer.write(batch).map_err(fail)?,
            Some(make) => {
                make.fill(rows, batch.num_rows(), &mut ids);
                writer.write_with_ids(batch, &ids).map_err(fail)?;
            }
        }
        rows += u64::try_from(batch.num_rows()).map_err(fail)?;
        Ok(())
    })?;
    let counters = writer.canceller();
    let output = writer.finish().map_err(fail)?;
    let time = clock.elapsed();

    if output.total_rows() != rows {
        return Err("the map output has another number of rows".into());
    }
    Ok(ShuffleRun {
        time,
        rows,
        bytes: output.total_bytes(),
        granted_peak: ledger.peak_granted(),
        live_peak: ledger.peak_live(),
        progress: counters.progress(),
    })
}
