//! `--explain`: where the ledger's memory went and why it spilled, as text and as data.

use std::io::Write;

use bywash::{Explanation, Party, SpillRecord};
use serde::{Deserialize, Serialize};

/// An explanation for `--json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExplainReport {
    /// All of it, for people.
    pub text: Vec<String>,
    /// Who held how much when the most was granted.
    pub peak: Vec<PeakHolder>,
    /// The last spills, oldest first.
    pub spills: Vec<SpillReport>,
}

/// A consumer's part of the peak.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PeakHolder {
    /// Its name.
    pub consumer: String,
    /// What it held.
    pub bytes: u64,
}

/// One spill.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SpillReport {
    /// Counts spills from 1.
    pub number: u64,
    /// Why.
    pub cause: String,
    /// Who asked.
    pub asker: PartyReport,
    /// For how much; 0 for all.
    pub asked_bytes: u64,
    /// Who spilled.
    pub holder: PartyReport,
    /// What it held.
    pub held_bytes: u64,
    /// What it gave back.
    pub freed_bytes: u64,
    /// What it wrote to disk.
    pub written_bytes: u64,
    /// When it began, from the start of the shuffle.
    pub started_seconds: f64,
    /// How long it took.
    pub seconds: f64,
    /// Whether it failed.
    pub failed: bool,
}

/// A consumer of a task, or the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartyReport {
    /// The task's number from 1; none for the host.
    pub task: Option<u64>,
    /// The consumer's name.
    pub consumer: String,
}

impl ExplainReport {
    /// What a ledger explains.
    pub(crate) fn of(explanation: &Explanation) -> Self {
        let peak = explanation.peak.iter();
        Self {
            text: explanation.to_string().lines().map(str::to_owned).collect(),
            peak: peak
                .map(|(consumer, bytes)| PeakHolder {
                    consumer: (*consumer).to_owned(),
                    bytes: *bytes,
                })
                .collect(),
            spills: explanation.spills.iter().map(SpillReport::of).collect(),
        }
    }

    /// Writes the text to standard error.
    pub(crate) fn print(&self) {
        let _unheard = writeln!(std::io::stderr().lock(), "{}", self.text.join("\n"));
    }
}

impl SpillReport {
    fn of(record: &SpillRecord) -> Self {
        Self {
            number: record.number,
            cause: record.cause.name().to_owned(),
            asker: PartyReport::of(&record.asker),
            asked_bytes: record.asked,
            holder: PartyReport::of(&record.holder),
            held_bytes: record.held,
            freed_bytes: record.freed,
            written_bytes: record.written,
            started_seconds: record.started.as_secs_f64(),
            seconds: record.took.as_secs_f64(),
            failed: record.failed,
        }
    }
}

impl PartyReport {
    fn of(party: &Party) -> Self {
        Self { task: party.task, consumer: party.consumer.to_owned() }
    }
}
