//! Metrics of the ledger's memory.

use super::{MetricFamily, MetricValue, limit};
use MetricValue::{Count, Time};

pub(super) const TITLE: &str = "Memory";
pub(super) const ABOUT: &str = "What the ledger may grant, has granted and is asked for. At every \
    instant live <= granted, and granted <= capacity unless the capacity fell.";

pub(super) static FAMILIES: [MetricFamily; 18] = [
    MetricFamily::gauge(
        "bywash_memory_capacity_bytes",
        "The most that may be granted at once; +Inf without a limit.",
        |s, take| {
            take(&[], limit(Some(s.ledger.capacity).filter(|capacity| *capacity != u64::MAX)));
        },
    ),
    MetricFamily::gauge("bywash_memory_granted_bytes", "Granted now.", |s, take| {
        take(&[], Count(s.ledger.granted));
    }),
    MetricFamily::gauge(
        "bywash_memory_live_bytes",
        "Really allocated now; granted minus live is slack.",
        |s, take| take(&[], Count(s.ledger.live)),
    ),
    MetricFamily::gauge(
        "bywash_memory_exported_bytes",
        "In buffers that were handed to the caller and are still charged.",
        |s, take| take(&[], Count(s.ledger.exported)),
    ),
    MetricFamily::gauge(
        "bywash_memory_over_bytes",
        "Granted above the capacity since it fell; not 0 for long means that holders do not give back.",
        |s, take| take(&[], Count(s.ledger.over)),
    ),
    MetricFamily::gauge(
        "bywash_memory_granted_peak_bytes",
        "The most that was ever granted at once.",
        |s, take| take(&[], Count(s.ledger.peak_granted)),
    ),
    MetricFamily::gauge(
        "bywash_memory_live_peak_bytes",
        "The most that was ever allocated at once.",
        |s, take| take(&[], Count(s.ledger.peak_live)),
    ),
    MetricFamily::gauge(
        "bywash_memory_lent_bytes",
        "Lent by the host now; 0 without one.",
        |s, take| take(&[], Count(s.ledger.lent)),
    ),
    MetricFamily::gauge("bywash_memory_tasks", "Tasks that have not ended.", |s, take| {
        take(&[], Count(s.ledger.tasks));
    }),
    MetricFamily::gauge(
        "bywash_memory_waiting_requests",
        "Requests and admissions that wait now.",
        |s, take| take(&[], Count(s.ledger.waiting)),
    ),
    MetricFamily::counter(
        "bywash_memory_grants_total",
        "Requests that were granted.",
        |s, take| {
            take(&[], Count(s.ledger.grants));
        },
    ),
    MetricFamily::counter(
        "bywash_memory_refusals_total",
        "Requests that were refused after everybody was asked.",
        |s, take| take(&[], Count(s.ledger.refusals)),
    ),
    MetricFamily::counter(
        "bywash_memory_waits_total",
        "Requests and admissions that had to wait.",
        |s, take| take(&[], Count(s.ledger.waits)),
    ),
    MetricFamily::counter(
        "bywash_memory_wait_seconds_total",
        "Time that requests and admissions have waited.",
        |s, take| take(&[], Time(s.ledger.wait_time)),
    ),
    MetricFamily::counter(
        "bywash_memory_reclaims_total",
        "Times that the host asked for memory back.",
        |s, take| take(&[], Count(s.ledger.reclaims)),
    ),
    MetricFamily::counter(
        "bywash_memory_reclaimed_bytes_total",
        "Given back when the host asked.",
        |s, take| take(&[], Count(s.ledger.reclaimed)),
    ),
    MetricFamily::counter(
        "bywash_memory_borrowed_bytes_total",
        "Borrowed from the host.",
        |s, take| take(&[], Count(s.ledger.borrowed)),
    ),
    MetricFamily::counter(
        "bywash_memory_host_refusals_total",
        "Times that the host lent less than was needed.",
        |s, take| take(&[], Count(s.ledger.host_refusals)),
    ),
];
