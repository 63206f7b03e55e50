//! Metrics of spills.

use bywash_core::memory::SpillCause;

use super::{MetricFamily, MetricValue};
use MetricValue::{Count, Time};

pub(super) const TITLE: &str = "Spills";
pub(super) const ABOUT: &str = "Memory that was given back by writing it to disk.";

pub(super) static FAMILIES: [MetricFamily; 5] = [
    MetricFamily::counter(
        "bywash_spills_total",
        "Spills by cause, failed ones included.",
        |s, take| {
            for (cause, count) in SpillCause::ALL.iter().zip(s.ledger.spills) {
                take(&[cause.name()], Count(count));
            }
        },
    )
    .by(&["cause"]),
    MetricFamily::counter(
        "bywash_spill_failures_total",
        "Spills that failed; each has failed a writer.",
        |s, take| take(&[], Count(s.ledger.spills_failed)),
    ),
    MetricFamily::counter(
        "bywash_spill_freed_bytes_total",
        "Memory that spills gave back.",
        |s, take| take(&[], Count(s.ledger.spill_freed)),
    ),
    MetricFamily::counter(
        "bywash_spill_written_bytes_total",
        "Written to disk by spills.",
        |s, take| take(&[], Count(s.ledger.spill_written)),
    ),
    MetricFamily::counter(
        "bywash_spill_seconds_total",
        "Time that spills took, summed over threads.",
        |s, take| take(&[], Time(s.ledger.spill_time)),
    ),
];
