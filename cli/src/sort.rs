//! `bywash sort`: Parquet files into one Parquet file in the order of columns, inside a budget.

use std::fmt;
use std::sync::Arc;

use bywash::{ChargeMode, SortColumn, SortProgress, SortSpec, Sorter, minimum_sort_budget};
use serde::Serialize;

use crate::args::SortArgs;
use crate::budgeted::{Budgeted, Work, Workers};
use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::listed;
use crate::parquet_file::ParquetFile;
use crate::report::{self, SpillCount};
use crate::resources::Resources;
use crate::sizes::human_size;
use crate::totals;

/// A column to sort by, as given: `COL[:asc|:desc][:nulls-first|:nulls-last]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct By {
    name: String,
    descending: bool,
    nulls_last: bool,
}

impl By {
    /// Reads `text` for columns of which `has` knows the names.
    fn read(text: &str, has: impl Fn(&str) -> bool) -> Result<Self, String> {
        let (mut name, mut descending, mut nulls_last) = (text, None, None);
        // Names may have colons, and end as if they said how to sort: only what is known is taken off
        // the end, and nothing of a name that there is.
        while let Some((before, word)) = name.rsplit_once(':').filter(|_| !has(name)) {
            let taken = match word {
                "asc" | "desc" => descending.replace(word == "desc").is_none(),
                "nulls-first" | "nulls-last" => nulls_last.replace(word == "nulls-last").is_none(),
                _ => break,
            };
            if !taken {
                return Err(format!("`{text}` says twice how to sort; {WORDS}"));
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
    args.budget.check()?;
    let input = Input::open(&args.inputs)?;
    let by = by(args, &input)?;
    let columns = columns(&by, &input)?;
    let spec = SortSpec::new(Arc::clone(input.schema()), &columns)?.with_codec(args.codec);
    // Refused now, not after all rows were sorted.
    let file = ParquetFile::create(&args.out, input.schema())?;
    let work = Work {
        verb: "sorting",
        workers: Workers::One,
        input: &input,
        budget: &args.budget,
        spill: &args.spill,
        report: &args.report,
    };
    let budgeted = Budgeted::open(work, |tasks| minimum_sort_budget(&spec, tasks))?;
    file.warn_of_memory()?;
    let (done, resources) = budgeted.run(|| sort(&budgeted, &spec, file))?;
    let progress = done.progress;
    let report = SortReport {
        rows: progress.write.rows,
        by: by.iter().map(By::to_string).collect(),
        input_bytes: progress.write.bytes,
        file_bytes: done.file_bytes,
        spills: totals::spill_counts(&progress.write),
        spilled_bytes: progress.write.spilled_bytes,
        runs: progress.runs,
        run_merges: progress.write.run_merges,
        passes: progress.passes,
        resources,
    };
    report::print(&report, args.report.json)
}

/// What `--by` lists.
fn by(args: &SortArgs, input: &Input) -> Result<Vec<By>> {
    let has = |name: &str| input.has(name);
    let is_column = |text: &str| By::read(text, has).is_ok_and(|by| has(&by.name));
    let listed = listed::split(&args.by, is_column).into_iter();
    listed.map(|text| By::read(text, has).map_err(Failure::new)).collect()
}

fn columns(by: &[By], input: &Input) -> Result<Vec<SortColumn>> {
    let column = |by: &By| {
        let has_colon = by.name.contains(':');
        let column = input.column(&by.name).map_err(|failure| {
            if has_colon { Failure::new(format!("{failure}; {WORDS}")) } else { failure }
        })?;
        let By { descending, nulls_last, .. } = *by;
        Ok(SortColumn { column, descending, nulls_last })
    };
    by.iter().map(column).collect()
}

/// What the work leaves for the report.
struct SortDone {
    progress: SortProgress,
    file_bytes: u64,
}

/// All rows through the sorter into the file, which gets its name only with all of them in it.
fn sort(budgeted: &Budgeted<'_>, spec: &SortSpec, mut file: ParquetFile<'_>) -> Result<SortDone> {
    let mut sorter = Sorter::new(spec, budgeted.task()?, budgeted.spill_dirs())?;
    budgeted.metrics().watch_sorter(&sorter);
    for batch in budgeted.read() {
        let batch = batch?;
        sorter.write(&batch)?;
        budgeted.advance(batch.num_rows());
    }
    let mut sorted = sorter.finish(ChargeMode::Ledger)?;
    let mut rows = 0;
    for batch in sorted.by_ref() {
        let batch = batch?;
        file.write(&batch)?;
        rows += batch.num_rows() as u64;
        budgeted.poll();
    }
    let progress = sorted.progress();
    if rows != progress.write.rows {
        return Err(Failure::new(format!("{} rows went in, {rows} came out", progress.write.rows)));
    }
    Ok(SortDone { progress, file_bytes: file.publish()? })
}

/// What a sort did and what it took.
#[derive(Debug, Serialize)]
struct SortReport {
    rows: u64,
    by: Vec<String>,
    input_bytes: u64,
    file_bytes: u64,
    spills: Vec<SpillCount>,
    spilled_bytes: u64,
    /// Runs written by spills.
    runs: u64,
    /// Merges of runs before the last one.
    run_merges: u64,
    /// How often a row was merged from disk, at most.
    passes: u64,
    #[serde(flatten)]
    resources: Resources,
}

impl fmt::Display for SortReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rows              {}, {}", self.rows, human_size(self.input_bytes))?;
        writeln!(f, "by                {}", self.by.join(", "))?;
        writeln!(f, "file              {}", human_size(self.file_bytes))?;
        write!(f, "{}", self.resources)?;
        writeln!(
            f,
            "spilled           {} in {} runs, {} merges before the last, {} passes",
            human_size(self.spilled_bytes),
            self.runs,
            self.run_merges,
            self.passes
        )?;
        self.resources.fmt_spill_dirs(f)?;
        writeln!(f, "time              {:.2} s", self.resources.seconds)
    }
}

const WORDS: &str = "after a column and a colon comes one of asc and desc, one of nulls-first and nulls-last, or \
     one of each";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_columns_as_they_are_written() {
        let by = |text: &str| By::read(text, |_| false).map(|by| by.to_string());
        assert_eq!(by("a").unwrap(), "a:asc:nulls-first");
        assert_eq!(by("a:desc").unwrap(), "a:desc:nulls-last");
        assert_eq!(by("a:desc:nulls-first").unwrap(), "a:desc:nulls-first");
        assert_eq!(by("a:nulls-last").unwrap(), "a:asc:nulls-last");
        assert_eq!(by("x:y:asc").unwrap(), "x:y:asc:nulls-first");
        assert!(by(":desc").unwrap_err().contains("COL:desc"));
        let twice = by("a:asc:desc").unwrap_err();
        assert!(twice.contains("twice") && twice.contains("one of nulls-first"), "{twice}");
    }

    #[test]
    fn a_column_is_its_name_however_it_ends() {
        let by = |text: &str| {
            By::read(text, |name| ["b", "b:desc", ":asc"].contains(&name)).unwrap().to_string()
        };
        assert_eq!(by("b:desc"), "b:desc:asc:nulls-first");
        assert_eq!(by("b:desc:desc:nulls-first"), "b:desc:desc:nulls-first");
        assert_eq!(by("b:asc"), "b:asc:nulls-first");
        assert_eq!(by(":asc"), ":asc:asc:nulls-first");
    }
}
