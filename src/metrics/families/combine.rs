//! Metrics of combiners.

use super::{MetricFamily, MetricValue};
use MetricValue::Count;

pub(super) const TITLE: &str = "Combiners";
pub(super) const ABOUT: &str = "Sums over the combiners that the metrics were told of, of records and of \
    columns, ended ones included.";

pub(super) static FAMILIES: [MetricFamily; 8] = [
    MetricFamily::counter("bywash_combiners_total", "Combiners so far.", |s, take| {
        take(&[], Count(s.combiners.combiners));
    }),
    MetricFamily::gauge(
        "bywash_combiners_open",
        "Combiners that are still filled or read, or that something is held to cancel them with.",
        |s, take| take(&[], Count(s.combiners.open)),
    ),
    MetricFamily::counter("bywash_combine_records_total", "Records taken.", |s, take| {
        take(&[], Count(s.combiners.progress.records));
    }),
    MetricFamily::counter(
        "bywash_combine_input_bytes_total",
        "Bytes of their keys and values.",
        |s, take| take(&[], Count(s.combiners.progress.bytes)),
    ),
    MetricFamily::counter("bywash_combine_groups_total", "Groups given out.", |s, take| {
        take(&[], Count(s.combiners.progress.groups));
    }),
    MetricFamily::counter(
        "bywash_combine_spilled_bytes_total",
        "Written to spill files, merges of runs included.",
        |s, take| take(&[], Count(s.combiners.progress.spilled_bytes)),
    ),
    MetricFamily::counter(
        "bywash_combine_run_merges_total",
        "Merges of runs because a combiner had too many.",
        |s, take| take(&[], Count(s.combiners.progress.run_merges)),
    ),
    MetricFamily::counter(
        "bywash_combine_sorted_parts_total",
        "Parts that were sorted by key because no hash took them apart; many are a sign of chosen keys.",
        |s, take| take(&[], Count(s.combiners.progress.sorted_parts)),
    ),
];
