//! `bywash group`: the rows of Parquet files grouped by columns, in one budget.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bywash::{
    Aggregate, ChargeMode, ColumnCombiner, CombineProgress, CombineSpec, Figure, GroupSpec,
};
use serde::Serialize;

use crate::args::GroupArgs;
use crate::budgeted::{Budgeted, Work, Workers};
use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::parquet_file::ParquetFile;
use crate::report;
use crate::resources::Resources;
use crate::sizes::human_size;

/// Runs the command.
pub(crate) fn run(args: &GroupArgs) -> Result<()> {
    args.budget.check()?;
    let input = Input::open(&args.inputs)?;
    let by = input.listed_columns(&args.by)?;
    let spec = GroupSpec::new(Arc::clone(input.schema()), &by, &aggregates(args, &input)?)?
        .with_combine(CombineSpec::new().with_codec(args.codec));
    // Refused now, not after all rows were grouped.
    let file = ParquetFile::create(&args.out, spec.output_schema())?;
    let work = Work {
        verb: "grouping",
        workers: Workers::One,
        input: &input,
        budget: &args.budget,
        spill: &args.spill,
        report: &args.report,
    };
    let minimum = spec.minimum_budget()?;
    let budgeted = Budgeted::open(work, |tasks| Ok(minimum.saturating_mul(tasks as u64)))?;
    file.warn_of_memory()?;
    let (done, resources) = budgeted.run(|| group(&budgeted, &spec, file))?;
    let CombineProgress { records, groups, spilled_bytes, run_merges, depth, sorted_parts, .. } =
        done.progress;
    let report = GroupReport {
        rows: records,
        groups,
        file_bytes: done.file_bytes,
        out: args.out.clone(),
        spills: done.progress.spills(),
        spilled_bytes,
        run_merges,
        depth,
        sorted_parts,
        resources,
    };
    report::print(&report, args.report.json)
}

/// Sums, minima, maxima and counts, in this order.
fn aggregates(args: &GroupArgs, input: &Input) -> Result<Vec<Aggregate>> {
    let mut aggregates = Vec::new();
    let mut add = |names: &[String], aggregate: fn(usize) -> Aggregate| {
        aggregates.extend(input.listed_columns(names)?.into_iter().map(aggregate));
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

/// What the work leaves for the report.
struct GroupDone {
    progress: CombineProgress,
    file_bytes: u64,
}

/// All rows through the combiner, their groups into the file.
fn group(
    budgeted: &Budgeted<'_>,
    spec: &GroupSpec,
    mut file: ParquetFile<'_>,
) -> Result<GroupDone> {
    let named = |error| with_column_name(error, budgeted.input());
    let mut combiner = ColumnCombiner::new(spec, budgeted.task()?, budgeted.spill_dirs())?;
    budgeted.metrics().watch_column_combiner(&combiner);
    for batch in budgeted.read() {
        let batch = batch?;
        combiner.write(&batch).map_err(named)?;
        budgeted.advance(batch.num_rows());
    }
    let mut groups = combiner.finish(ChargeMode::Ledger).map_err(named)?;
    for batch in groups.by_ref() {
        file.write(&batch.map_err(named)?)?;
        budgeted.poll();
    }
    Ok(GroupDone { file_bytes: file.publish()?, progress: groups.progress() })
}

/// An error that knows its column by number, with the name.
fn with_column_name(error: bywash::Error, input: &Input) -> Failure {
    let index = error.figure(Figure::Column).and_then(|index| usize::try_from(index).ok());
    match index.and_then(|index| input.schema().fields().get(index)) {
        Some(field) => Failure::new(format!("column `{}`: {error}", field.name())),
        None => error.into(),
    }
}

/// What a group did and what it took.
#[derive(Debug, Serialize)]
struct GroupReport {
    rows: u64,
    groups: u64,
    file_bytes: u64,
    out: PathBuf,
    spills: u64,
    spilled_bytes: u64,
    run_merges: u64,
    depth: u64,
    sorted_parts: u64,
    #[serde(flatten)]
    resources: Resources,
}

impl fmt::Display for GroupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rows              {}", self.rows)?;
        writeln!(f, "groups            {}", self.groups)?;
        writeln!(f, "file              {}", human_size(self.file_bytes))?;
        write!(f, "{}", self.resources)?;
        writeln!(
            f,
            "spills            {}, {} written, {} levels deep, {} parts sorted",
            self.spills,
            human_size(self.spilled_bytes),
            self.depth,
            self.sorted_parts
        )?;
        self.resources.fmt_spill_dirs(f)?;
        writeln!(f, "time              {:.2} s", self.resources.seconds)
    }
}
