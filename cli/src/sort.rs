//! `bywash sort`: Parquet files into one Parquet file in the order of columns, inside a budget.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use bywash::{
    ChargeMode, LedgerOptions, MemoryLedger, Metrics, SortColumn, SortProgress, SortSpec, Sorter,
    SystemClock, minimum_sort_budget,
};
use serde::Serialize;

use crate::args::SortArgs;
use crate::explain::ExplainReport;
use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::metrics_file::MetricsFile;
use crate::parquet_file::ParquetFile;
use crate::process::ResidentPeak;
use crate::reader_share::reader_share;
use crate::report::{self, SpillCount, SpillDirUse};
use crate::shuffle::OVERHEAD_BYTES;
use crate::sizes::human_size;
use crate::spill_dirs::SpillPlan;
use crate::totals;
use crate::watch::Watch;

/// A column to sort by, as given: `COL[:asc|:desc][:nulls-first|:nulls-last]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    name: String,
    descending: bool,
    nulls_last: bool,
}

impl FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Names may have colons: only what is known is taken off the end.
        let (mut name, mut descending, mut nulls_last) = (text, None, None);
        while let Some((before, word)) = name.rsplit_once(':') {
            let taken = match word {
                "asc" | "desc" => descending.replace(word == "desc").is_none(),
                "nulls-first" | "nulls-last" => nulls_last.replace(word == "nulls-last").is_none(),
                _ => break,
            };
            if !taken {
                return Err(format!("`{text}` says twice how to sort"));
            }
            name = before;
        }
        if name.is_empty() {
            return Err(format!(
                "`{text}` names no column; write COL, COL:desc, COL:nulls-last or COL:desc:nulls-last"
            ));
        }
        let descending = descending.unwrap_or(false);
        Ok(Self { name: name.to_owned(), descending, nulls_last: nulls_last.unwrap_or(descending) })
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.descending { "desc" } else { "asc" };
        let nulls = if self.nulls_last { "nulls-last" } else { "nulls-first" };
        write!(f, "{}:{direction}:{nulls}", self.name)
    }
}

/// Runs the command.
pub(crate) fn run(args: &SortArgs) -> Result<()> {
    let input = Input::open(&args.inputs)?;
    let names: Vec<String> = args.by.iter().map(|by| by.name.clone()).collect();
    let columns: Vec<SortColumn> = input
        .columns(&names)?
        .into_iter()
        .zip(&args.by)
        .map(|(column, by)| SortColumn {
            column,
            descending: by.descending,
            nulls_last: by.nulls_last,
        })
        .collect();
    let spec = SortSpec::new(Arc::clone(input.schema()), &columns)?.with_codec(args.codec);
    let spill = SpillPlan::new(&args.spill_dir, args.spill_memory_backed)?;
    let needed = minimum_sort_budget(&spec, 1 + usize::from(spill.is_charged))?;
    if args.memory < needed {
        return Err(Failure::new(format!(
            "--memory {} is too little to sort these rows; give at least {}KiB",
            human_size(args.memory),
            needed.div_ceil(1024)
        )));
    }
    let batch_rows = input.batch_rows();
    let share = reader_share(&input, 1, batch_rows);
    if share > OVERHEAD_BYTES {
        report::warn(&format!(
            "warning: the Parquet reader may take up to {} beside the budget of {} (bounded by the \
             largest row group in the footers); smaller row groups make it less",
            human_size(share),
            human_size(args.memory)
        ));
    }
    // Refused now, not after all rows were sorted.
    let mut file = ParquetFile::create(&args.out, input.schema())?;
    let metrics_file = args.metrics.as_deref().map(MetricsFile::new).transpose()?;
    let ledger = MemoryLedger::with_options(LedgerOptions {
        clock: Some(Arc::new(SystemClock::start())),
        ..LedgerOptions::new(args.memory)
    });
    let task = ledger.admit(1, minimum_sort_budget(&spec, 1)?)?.pop();
    let task = task.ok_or_else(|| Failure::new("the ledger admitted no task"))?;
    let spill = spill.open(&ledger, 1)?;
    let metrics = Metrics::new(&ledger);
    metrics.watch_spill_dirs(&spill);

    let watch = Watch::default();
    let started = Instant::now();
    let sort = || {
        let mut sorter = Sorter::new(&spec, &task, &spill)?;
        metrics.watch_sorter(&sorter);
        for batch in input.read(input.deal(1).concat(), batch_rows) {
            let batch = batch?;
            sorter.write(&batch)?;
            watch.advance(batch.num_rows());
        }
        let mut sorted = sorter.finish(ChargeMode::Ledger)?;
        let mut rows = 0;
        for batch in sorted.by_ref() {
            let batch = batch?;
            file.write(&batch)?;
            rows += batch.num_rows() as u64;
        }
        Ok::<(u64, SortProgress), Failure>((rows, sorted.progress()))
    };
    let done = watch.run("sorting", input.rows(), sort);
    // Also, and above all, when the sort failed.
    let explain = args.explain.then(|| ExplainReport::of(&ledger.explain()));
    if let Some(explain) = explain.as_ref().filter(|_| !args.json || done.is_err()) {
        explain.print();
    }
    let written = metrics_file.map_or(Ok(()), |file| file.write(&metrics));
    let (rows, progress) = done?;
    written?;
    if rows != progress.write.rows {
        return Err(Failure::new(format!("{} rows went in, {rows} came out", progress.write.rows)));
    }
    let report = SortReport {
        rows,
        by: args.by.iter().map(By::to_string).collect(),
        input_bytes: progress.write.bytes,
        file_bytes: file.publish()?,
        budget_bytes: args.memory,
        granted_peak_bytes: ledger.peak_granted(),
        live_peak_bytes: ledger.peak_live(),
        reader_share_bytes: share,
        resident_anonymous_peak_bytes: watch.peak().anonymous(),
        resident_total_peak_bytes: ResidentPeak::total(),
        spills: totals::spill_counts(&progress.write),
        spilled_bytes: progress.write.spilled_bytes,
        runs: progress.runs,
        run_merges: progress.write.run_merges,
        passes: progress.passes,
        spill_dirs: spill.dirs().iter().map(SpillDirUse::of).collect(),
        seconds: started.elapsed().as_secs_f64(),
        explain,
    };
    report::print(&report, args.json)
}

/// What a sort did and what it took.
#[derive(Debug, Serialize)]
struct SortReport {
    rows: u64,
    by: Vec<String>,
    input_bytes: u64,
    file_bytes: u64,
    budget_bytes: u64,
    granted_peak_bytes: u64,
    live_peak_bytes: u64,
    reader_share_bytes: u64,
    resident_anonymous_peak_bytes: u64,
    resident_total_peak_bytes: u64,
    spills: Vec<SpillCount>,
    spilled_bytes: u64,
    /// Runs written by spills.
    runs: u64,
    /// Merges of runs before the last one.
    run_merges: u64,
    /// How often a row was merged from disk, at most.
    passes: u64,
    spill_dirs: Vec<SpillDirUse>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<ExplainReport>,
}

impl fmt::Display for SortReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rows              {}, {}", self.rows, human_size(self.input_bytes))?;
        writeln!(f, "by                {}", self.by.join(", "))?;
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
            "spilled           {} in {} runs, {} merges before the last, {} passes",
            human_size(self.spilled_bytes),
            self.runs,
            self.run_merges,
            self.passes
        )?;
        writeln!(f, "time              {:.2} s", self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_columns_as_they_are_written() {
        let by = |text: &str| text.parse::<By>().map(|by| by.to_string());
        assert_eq!(by("a").unwrap(), "a:asc:nulls-first");
        assert_eq!(by("a:desc").unwrap(), "a:desc:nulls-last");
        assert_eq!(by("a:desc:nulls-first").unwrap(), "a:desc:nulls-first");
        assert_eq!(by("a:nulls-last").unwrap(), "a:asc:nulls-last");
        assert_eq!(by("x:y:asc").unwrap(), "x:y:asc:nulls-first");
        assert!(by(":desc").unwrap_err().contains("COL:desc"));
        assert!(by("a:asc:desc").unwrap_err().contains("twice"));
    }
}
