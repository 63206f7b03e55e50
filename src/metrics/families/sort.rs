//! Metrics of sorts.

use super::{MetricFamily, MetricValue};
use MetricValue::{Count, Time};

pub(super) const TITLE: &str = "Sorts";
pub(super) const ABOUT: &str =
    "Sums over the sorts that the metrics were told of, ended ones included.";

pub(super) static FAMILIES: [MetricFamily; 9] = [
    MetricFamily::counter("bywash_sorts_total", "Sorts so far.", |s, take| {
        take(&[], Count(s.sorts.sorts));
    }),
    MetricFamily::gauge(
        "bywash_sorts_open",
        "Sorts that are still filled or read, or that something is held to cancel them with.",
        |s, take| take(&[], Count(s.sorts.open)),
    ),
    MetricFamily::counter("bywash_sort_rows_total", "Rows taken.", |s, take| {
        take(&[], Count(s.sorts.progress.write.rows));
    }),
    MetricFamily::counter(
        "bywash_sort_input_bytes_total",
        "Bytes of the rows taken, before compression.",
        |s, take| take(&[], Count(s.sorts.progress.write.bytes)),
    ),
    MetricFamily::counter("bywash_sort_rows_out_total", "Rows given out in order.", |s, take| {
        take(&[], Count(s.sorts.progress.rows_out));
    }),
    MetricFamily::counter(
        "bywash_sort_spilled_bytes_total",
        "Written to spill files, merges of runs included.",
        |s, take| take(&[], Count(s.sorts.progress.write.spilled_bytes)),
    ),
    MetricFamily::counter("bywash_sort_runs_total", "Runs written by spills.", |s, take| {
        take(&[], Count(s.sorts.progress.runs));
    }),
    MetricFamily::counter(
        "bywash_sort_run_merges_total",
        "Merges of runs before the last one, because a sort had too many.",
        |s, take| take(&[], Count(s.sorts.progress.write.run_merges)),
    ),
    MetricFamily::counter(
        "bywash_sort_seconds_total",
        "Time of sorts by phase, summed over threads; that of output is merging and gathering.",
        |s, take| {
            let progress = &s.sorts.progress.write;
            take(&["stage"], Time(progress.stage_time));
            take(&["sort"], Time(progress.sort_time));
            take(&["spill"], Time(progress.spill_time));
            take(&["output"], Time(progress.output_time));
        },
    )
    .by(&["phase"]),
];
