//! `bywash group`: the rows of Parquet files grouped by columns, in one budget.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bywash::{
    Aggregate, ChargeMode, ColumnCombiner, CombineProgress, CombineSpec, GroupSpec, LedgerOptions,
    MemoryLedger, Metrics, SystemClock,
};
use serde::Serialize;

use crate::args::{GroupArgs, Memory};
use crate::auto_memory::AutoMemory;
use crate::auto_report::AutoReport;
use crate::explain::ExplainReport;
use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::metrics_file::MetricsFile;
use crate::parquet_file::ParquetFile;
use crate::process::ResidentPeak;
use crate::reader_share::reader_share;
use crate::report::{self, SpillDirUse};
use crate::shuffle::OVERHEAD_BYTES;
use crate::sizes::human_size;
use crate::spill_dirs::SpillPlan;
use crate::watch::Watch;

/// Runs the command.
pub(crate) fn run(args: &GroupArgs) -> Result<()> {
    args.memory.check_reserve(args.reserve)?;
    let input = Input::open(&args.inputs)?;
    let combine = CombineSpec::new().with_codec(args.codec);
    let by = input.columns(&args.by)?;
    let spec = GroupSpec::new(Arc::clone(input.schema()), &by, &aggregates(args, &input)?)?
        .with_combine(combine);
    let spill = SpillPlan::new(&args.spill_dir, args.spill_memory_backed)?;
    let needed = spec.minimum_budget()?;
    // Files in memory get a task's share of their own.
    let at_least = needed.saturating_mul(if spill.is_charged { 2 } else { 1 });
    let (budget, auto) = match args.memory {
        Memory::Size(bytes) => (bytes, None),
        Memory::Auto => {
            let auto = AutoMemory::find(args.reserve.unwrap_or(0), at_least, 1)?;
            (auto.capacity(), Some(auto))
        }
    };
    if budget < at_least {
        return Err(Failure::new(format!(
            "--memory {} is too little; give at least {}KiB",
            human_size(budget),
            at_least.div_ceil(1024)
        )));
    }
    let batch_rows = input.batch_rows();
    let share = reader_share(&input, 1, batch_rows);
    if share > OVERHEAD_BYTES {
        report::warn(&format!(
            "warning: the Parquet reader may take up to {} beside the budget of {} (bounded by the \
             largest row group in the footers); smaller row groups make it less",
            human_size(share),
            human_size(budget)
        ));
    }
    let metrics_file = args.metrics.as_deref().map(MetricsFile::new).transpose()?;
    let ledger = MemoryLedger::with_options(LedgerOptions {
        clock: Some(Arc::new(SystemClock::start())),
        ..LedgerOptions::new(budget)
    });
    let memory = ledger.admit(1, needed)?.pop();
    let memory = memory.ok_or_else(|| Failure::new("the ledger admitted no task"))?;
    let spill_dirs = spill.open(&ledger, 1)?;
    let metrics = Metrics::new(&ledger);
    metrics.watch_spill_dirs(&spill_dirs);
    let watch = Watch::default();
    let started = Instant::now();
    let done = watch.run("grouping", input.rows(), || {
        let mut combiner = ColumnCombiner::new(&spec, &memory, &spill_dirs)?;
        metrics.watch_column_combiner(&combiner);
        for batch in input.read(input.deal(1).into_iter().flatten().collect(), batch_rows) {
            let batch = batch?;
            combiner.write(&batch)?;
            if let Some(auto) = &auto {
                auto.poll(&ledger);
            }
            watch.advance(batch.num_rows());
        }
        let mut groups = combiner.finish(ChargeMode::Ledger)?;
        let mut file = ParquetFile::create(&args.out, groups.schema())?;
        for batch in groups.by_ref() {
            file.write(&batch?)?;
            if let Some(auto) = &auto {
                auto.poll(&ledger);
            }
        }
        Ok::<_, Failure>((file.publish()?, groups.progress()))
    });
    // Also, and above all, when it failed.
    let explain = args.explain.then(|| ExplainReport::of(&ledger.explain()));
    if let Some(explain) = explain.as_ref().filter(|_| !args.json || done.is_err()) {
        explain.print();
    }
    let written = metrics_file.map_or(Ok(()), |file| file.write(&metrics));
    let (file_bytes, progress) = done?;
    written?;
    let CombineProgress { records, groups, spilled_bytes, run_merges, depth, sorted_parts, .. } =
        progress;
    let report = GroupReport {
        rows: records,
        groups,
        file_bytes,
        out: args.out.clone(),
        budget_bytes: budget,
        auto: auto.as_ref().map(AutoMemory::report),
        granted_peak_bytes: ledger.peak_granted(),
        live_peak_bytes: ledger.peak_live(),
        reader_share_bytes: share,
        resident_anonymous_peak_bytes: watch.peak().anonymous(),
        resident_total_peak_bytes: ResidentPeak::total(),
        spills: progress.spills(),
        spilled_bytes,
        run_merges,
        depth,
        sorted_parts,
        spill_dirs: spill_dirs.dirs().iter().map(SpillDirUse::of).collect(),
        seconds: started.elapsed().as_secs_f64(),
        explain,
    };
    report::print(&report, args.json)
}

/// Sums, minima, maxima and counts, in this order.
fn aggregates(args: &GroupArgs, input: &Input) -> Result<Vec<Aggregate>> {
    let mut aggregates = Vec::new();
    let mut add = |names: &[String], aggregate: fn(usize) -> Aggregate| {
        aggregates.extend(input.columns(names)?.into_iter().map(aggregate));
        Ok::<_, Failure>(())
    };
    add(&args.sum, Aggregate::Sum)?;
    add(&args.min, Aggregate::Min)?;
    add(&args.max, Aggregate::Max)?;
    add(&args.count, Aggregate::Count)?;
    if args.count_rows {
        aggregates.push(Aggregate::CountRows);
    }
    Ok(aggregates)
}

/// What a group did and what it took.
#[derive(Debug, Serialize)]
struct GroupReport {
    rows: u64,
    groups: u64,
    file_bytes: u64,
    out: PathBuf,
    budget_bytes: u64,
    auto: Option<AutoReport>,
    granted_peak_bytes: u64,
    live_peak_bytes: u64,
    reader_share_bytes: u64,
    resident_anonymous_peak_bytes: u64,
    resident_total_peak_bytes: u64,
    spills: u64,
    spilled_bytes: u64,
    run_merges: u64,
    depth: u64,
    sorted_parts: u64,
    spill_dirs: Vec<SpillDirUse>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<ExplainReport>,
}

impl fmt::Display for GroupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rows              {}", self.rows)?;
        writeln!(f, "groups            {}", self.groups)?;
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
        writeln!(
            f,
            "spills            {}, {} written, {} levels deep, {} parts sorted",
            self.spills,
            human_size(self.spilled_bytes),
            self.depth,
            self.sorted_parts
        )?;
        writeln!(f, "time              {:.2} s", self.seconds)
    }
}
