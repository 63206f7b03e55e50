//! The one table of metrics.

mod combine;
mod dirs;
mod memory;
mod sort;
mod spill;
mod write;

use super::MetricValue;
use super::family::{MetricFamily, MetricGroup, MetricLabel, Samples};

/// All metrics, in the order of the text.
pub static GROUPS: [MetricGroup; 7] = [
    MetricGroup::new("Build", "Which library this is.", &BUILD),
    MetricGroup::new(memory::TITLE, memory::ABOUT, &memory::FAMILIES),
    MetricGroup::new(spill::TITLE, spill::ABOUT, &spill::FAMILIES),
    MetricGroup::new(dirs::TITLE, dirs::ABOUT, &dirs::FAMILIES),
    MetricGroup::new(write::TITLE, write::ABOUT, &write::FAMILIES),
    MetricGroup::new(sort::TITLE, sort::ABOUT, &sort::FAMILIES),
    MetricGroup::new(combine::TITLE, combine::ABOUT, &combine::FAMILIES),
];

/// The labels in use.
pub static LABELS: [MetricLabel; 5] = [
    MetricLabel::new(
        "cause",
        "why memory was written to disk: `pressure` (the ledger had no more \
        for the task), `reclaim` (somebody asked for memory back), `request` (the caller asked for \
        it), `oversized_row` (a row was too large to stage)",
    ),
    MetricLabel::new("dir", "the path of a spill directory, as it was given"),
    MetricLabel::new(
        "kind",
        "of a spill directory: the name of its filesystem, or its condition: `usable`, `full` (its \
         disk, its quota or the memory it may take), `failing`",
    ),
    MetricLabel::new(
        "phase",
        "what a writer or a sort spends time on: `stage`, `sort`, `spill`, `output`, `commit` (a \
        writer only)",
    ),
    MetricLabel::new("version", "the version of the library"),
];

static BUILD: [MetricFamily; 1] = [MetricFamily::gauge(
    "bywash_build_info",
    "Always 1; the label says which version of the library this is.",
    |_, take| take(&[env!("CARGO_PKG_VERSION")], MetricValue::Count(1)),
)
.by(&["version"])];

fn limit(bytes: Option<u64>) -> MetricValue {
    bytes.map_or(MetricValue::Unlimited, MetricValue::Count)
}
