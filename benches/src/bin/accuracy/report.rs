//! The figures of a run, and the bounds they must keep.
//!
//! *Error* is |live - counted| of the stopped samples, where both are of one instant. The bound on
//! resident memory is checked at every sample, stopped or running, and once more with all tasks ended.

use std::fmt;

use bywash_cli::report::as_f64;
use bywash_cli::sizes::human_size;
use serde::Serialize;

use crate::sampler::Sample;
use crate::spills::Spill;

/// What is known without the samples.
#[derive(Debug, Serialize)]
pub(crate) struct Facts {
    pub(crate) budget_bytes: u64,
    pub(crate) tasks: usize,
    /// Shape, codec, partitions.
    pub(crate) shuffles: Vec<String>,
    pub(crate) shuffled_bytes: u64,
    pub(crate) spilled_bytes: u64,
    pub(crate) seed: u64,
    pub(crate) sample_every_ms: u64,
    /// Anonymous and shared memory of the harness, the library idle.
    pub(crate) idle_resident_bytes: u64,
    /// Stops that a thread did not reach in time; no sample came of them.
    pub(crate) stops_given_up: u64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    facts: Facts,
    seconds: f64,
    samples: usize,
    /// Those of one instant.
    stopped_samples: usize,
    /// |live - counted| by counted.
    error: Percentiles,
    error_bytes_max: u64,
    /// What was counted where the ratio was at its largest.
    error_max_of_bytes: u64,
    counted_bytes_max: u64,
    /// Granted by counted, median.
    granted_by_counted_p50: f64,
    /// Live above granted, or granted above the budget, at a stopped sample.
    disorders: usize,
    granted_bytes_max: u64,
    /// Less that of the idle harness.
    resident_bytes_max: u64,
    /// Resident less granted, at most; negative when always below.
    resident_above_granted_bytes_max: i64,
    /// With all tasks ended.
    last: Last,
    spills: Falls,
    bounds: Vec<Bound>,
}

#[derive(Debug, Serialize)]
struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

/// In bytes.
#[derive(Debug, Serialize)]
struct Last {
    granted: u64,
    live: u64,
    counted: u64,
    resident: u64,
}

/// What spills gave back: the most during a spill less the least from its end until the same task's
/// next spill.
#[derive(Debug, Serialize)]
struct Falls {
    count: usize,
    granted_fall_bytes_p50: u64,
    resident_most_bytes_p50: u64,
    resident_least_bytes_p50: u64,
    resident_fall_bytes_p50: u64,
    /// Granted fell by so much more than resident, at most.
    short_bytes_max: i64,
}

/// One condition of the acceptance.
#[derive(Debug, Serialize)]
struct Bound {
    name: &'static str,
    /// How far the figure is above what is allowed: kept when not above zero.
    excess: f64,
    unit: &'static str,
    kept: bool,
}

/// |live - counted| by counted.
pub(crate) fn error_ratio(sample: &Sample) -> f64 {
    match sample.live.abs_diff(sample.counted) {
        0 => 0.0,
        error => as_f64(error) / as_f64(sample.counted.max(1)),
    }
}

impl Report {
    pub(crate) fn new(facts: Facts, samples: &[Sample], last: Sample, spills: &[Spill]) -> Self {
        let stopped = || samples.iter().filter(|sample| sample.stopped);
        let allowance = OVERHEAD_BYTES + facts.tasks as u64 * THREAD_BYTES;
        let falls: Vec<Fall> =
            spills.iter().filter_map(|spill| Fall::of(spill, samples, spills)).collect();
        let above = |sample: &Sample| signed(sample.resident) - signed(sample.granted);
        let most = |figure: fn(&Sample) -> u64| samples.iter().map(figure).max().unwrap_or(0);
        let disorders = stopped()
            .filter(|sample| sample.live > sample.granted || sample.granted > facts.budget_bytes)
            .count();
        let mut report = Self {
            seconds: as_f64(last.at) / 1e6,
            samples: samples.len(),
            stopped_samples: stopped().count(),
            error: Percentiles::of(stopped().map(error_ratio).collect()),
            error_bytes_max: stopped().map(|s| s.live.abs_diff(s.counted)).max().unwrap_or(0),
            error_max_of_bytes: stopped()
                .max_by(|a, b| error_ratio(a).total_cmp(&error_ratio(b)))
                .map_or(0, |sample| sample.counted),
            counted_bytes_max: most(|sample| sample.counted),
            granted_by_counted_p50: Percentiles::of(
                stopped()
                    .filter(|sample| sample.counted > 0)
                    .map(|sample| as_f64(sample.granted) / as_f64(sample.counted))
                    .collect(),
            )
            .p50,
            disorders,
            granted_bytes_max: most(|sample| sample.granted),
            resident_bytes_max: most(|sample| sample.resident),
            resident_above_granted_bytes_max: samples.iter().map(above).max().unwrap_or(0),
            last: Last {
                granted: last.granted,
                live: last.live,
                counted: last.counted,
                resident: last.resident,
            },
            spills: Falls::of(&falls),
            bounds: Vec::new(),
            facts,
        };
        let error_excess = stopped()
            .map(|s| as_f64(s.live.abs_diff(s.counted)) - as_f64(s.counted) / 100.0)
            .fold(0.0, f64::max)
            - as_f64(ERROR_BYTES);
        let at_rest = last.granted + last.live;
        report.bounds = vec![
            Bound::new(
                "p99 of |live - counted| is at most 1 % of counted",
                "%",
                report.error.p99 * 100.0 - 1.0,
            ),
            Bound::new("|live - counted| is at most 1 % of counted + 1 MiB", "bytes", error_excess),
            Bound::new("live <= granted <= budget", "samples", as_f64(report.disorders as u64)),
            Bound::new(
                "resident is at most granted + 16 MiB + 1 MiB per thread",
                "bytes",
                signed_f64(report.resident_above_granted_bytes_max) - as_f64(allowance),
            ),
            Bound::new(
                "resident falls after a spill as granted does, within 16 MiB + 1 MiB per thread",
                "bytes",
                signed_f64(report.spills.short_bytes_max) - as_f64(allowance),
            ),
            Bound::new("nothing is granted or live at the end", "bytes", as_f64(at_rest)),
            Bound::new(
                "at the end at most 16 MiB + 1 MiB per thread are resident",
                "bytes",
                as_f64(last.resident) - as_f64(allowance),
            ),
            Bound::new(
                "there are stopped samples and spills enough to judge by",
                "samples",
                as_f64(
                    (SAMPLES_MIN.saturating_sub(report.stopped_samples)
                        + usize::from(falls.is_empty())) as u64,
                ),
            ),
        ];
        report
    }

    /// Names the bounds that were missed; empty when all were kept.
    pub(crate) fn missed(&self) -> String {
        let missed = self.bounds.iter().filter(|bound| !bound.kept).map(ToString::to_string);
        missed.collect::<Vec<_>>().join("; ")
    }
}

impl Percentiles {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            // The smallest value that so many of 100 are not above.
            let rank = (values.len() * percent).div_ceil(100).max(1);
            values.get(rank - 1).copied().unwrap_or(f64::NAN)
        };
        Self { p50: at(50), p90: at(90), p99: at(99), max: at(100) }
    }
}

/// One spill's effect.
struct Fall {
    granted: u64,
    resident_most: u64,
    resident_least: u64,
}

impl Fall {
    fn of(spill: &Spill, samples: &[Sample], spills: &[Spill]) -> Option<Self> {
        let end = spill.end?;
        let of_task = spills.iter().filter(|other| other.task == spill.task);
        let next = of_task.map(|other| other.begin).filter(|&begin| begin > end).min();
        let during = between(samples, spill.begin, end);
        let after = between(samples, end, next.unwrap_or(u64::MAX).min(end + AFTER_MAX_US));
        let granted_most = during.iter().map(|sample| sample.granted).max()?;
        let granted_least = after.iter().map(|sample| sample.granted).min()?;
        Some(Self {
            granted: granted_most.saturating_sub(granted_least),
            resident_most: during.iter().map(|sample| sample.resident).max()?,
            resident_least: after.iter().map(|sample| sample.resident).min()?,
        })
    }

    fn resident(&self) -> u64 {
        self.resident_most.saturating_sub(self.resident_least)
    }
}

impl Falls {
    fn of(falls: &[Fall]) -> Self {
        let median = |figure: fn(&Fall) -> u64| {
            let mut values: Vec<u64> = falls.iter().map(figure).collect();
            values.sort_unstable();
            values.get(values.len() / 2).copied().unwrap_or(0)
        };
        let short = falls.iter().map(|fall| signed(fall.granted) - signed(fall.resident()));
        Self {
            count: falls.len(),
            granted_fall_bytes_p50: median(|fall| fall.granted),
            resident_most_bytes_p50: median(|fall| fall.resident_most),
            resident_least_bytes_p50: median(|fall| fall.resident_least),
            resident_fall_bytes_p50: median(Fall::resident),
            short_bytes_max: short.max().unwrap_or(0),
        }
    }
}

impl Bound {
    fn new(name: &'static str, unit: &'static str, excess: f64) -> Self {
        // Not a number is not kept.
        Self { name, excess, unit, kept: excess <= 0.0 }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, excess, unit, kept } = self;
        let distance = excess.abs();
        let distance = match *unit {
            "bytes" => format!("{:.2} MiB", distance / MIB),
            "%" => format!("{distance:.3} %"),
            unit => format!("{distance} {unit}"),
        };
        match kept {
            true if *excess < 0.0 => write!(f, "kept: {name} ({distance} to spare)"),
            true => write!(f, "kept: {name}"),
            false => write!(f, "missed: {name} ({distance} too much)"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.facts;
        let percent = |ratio: f64| ratio * 100.0;
        writeln!(
            f,
            "{} shuffles of {} in all, {} tasks at once under {}, {:.1} s, seed {}",
            facts.shuffles.len(),
            human_size(facts.shuffled_bytes),
            facts.tasks,
            human_size(facts.budget_bytes),
            self.seconds,
            facts.seed,
        )?;
        writeln!(
            f,
            "{} samples, {} of them of one instant ({} stops given up)",
            self.samples, self.stopped_samples, facts.stops_given_up
        )?;
        let Percentiles { p50, p90, p99, max } = self.error;
        writeln!(
            f,
            "|live - counted|    p50 {:.4} %, p90 {:.4} %, p99 {:.4} % of counted; at most {}; max {:.4} % (of {})",
            percent(p50),
            percent(p90),
            percent(p99),
            human_size(self.error_bytes_max),
            percent(max),
            human_size(self.error_max_of_bytes),
        )?;
        writeln!(f, "granted / counted   p50 {:.4}", self.granted_by_counted_p50)?;
        writeln!(
            f,
            "at most             {} granted, {} counted, {} resident (harness: {} more)",
            human_size(self.granted_bytes_max),
            human_size(self.counted_bytes_max),
            human_size(self.resident_bytes_max),
            human_size(facts.idle_resident_bytes),
        )?;
        writeln!(
            f,
            "resident - granted  at most {:.1} MiB",
            signed_f64(self.resident_above_granted_bytes_max) / MIB
        )?;
        let spills = &self.spills;
        writeln!(
            f,
            "around {} spills    medians: resident {} at most during, {} at least after; fell by {}, granted by {}",
            spills.count,
            human_size(spills.resident_most_bytes_p50),
            human_size(spills.resident_least_bytes_p50),
            human_size(spills.resident_fall_bytes_p50),
            human_size(spills.granted_fall_bytes_p50),
        )?;
        let last = &self.last;
        writeln!(
            f,
            "with all ended      {} granted, {} live, {} counted, {} resident",
            human_size(last.granted),
            human_size(last.live),
            human_size(last.counted),
            human_size(last.resident),
        )?;
        self.bounds.iter().try_for_each(|bound| writeln!(f, "{bound}"))
    }
}

/// Samples from one time to another; they are in order.
fn between(samples: &[Sample], from: u64, to: u64) -> &[Sample] {
    let start = samples.partition_point(|sample| sample.at < from);
    let end = samples.partition_point(|sample| sample.at <= to);
    samples.get(start..end).unwrap_or_default()
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn signed_f64(bytes: i64) -> f64 {
    let magnitude = as_f64(bytes.unsigned_abs());
    if bytes < 0 { -magnitude } else { magnitude }
}

const MIB: f64 = 1_048_576.0;
const ERROR_BYTES: u64 = 1 << 20;
const OVERHEAD_BYTES: u64 = 16 << 20;
const THREAD_BYTES: u64 = 1 << 20;
const SAMPLES_MIN: usize = 100;
/// How long after a spill the fall is looked for.
const AFTER_MAX_US: u64 = 500_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred() {
        let found = Percentiles::of((1..=200).rev().map(f64::from).collect());
        let bits = [found.p50, found.p90, found.p99, found.max].map(f64::to_bits);
        assert_eq!(bits, [100.0, 180.0, 198.0, 200.0].map(f64::to_bits));
        assert!(Percentiles::of(Vec::new()).max.is_nan());
        assert!(!Bound::new("", "", f64::NAN).kept);
    }

    #[test]
    fn a_fall_is_from_the_most_during_to_the_least_after() {
        let sample = |at, granted, resident| Sample { at, granted, resident, ..Sample::default() };
        let samples = [sample(1, 90, 50), sample(5, 100, 80), sample(7, 30, 20), sample(9, 10, 10)];
        let spills = [
            Spill { task: 0, begin: 4, end: Some(6) },
            Spill { task: 1, begin: 7, end: None },
            Spill { task: 0, begin: 8, end: Some(8) },
        ];
        let fall = Fall::of(&spills[0], &samples, &spills).unwrap();
        assert_eq!((fall.granted, fall.resident()), (70, 60));
        assert!(Fall::of(&spills[1], &samples, &spills).is_none());
    }
}
