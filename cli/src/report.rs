//! Reports: plain data for `--json` and the same as text.

use std::fmt;
use std::io::Write;

use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::resources::Resources;
use crate::sizes::human_size;

/// What a shuffle did and what it took.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShuffleReport {
    /// Rows shuffled.
    pub rows: u64,
    /// Bytes of those rows as Arrow arrays, as counted by the writers.
    pub input_bytes: u64,
    /// Bytes of all map outputs.
    pub output_bytes: u64,
    /// Number of partitions.
    pub partitions: u32,
    /// Number of tasks.
    pub tasks: u32,
    /// Codec.
    pub codec: String,
    /// What it took; the time is that of the tasks, reading of Parquet included.
    #[serde(flatten)]
    pub resources: Resources,
    /// Spills by cause.
    pub spills: Vec<SpillCount>,
    /// Bytes written to spill files.
    pub spilled_bytes: u64,
    /// Merges of spilled runs because there were too many.
    pub run_merges: u64,
    /// Time per phase of the writers, summed over tasks.
    pub phases: Vec<PhaseTime>,
    /// Sizes of the partitions.
    pub partition_bytes: Histogram,
}

/// How often something made the writers spill.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpillCount {
    /// Why.
    pub cause: String,
    /// How often.
    pub count: u64,
}

/// Time spent in a phase.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PhaseTime {
    /// Which.
    pub phase: String,
    /// Seconds.
    pub seconds: f64,
}

/// How many values fall into each of a few equal ranges.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The smallest value.
    pub min: u64,
    /// The middle value.
    pub median: u64,
    /// The largest value.
    pub max: u64,
    /// The ranges in order, the last one including its end.
    pub ranges: Vec<HistogramRange>,
}

/// One range of a histogram.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistogramRange {
    /// Where it starts.
    pub from: u64,
    /// How many values it holds.
    pub count: u64,
}

impl ShuffleReport {
    /// Input bytes per second, in MB.
    pub fn megabytes_per_second(&self) -> f64 {
        as_f64(self.input_bytes) / 1e6 / self.resources.seconds.max(1e-9)
    }
}

impl Histogram {
    /// The histogram of `values`.
    pub fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let step = (max - min) / RANGES + 1;
        let mut ranges: Vec<HistogramRange> = (0..RANGES)
            .map(|index| HistogramRange { from: min.saturating_add(index * step), count: 0 })
            .filter(|range| range.from <= max)
            .collect();
        for value in &values {
            let index = usize::try_from((value - min) / step).unwrap_or(usize::MAX);
            if let Some(range) = ranges.get_mut(index) {
                range.count += 1;
            }
        }
        let median = values.get(values.len() / 2).copied().unwrap_or(max);
        Self { min, median, max, ranges }
    }
}

impl fmt::Display for ShuffleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |bytes| human_size(bytes);
        writeln!(f, "rows              {}", self.rows)?;
        writeln!(f, "bytes in          {}", size(self.input_bytes))?;
        writeln!(
            f,
            "bytes out         {} ({}, {} partitions, {} map outputs)",
            size(self.output_bytes),
            self.codec,
            self.partitions,
            self.tasks
        )?;
        write!(f, "{}", self.resources)?;
        let spills: u64 = self.spills.iter().map(|spill| spill.count).sum();
        write!(f, "spills            {spills}")?;
        for (index, spill) in self.spills.iter().filter(|spill| spill.count > 0).enumerate() {
            let separator = if index == 0 { ": " } else { ", " };
            write!(f, "{separator}{} {}", spill.count, spill.cause)?;
        }
        if spills > 0 {
            write!(f, "; {} written, {} early merges", size(self.spilled_bytes), self.run_merges)?;
        }
        writeln!(f)?;
        self.resources.fmt_spill_dirs(f)?;
        writeln!(
            f,
            "time              {:.2} s, {:.0} MB/s with reading",
            self.resources.seconds,
            self.megabytes_per_second()
        )?;
        for phase in &self.phases {
            writeln!(f, "  {:<15} {:.3} s", phase.phase, phase.seconds)?;
        }
        writeln!(
            f,
            "partition sizes   {} least, {} median, {} most",
            size(self.partition_bytes.min),
            size(self.partition_bytes.median),
            size(self.partition_bytes.max)
        )?;
        write!(f, "{}", self.partition_bytes)
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.ranges.iter().map(|range| range.count).max().unwrap_or(0).max(1);
        for range in &self.ranges {
            let bar = usize::try_from((range.count * BAR_WIDTH).div_ceil(most)).unwrap_or(0);
            // In bytes: in larger units neighbouring ranges may look alike.
            let line = format!("  {:>13} {:>7} {}", range.from, range.count, "#".repeat(bar));
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes a report to standard output, as JSON or as text. A reader that went away is no failure.
pub fn print<T: Serialize + fmt::Display>(report: &T, json: bool) -> Result<()> {
    let text = if json {
        serde_json::to_string_pretty(report).map_err(|error| Failure::new(error.to_string()))?
    } else {
        report.to_string().trim_end().to_owned()
    };
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes one line to standard error.
pub fn warn(message: &str) {
    let _unheard = writeln!(std::io::stderr().lock(), "bywash: {message}");
}

/// For ratios in reports only.
#[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
pub fn as_f64(value: u64) -> f64 {
    value as f64
}

const RANGES: u64 = 10;
const BAR_WIDTH: u64 = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_one_range() {
        for values in [vec![7], vec![0, u64::MAX], (0..1000).collect(), vec![5; 20]] {
            let histogram = Histogram::of(values.clone());
            let counted: u64 = histogram.ranges.iter().map(|range| range.count).sum();
            assert_eq!(usize::try_from(counted), Ok(values.len()), "{histogram:?}");
        }
        assert_eq!(Histogram::of(vec![]), Histogram::default());
    }

    #[test]
    fn bars_are_in_proportion() {
        let text = Histogram::of(vec![0, 0, 0, 0, 9]).to_string();
        assert!(
            text.starts_with(&format!("              0       4 {}\n", "#".repeat(40))),
            "{text}"
        );
        assert!(text.ends_with(&format!("              9       1 {}\n", "#".repeat(10))), "{text}");
    }
}
