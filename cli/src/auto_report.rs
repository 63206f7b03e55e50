//! What `--memory auto` decided, as plain data for `--json` and the same as text.

use std::fmt;

use bywash::node::BudgetExplanation;
use serde::{Deserialize, Serialize};

use crate::sizes::human_size;

/// What `--memory auto` decided.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AutoReport {
    /// What was to be left to others (`--reserve`).
    pub reserve_bytes: u64,
    /// How the budget came about.
    pub found: BudgetReport,
    /// How the lowest capacity came about.
    pub tightest: BudgetReport,
    /// How often the container and the node were looked at.
    pub polls: u64,
    /// Polls that made the capacity less.
    pub capacity_cuts: u64,
    /// Polls that made it more.
    pub capacity_raises: u64,
    /// The lowest capacity.
    pub capacity_lowest_bytes: u64,
    /// The highest capacity.
    pub capacity_highest_bytes: u64,
    /// The capacity after the last poll.
    pub capacity_last_bytes: u64,
    /// What polls took back by spills.
    pub freed_by_polls_bytes: u64,
    /// Polls that asked for less than the tasks need, which they keep.
    pub polls_below_minimum: u64,
    /// The first poll that failed; the capacity stayed as it was.
    pub poll_error: Option<String>,
}

/// How a budget came about: limit - others - reserved and not yet used - margin.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BudgetReport {
    /// The budget.
    pub bytes: u64,
    /// Which figure was the tightest.
    pub signal: String,
    /// The control group whose limit it was.
    pub group: Option<String>,
    /// The limit.
    pub limit_bytes: u64,
    /// What others held under it that no pressure gives back.
    pub others_bytes: u64,
    /// What was reserved for others and not yet used.
    pub untouched_bytes: u64,
    /// The margin.
    pub margin_bytes: u64,
    /// All figures, as text.
    pub explanation: String,
}

impl BudgetReport {
    /// The figures of an explanation.
    pub(crate) fn of(explanation: &BudgetExplanation) -> Self {
        Self {
            bytes: explanation.ceiling,
            signal: explanation.signal.to_string(),
            group: explanation.group.as_deref().map(str::to_owned),
            limit_bytes: explanation.limit,
            others_bytes: explanation.held.saturating_sub(explanation.ours),
            untouched_bytes: explanation.untouched,
            margin_bytes: explanation.margin,
            explanation: explanation.to_string(),
        }
    }
}

impl fmt::Display for BudgetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.signal, human_size(self.limit_bytes))?;
        if let Some(group) = &self.group {
            write!(f, " of {group}")?;
        }
        write!(
            f,
            " - {} held by others - {} reserved - {} margin",
            human_size(self.others_bytes),
            human_size(self.untouched_bytes),
            human_size(self.margin_bytes)
        )
    }
}

impl fmt::Display for AutoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  found           {}", self.found)?;
        writeln!(
            f,
            "  followed        {} polls: cut {}, raised {}; {} to {}, {} taken back",
            self.polls,
            self.capacity_cuts,
            self.capacity_raises,
            human_size(self.capacity_lowest_bytes),
            human_size(self.capacity_highest_bytes),
            human_size(self.freed_by_polls_bytes)
        )?;
        if self.capacity_lowest_bytes < self.found.bytes {
            writeln!(f, "  at the lowest   {}", self.tightest)?;
        }
        if self.polls_below_minimum > 0 {
            let polls = self.polls_below_minimum;
            writeln!(f, "  too little      in {polls} polls less was left than the tasks need")?;
        }
        match &self.poll_error {
            Some(error) => writeln!(f, "  not followed    {error}"),
            None => Ok(()),
        }
    }
}
