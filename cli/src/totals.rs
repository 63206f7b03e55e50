//! What several writers did together, as reports show it.

use std::time::Duration;

use bywash::WriteProgress;

use crate::report::{PhaseTime, SpillCount};

/// The sum of writers' counters.
pub fn total<'a>(writers: impl IntoIterator<Item = &'a WriteProgress>) -> WriteProgress {
    let mut total = WriteProgress::default();
    for writer in writers {
        total += *writer;
    }
    total
}

/// Spills by cause, in words.
pub fn spill_counts(progress: &WriteProgress) -> Vec<SpillCount> {
    [
        ("because the budget was used up", progress.spills_pressure),
        ("because memory was taken back", progress.spills_reclaim),
        ("on request", progress.spills_request),
        ("before a row too large to stage", progress.spills_oversized_row),
    ]
    .into_iter()
    .map(|(cause, count)| SpillCount { cause: cause.to_owned(), count })
    .collect()
}

/// Time per phase.
pub fn phase_times(progress: &WriteProgress) -> Vec<PhaseTime> {
    let phase = |phase: &str, time: Duration| PhaseTime {
        phase: phase.to_owned(),
        seconds: time.as_secs_f64(),
    };
    vec![
        phase("stage", progress.stage_time),
        phase("sort", progress.sort_time),
        phase("spill", progress.spill_time),
        phase("output", progress.output_time),
        phase("commit", progress.commit_time),
    ]
}
