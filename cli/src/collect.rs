//! `bywash collect`: map outputs of a finished shuffle back into one Parquet file.
//!
//! Rows come partition by partition and, in a partition, map output by map output, so the file is the
//! same for the same job. Row groups are closed by the bytes the Parquet writer holds.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bywash::{ChargeMode, FsStore, MapId, MapOutput, MemoryLedger, OutputDir, Store};
use serde::Serialize;

use crate::args::CollectArgs;
use crate::failure::{Failure, Result};
use crate::job::{Job, JobMap};
use crate::parquet_file::ParquetFile;
use crate::process::ResidentPeak;
use crate::report;
use crate::sizes::human_size;
use crate::watch::Watch;

/// Runs the command.
pub(crate) fn run(args: &CollectArgs) -> Result<()> {
    let job = Job::read(&args.dir)?;
    let partitions = match args.partition {
        None => 0..job.partitions,
        Some(partition) if partition < job.partitions => partition..partition + 1,
        Some(partition) => {
            return Err(Failure::new(format!(
                "there is no partition {partition}; the shuffle has {}, so give 0 to {}",
                job.partitions,
                job.partitions.saturating_sub(1)
            )));
        }
    };
    let ledger = MemoryLedger::new(args.memory);
    let memory =
        ledger.admit(1, 0)?.pop().ok_or_else(|| Failure::new("the ledger admitted no task"))?;
    let dir = open_finished(&args.dir)?;
    let outputs = job
        .map_outputs
        .iter()
        .map(|map| open_checked(&job, map, || MapOutput::open(&dir, MapId(map.map), &memory)))
        .collect::<Result<Vec<_>>>()?;
    let first = outputs.first().ok_or_else(|| Failure::new("the job names no map output"))?;

    let rows_total = partitions
        .clone()
        .flat_map(|partition| outputs.iter().map(move |output| output.rows(partition)))
        .sum();
    let watch = Watch::default();
    let started = Instant::now();
    let mut file = ParquetFile::create(&args.out, first.schema())?;
    file.warn_of_memory()?;
    let rows = watch.run("collecting", rows_total, || {
        let mut rows = 0u64;
        for partition in partitions {
            for output in &outputs {
                for batch in output.read(partition, &memory, ChargeMode::Ledger)? {
                    let batch = batch?;
                    file.write(&batch)?;
                    rows += batch.num_rows() as u64;
                    watch.advance(batch.num_rows());
                }
            }
        }
        Ok::<u64, Failure>(rows)
    })?;
    if rows != rows_total {
        return Err(Failure::new(format!("read {rows} rows where the index says {rows_total}")));
    }
    let report = CollectReport {
        rows,
        file_bytes: file.publish()?,
        budget_bytes: args.memory,
        granted_peak_bytes: ledger.peak_granted(),
        live_peak_bytes: ledger.peak_live(),
        resident_anonymous_peak_bytes: watch.peak().anonymous(),
        resident_total_peak_bytes: ResidentPeak::total(),
        seconds: started.elapsed().as_secs_f64(),
    };
    report::print(&report, args.json)
}

/// Opens the directory of a finished shuffle, to read only.
pub(crate) fn open_finished(dir: &Path) -> Result<Arc<OutputDir>> {
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    Ok(OutputDir::open_existing(store, dir)?)
}

/// Opens a map output and checks that it is the one the job names.
pub(crate) fn open_checked(
    job: &Job,
    map: &JobMap,
    open: impl FnOnce() -> bywash::Result<MapOutput>,
) -> Result<MapOutput> {
    let output = open()?;
    let same = output.attempt().0 == map.attempt
        && output.partitions() == job.partitions
        && output.total_rows() == map.rows
        && output.total_bytes() == map.bytes;
    if !same {
        return Err(Failure::new(format!("map output {} is not the one job.json names", map.map)));
    }
    Ok(output)
}

/// What a collect did and what it took.
#[derive(Debug, Serialize)]
struct CollectReport {
    rows: u64,
    file_bytes: u64,
    budget_bytes: u64,
    granted_peak_bytes: u64,
    live_peak_bytes: u64,
    resident_anonymous_peak_bytes: u64,
    resident_total_peak_bytes: u64,
    seconds: f64,
}

impl fmt::Display for CollectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rows              {}", self.rows)?;
        writeln!(f, "file              {}", human_size(self.file_bytes))?;
        writeln!(f, "budget            {}", human_size(self.budget_bytes))?;
        writeln!(f, "granted peak      {}", human_size(self.granted_peak_bytes))?;
        writeln!(f, "live peak         {}", human_size(self.live_peak_bytes))?;
        writeln!(
            f,
            "resident peak     {} anonymous (sampled), {} in all (kernel)",
            human_size(self.resident_anonymous_peak_bytes),
            human_size(self.resident_total_peak_bytes)
        )?;
        writeln!(f, "time              {:.2} s", self.seconds)
    }
}
