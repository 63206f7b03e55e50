//! Figures and explanations as JSON.

use bywash::{DirCondition, DirReport, Explanation, HolderReport, SpillRecord, WriteProgress};
use serde_json::{Value, json};

use crate::context::Context;

/// A ledger's explanation, its counters, and the spill directories.
pub(crate) fn explanation(context: &Context) -> String {
    let ledger = &context.ledger;
    let explanation = ledger.explain();
    let Explanation { holders, peak, spills, .. } = &explanation;
    // The figures are of one moment; the lists may be of the one before.
    let snapshot = ledger.snapshot();
    let spill_dirs = context.spill_dirs.as_ref();
    let dirs = spill_dirs.map(|dirs| dirs.dirs()).unwrap_or_default();
    let unused = spill_dirs.map(|dirs| dirs.unused()).unwrap_or_default();
    json!({
        "capacity_bytes": snapshot.capacity,
        "granted_bytes": snapshot.granted,
        "live_bytes": snapshot.live,
        "exported_bytes": snapshot.exported,
        "over_bytes": snapshot.over,
        "lent_bytes": snapshot.lent,
        "peak_granted_bytes": snapshot.peak_granted,
        "tasks": snapshot.tasks,
        "waiting": snapshot.waiting,
        "refusals": snapshot.refusals,
        "holders": holders.iter().map(holder).collect::<Vec<_>>(),
        "peak": peak.iter().map(|(name, bytes)| json!({"consumer": name, "bytes": bytes})).collect::<Vec<_>>(),
        "spills": spills.iter().map(spill).collect::<Vec<_>>(),
        "spill_dirs": dirs.iter().map(dir).collect::<Vec<_>>(),
        "spill_dirs_unused": unused.iter().map(|unused| json!({
            "path": unused.path.to_string_lossy(),
            "error": unused.error.to_string(),
        })).collect::<Vec<_>>(),
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

fn dir(dir: &DirReport) -> Value {
    json!({
        "path": &*dir.path,
        "filesystem": dir.filesystem.to_string(),
        "usable": dir.condition == DirCondition::Usable,
        "used_bytes": dir.used_bytes,
        "quota_bytes": dir.quota_bytes,
        "charged_bytes": dir.charged_bytes,
        "files": dir.files,
        "written_bytes": dir.written_bytes_total,
        "read_bytes": dir.read_bytes_total,
        "refusals": dir.refusals_total,
        "failures": dir.failures_total,
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
