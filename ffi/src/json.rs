//! Figures and explanations as JSON.

use bywash::{Explanation, HolderReport, MemoryLedger, SpillRecord, WriteProgress};
use serde_json::{Value, json};

/// A ledger's explanation, and its counters.
pub(crate) fn explanation(ledger: &MemoryLedger) -> String {
    let explanation = ledger.explain();
    let Explanation { capacity, granted, live, peak_granted, holders, peak, spills, .. } =
        &explanation;
    let snapshot = ledger.snapshot();
    json!({
        "capacity_bytes": capacity,
        "granted_bytes": granted,
        "live_bytes": live,
        "exported_bytes": snapshot.exported,
        "over_bytes": snapshot.over,
        "lent_bytes": snapshot.lent,
        "peak_granted_bytes": peak_granted,
        "tasks": snapshot.tasks,
        "waiting": snapshot.waiting,
        "refusals": snapshot.refusals,
        "holders": holders.iter().map(holder).collect::<Vec<_>>(),
        "peak": peak.iter().map(|(name, bytes)| json!({"consumer": name, "bytes": bytes})).collect::<Vec<_>>(),
        "spills": spills.iter().map(spill).collect::<Vec<_>>(),
    })
    .to_string()
}

fn holder(holder: &HolderReport) -> Value {
    json!({
        "task": holder.task,
        "consumer": holder.name,
        "granted_bytes": holder.granted,
        "live_bytes": holder.live,
        "peak_bytes": holder.peak,
        "spilled_bytes": holder.spilled,
        "reclaimable_bytes": holder.reclaimable,
    })
}

fn spill(spill: &SpillRecord) -> Value {
    json!({
        "number": spill.number,
        "cause": spill.cause.name(),
        "asker_task": spill.asker.task,
        "asker": spill.asker.consumer,
        "asked_bytes": spill.asked,
        "holder_task": spill.holder.task,
        "holder": spill.holder.consumer,
        "held_bytes": spill.held,
        "freed_bytes": spill.freed,
        "written_bytes": spill.written,
        "seconds": spill.took.as_secs_f64(),
        "failed": spill.failed,
    })
}

/// What a writer has done so far.
pub(crate) fn progress(progress: &WriteProgress) -> String {
    json!({
        "rows": progress.rows,
        "bytes": progress.bytes,
        "spills_pressure": progress.spills_pressure,
        "spills_reclaim": progress.spills_reclaim,
        "spills_request": progress.spills_request,
        "spills_oversized_row": progress.spills_oversized_row,
        "spilled_bytes": progress.spilled_bytes,
        "run_merges": progress.run_merges,
        "output_bytes": progress.output_bytes,
        "stage_seconds": progress.stage_time.as_secs_f64(),
        "sort_seconds": progress.sort_time.as_secs_f64(),
        "spill_seconds": progress.spill_time.as_secs_f64(),
        "output_seconds": progress.output_time.as_secs_f64(),
        "commit_seconds": progress.commit_time.as_secs_f64(),
    })
    .to_string()
}
