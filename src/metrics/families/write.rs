//! Metrics of shuffle writers.

use super::{MetricFamily, MetricValue};
use MetricValue::{Count, Time};

pub(super) const TITLE: &str = "Writers";
pub(super) const ABOUT: &str = "Sums over the shuffle writers that the metrics were told of, ended \
    ones included.";

pub(super) static FAMILIES: [MetricFamily; 8] = [
    MetricFamily::counter("bywash_writers_total", "Writers so far.", |s, take| {
        take(&[], Count(s.writers.writers));
    }),
    MetricFamily::gauge(
        "bywash_writers_open",
        "Writers that are still there, or that something is held to cancel them with.",
        |s, take| take(&[], Count(s.writers.open)),
    ),
    MetricFamily::counter("bywash_write_rows_total", "Rows taken.", |s, take| {
        take(&[], Count(s.writers.progress.rows));
    }),
    MetricFamily::counter(
        "bywash_write_input_bytes_total",
        "Bytes of the rows taken, before compression.",
        |s, take| take(&[], Count(s.writers.progress.bytes)),
    ),
    MetricFamily::counter(
        "bywash_write_spilled_bytes_total",
        "Written to spill files, merges of runs included.",
        |s, take| take(&[], Count(s.writers.progress.spilled_bytes)),
    ),
    MetricFamily::counter(
        "bywash_write_run_merges_total",
        "Merges of spilled runs because a writer had too many.",
        |s, take| take(&[], Count(s.writers.progress.run_merges)),
    ),
    MetricFamily::counter("bywash_write_output_bytes_total", "Bytes of map outputs.", |s, take| {
        take(&[], Count(s.writers.progress.output_bytes));
    }),
    MetricFamily::counter(
        "bywash_write_seconds_total",
        "Time of writers by phase, summed over threads.",
        |s, take| {
            let progress = &s.writers.progress;
            take(&["stage"], Time(progress.stage_time));
            take(&["sort"], Time(progress.sort_time));
            take(&["spill"], Time(progress.spill_time));
            take(&["output"], Time(progress.output_time));
            take(&["commit"], Time(progress.commit_time));
        },
    )
    .by(&["phase"]),
];
