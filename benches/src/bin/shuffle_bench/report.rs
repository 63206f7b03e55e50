//! The result of a benchmark as plain data, for `--json`, and as text.

use std::fmt;

use bywash_cli::report::{PhaseTime, SpillCount};
use bywash_cli::sizes::human_size;
use serde::Serialize;

use crate::floor::Variant;
use crate::ledger_cost::LedgerCost;

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) partitioning: &'static str,
    pub(crate) partitions: u32,
    pub(crate) codec: String,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) batch_size: usize,
    pub(crate) tasks: usize,
    pub(crate) cpu: Option<usize>,
    pub(crate) rows: u64,
    /// Bytes of the rows in the raw layout; none when streamed.
    pub(crate) input_bytes: Option<u64>,
    /// Time to read or generate the rows; none when streamed, then it is part of the runs.
    pub(crate) scan_seconds: Option<f64>,
    pub(crate) seconds: Vec<f64>,
    pub(crate) median_seconds: f64,
    /// Time of the threads on their cores, without waiting.
    pub(crate) median_cpu_seconds: f64,
    pub(crate) output_bytes: u64,
    pub(crate) granted_peak_bytes: u64,
    pub(crate) live_peak_bytes: u64,
    pub(crate) spills: Vec<SpillCount>,
    pub(crate) spilled_bytes: u64,
    /// Of the last run.
    pub(crate) phases: Vec<PhaseTime>,
    /// What the memory account took of the last run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ledger: Option<LedgerCost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floor: Option<FloorReport>,
    /// Median over pairs of runs: time of the shuffle by time of the floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floor_ratio: Option<f64>,
    /// The same of the time on the core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floor_cpu_ratio: Option<f64>,
}

/// The floor beside it.
#[derive(Debug, Serialize)]
pub(crate) struct FloorReport {
    pub(crate) best: Variant,
    pub(crate) seconds: Vec<f64>,
    pub(crate) median_seconds: f64,
    pub(crate) median_cpu_seconds: f64,
    pub(crate) output_bytes: u64,
    /// What the best was chosen from, before the measured runs.
    pub(crate) tried: Vec<TriedVariant>,
}

/// A variant of the floor and its best time.
#[derive(Debug, Serialize)]
pub(crate) struct TriedVariant {
    #[serde(flatten)]
    pub(crate) variant: Variant,
    pub(crate) seconds: f64,
    pub(crate) output_bytes: u64,
}

/// The middle value, or the mean of the two middle ones.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => f64::NAN,
        (Some(upper), 1) => *upper,
        (Some(upper), _) => f64::midpoint(sorted[middle - 1], *upper),
    }
}

impl Report {
    fn rate(&self, seconds: f64) -> String {
        let rows = bywash_cli::report::as_f64(self.rows) / seconds / 1e6;
        match self.input_bytes {
            None => format!("{rows:.2} Mrows/s"),
            Some(bytes) => {
                let megabytes = bywash_cli::report::as_f64(bytes) / seconds / 1e6;
                format!("{rows:.2} Mrows/s, {megabytes:.0} MB/s")
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} rows, {} partitions ({}), {}, memory {}",
            self.rows,
            self.partitions,
            self.partitioning,
            self.codec,
            self.memory_limit.map_or_else(|| "without limit".to_owned(), human_size)
        )?;
        if let Some(seconds) = self.scan_seconds {
            writeln!(f, "scan              {seconds:.3} s, before the clock and in no ratio")?;
        }
        if let Some(bytes) = self.input_bytes {
            writeln!(f, "raw bytes         {}", human_size(bytes))?;
        }
        writeln!(
            f,
            "shuffle           {:.3} s median of {}, {}",
            self.median_seconds,
            self.seconds.len(),
            self.rate(self.median_seconds)
        )?;
        writeln!(f, "  output          {} ({})", self.output_bytes, human_size(self.output_bytes))?;
        writeln!(
            f,
            "  peak            {} granted, {} live",
            human_size(self.granted_peak_bytes),
            human_size(self.live_peak_bytes)
        )?;
        write!(f, "  spilled         {}", human_size(self.spilled_bytes))?;
        for spill in self.spills.iter().filter(|spill| spill.count > 0) {
            write!(f, ", {} {}", spill.count, spill.cause)?;
        }
        writeln!(f)?;
        for phase in &self.phases {
            writeln!(f, "  {:<15} {:.3} s", phase.phase, phase.seconds)?;
        }
        if let Some(LedgerCost { grants, nanoseconds_per_grant, cpu_share }) = &self.ledger {
            writeln!(
                f,
                "  ledger          {:.4} % of the CPU: {grants} grants of {nanoseconds_per_grant:.0} ns",
                cpu_share * 100.0
            )?;
        }
        if let Some(floor) = &self.floor {
            writeln!(
                f,
                "floor             {:.3} s median, {} ({} KiB, {:?})",
                floor.median_seconds,
                self.rate(floor.median_seconds),
                floor.best.block_kib,
                floor.best.frames
            )?;
            let bytes = floor.output_bytes;
            writeln!(f, "  output          {bytes} ({})", human_size(bytes))?;
        }
        if let Some(ratio) = self.floor_ratio {
            write!(f, "floor ratio       {ratio:.3}")?;
        }
        if let Some(ratio) = self.floor_cpu_ratio {
            writeln!(f, " ({ratio:.3} of the time on the core)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_few() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2f64.to_bits());
        assert_eq!(median(&[3.0, 1.0]).to_bits(), 2f64.to_bits());
        assert!(median(&[]).is_nan());
    }
}
