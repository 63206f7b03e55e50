//! What is said about a metric, and how its values are taken from a snapshot.

use std::time::Duration;

use super::MetricsSnapshot;

/// Metrics about one thing.
#[derive(Debug)]
#[non_exhaustive]
pub struct MetricGroup {
    /// What they are about.
    pub title: &'static str,
    /// What an operator sees in them.
    pub about: &'static str,
    /// The metrics.
    pub families: &'static [MetricFamily],
}

/// A metric: one value, or one for each combination of its labels.
#[derive(Debug)]
#[non_exhaustive]
pub struct MetricFamily {
    /// Its name; a counter's ends in `_total`, before which stands the unit.
    pub name: &'static str,
    /// How its values move.
    pub kind: MetricKind,
    /// What they count.
    pub unit: MetricUnit,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    sample: Sample,
}

/// Gives each value of a metric with the values of its labels.
type Sample = fn(&MetricsSnapshot, &mut Samples<'_>);

/// Takes the values of a metric.
pub(super) type Samples<'a> = dyn FnMut(&[&str], MetricValue) + 'a;

/// How a metric's values move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Up and down.
    Gauge,
    /// Only up, while what it counts lives: the process, or spill directories until they are closed.
    Counter,
}

/// What a metric's values count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricUnit {
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// What the name says.
    Count,
}

/// A value of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricValue {
    /// A number of bytes or other things.
    Count(u64),
    /// A time.
    Time(Duration),
    /// There is no limit.
    Unlimited,
}

/// What a label says.
#[derive(Debug)]
#[non_exhaustive]
pub struct MetricLabel {
    /// Its name.
    pub name: &'static str,
    /// What its values are.
    pub help: &'static str,
}

impl MetricFamily {
    /// Gives each value in a snapshot with the values of the labels, in the order of `labels`: for a
    /// host that hands them to a metrics system of its own.
    pub fn samples(&self, snapshot: &MetricsSnapshot, take: &mut dyn FnMut(&[&str], MetricValue)) {
        (self.sample)(snapshot, take);
    }

    pub(super) const fn gauge(name: &'static str, help: &'static str, sample: Sample) -> Self {
        Self { name, kind: MetricKind::Gauge, unit: unit_of(name), help, labels: &[], sample }
    }

    pub(super) const fn counter(name: &'static str, help: &'static str, sample: Sample) -> Self {
        Self { name, kind: MetricKind::Counter, unit: unit_of(name), help, labels: &[], sample }
    }

    pub(super) const fn by(mut self, labels: &'static [&'static str]) -> Self {
        self.labels = labels;
        self
    }
}

impl MetricGroup {
    pub(super) const fn new(
        title: &'static str,
        about: &'static str,
        families: &'static [MetricFamily],
    ) -> Self {
        Self { title, about, families }
    }
}

impl MetricLabel {
    pub(super) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help }
    }
}

impl MetricKind {
    /// The word in the text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

impl MetricUnit {
    /// The plural.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::Count => "count",
        }
    }
}

/// By convention the name says the unit.
const fn unit_of(name: &str) -> MetricUnit {
    let name = name.as_bytes();
    if ends_with(name, b"_bytes") || ends_with(name, b"_bytes_total") {
        MetricUnit::Bytes
    } else if ends_with(name, b"_seconds") || ends_with(name, b"_seconds_total") {
        MetricUnit::Seconds
    } else {
        MetricUnit::Count
    }
}

const fn ends_with(name: &[u8], end: &[u8]) -> bool {
    if name.len() < end.len() {
        return false;
    }
    let start = name.len() - end.len();
    let mut at = 0;
    while at < end.len() {
        if name[start + at] != end[at] {
            return false;
        }
        at += 1;
    }
    true
}
