//! The one table of metrics.

mod memory;
mod spill;
mod write;

use super::MetricValue;
use super::family::{MetricFamily, MetricGroup, MetricLabel};

/// All metrics, in the order of the text.
pub static GROUPS: [MetricGroup; 4] = [
    MetricGroup::new("Build", "Which library this is.", &BUILD),
    MetricGroup::new(memory::TITLE, memory::ABOUT, &memory::FAMILIES),
    MetricGroup::new(spill::TITLE, spill::ABOUT, &spill::FAMILIES),
    MetricGroup::new(write::TITLE, write::ABOUT, &write::FAMILIES),
];

/// The labels in use.
pub static LABELS: [MetricLabel; 3] = [
    MetricLabel::new(
        "cause",
        "why memory was written to disk: `pressure` (the ledger had no more \
        for the task), `reclaim` (somebody asked for memory back), `request` (the caller asked the \
        writer), `oversized_row` (a row was too large to stage)",
    ),
    MetricLabel::new(
        "phase",
        "what a writer spends time on: `stage`, `sort`, `spill`, `output`, \
        `commit`",
    ),
    MetricLabel::new("version", "the version of the library"),
];

static BUILD: [MetricFamily; 1] = [MetricFamily::gauge(
    "bywash_build_info",
    "Always 1; the label says which version of the library this is.",
    |_, take| take(&[env!("CARGO_PKG_VERSION")], MetricValue::Count(1)),
)
.by(&["version"])];
