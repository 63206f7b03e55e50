//! Metrics of spill directories.

use super::super::dirs::{CONDITIONS, SpillDirFigures};
use super::{MetricFamily, MetricValue, Samples, limit};
use crate::metrics::MetricsSnapshot;
use MetricValue::Count;

pub(super) const TITLE: &str = "Spill directories";
pub(super) const ABOUT: &str = "Where runs go. Counters begin when the directories are opened.";

pub(super) static FAMILIES: [MetricFamily; 14] = [
    MetricFamily::gauge("bywash_spill_used_bytes", "In spill files now.", |s, take| {
        take(&[], Count(s.spill.used));
    }),
    MetricFamily::gauge(
        "bywash_spill_quota_bytes",
        "The most that spill files may take in all; +Inf without a limit.",
        |s, take| take(&[], limit(s.spill.quota)),
    ),
    MetricFamily::gauge(
        "bywash_spill_unused_dirs",
        "Directories that were given and could not be used.",
        |s, take| take(&[], Count(s.spill.unused_dirs)),
    ),
    MetricFamily::gauge(
        "bywash_spill_dir_filesystem_info",
        "Always 1; the kind is the filesystem that the directory is on.",
        |s, take| {
            for dir in &s.spill.dirs {
                take(&[&dir.path, &dir.filesystem], Count(1));
            }
        },
    )
    .by(&["dir", "kind"]),
    MetricFamily::gauge(
        "bywash_spill_dir_condition",
        "1 for the condition that the directory is in, 0 for the others.",
        |s, take| {
            for dir in &s.spill.dirs {
                for (name, condition) in CONDITIONS {
                    take(&[&dir.path, name], Count(u64::from(dir.condition == condition)));
                }
            }
        },
    )
    .by(&["dir", "kind"]),
    MetricFamily::gauge("bywash_spill_dir_used_bytes", "In its files now.", |s, take| {
        each(s, take, |dir| Count(dir.used));
    })
    .by(&["dir"]),
    MetricFamily::gauge(
        "bywash_spill_dir_quota_bytes",
        "The most its files may take; +Inf without a limit.",
        |s, take| each(s, take, |dir| limit(dir.quota)),
    )
    .by(&["dir"]),
    MetricFamily::gauge(
        "bywash_spill_dir_charged_bytes",
        "Of the ledger's memory, for its files; 0 but for a directory in memory.",
        |s, take| each(s, take, |dir| Count(dir.charged)),
    )
    .by(&["dir"]),
    MetricFamily::gauge("bywash_spill_dir_open_files", "Its files now.", |s, take| {
        each(s, take, |dir| Count(dir.open_files));
    })
    .by(&["dir"]),
    MetricFamily::counter("bywash_spill_dir_files_total", "Files made.", |s, take| {
        each(s, take, |dir| Count(dir.files));
    })
    .by(&["dir"]),
    MetricFamily::counter("bywash_spill_dir_written_bytes_total", "Written there.", |s, take| {
        each(s, take, |dir| Count(dir.written));
    })
    .by(&["dir"]),
    MetricFamily::counter("bywash_spill_dir_read_bytes_total", "Read from there.", |s, take| {
        each(s, take, |dir| Count(dir.read));
    })
    .by(&["dir"]),
    MetricFamily::counter(
        "bywash_spill_dir_refusals_total",
        "Writes and creations refused by a quota, a full disk or the memory budget.",
        |s, take| each(s, take, |dir| Count(dir.refusals)),
    )
    .by(&["dir"]),
    MetricFamily::counter(
        "bywash_spill_dir_failures_total",
        "Operations that failed otherwise.",
        |s, take| each(s, take, |dir| Count(dir.failures)),
    )
    .by(&["dir"]),
];

fn each(
    snapshot: &MetricsSnapshot,
    take: &mut Samples<'_>,
    value: fn(&SpillDirFigures) -> MetricValue,
) {
    for dir in &snapshot.spill.dirs {
        take(&[&dir.path], value(dir));
    }
}
