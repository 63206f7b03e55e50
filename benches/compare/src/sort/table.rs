//! Medians side by side.

use super::process::Report;
use super::rows::Source;
use crate::failure::Result;

type Outcome = std::result::Result<Report, String>;

pub(super) fn print(
    source: &Source,
    memory: u64,
    names: &[String],
    outcomes: &[Vec<Outcome>],
) -> Result<()> {
    println!("\n{}, {} MiB", source.title(), memory >> 20);
    println!(
        "| | MB/s | least .. most | wall s | cpu s | ours : it | resident MiB | of the budget |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut digest = None;
    let mut ours = None;
    for (name, outcomes) in names.iter().zip(outcomes) {
        let mut reports = Vec::new();
        let mut failed = None;
        for outcome in outcomes {
            match outcome {
                Ok(report) => reports.push(*report),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            println!(
                "| {name} | fails {} of {}: {error} |",
                outcomes.len() - reports.len(),
                outcomes.len()
            );
        }
        reports.sort_by(|one, other| one.wall.total_cmp(&other.wall));
        let Some(median) = reports.get(reports.len() / 2) else { continue };
        for report in &reports {
            if *digest.get_or_insert(report.digest) != report.digest {
                return Err(format!("{name}: not the rows of the first").into());
            }
        }
        let rate = |report: &Report| report.rows as f64 * ROW_BYTES / 1e6 / report.wall;
        let most = reports.iter().map(|report| report.resident).max().unwrap_or(0);
        let ours = *ours.get_or_insert(median.wall);
        println!(
            "| {name} | {:.0} | {:.0} .. {:.0} | {:.2} | {:.2} | **{:.2}** | {:.1} | {:.2} |",
            rate(median),
            reports.last().map_or(0.0, rate),
            reports.first().map_or(0.0, rate),
            median.wall,
            median.cpu,
            median.wall / ours,
            most as f64 / f64::from(1 << 20),
            most as f64 / memory as f64,
        );
    }
    Ok(())
}

/// What a row counts for: of the wide rows what their values take, and of lineitem's about that.
const ROW_BYTES: f64 = 100.0;
