//! Figures of spill directories, one entry for each path.

use bywash_spill::{DirCondition, DirReport, SpillDirs};

/// What lies in spill directories and may.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SpillFigures {
    /// Bytes in spill files now.
    pub used: u64,
    /// The most there may be in all directories; `None` without a limit.
    pub quota: Option<u64>,
    /// Directories that were given and are not used.
    pub unused_dirs: u64,
    /// Each directory in use, by path.
    pub dirs: Vec<SpillDirFigures>,
}

/// Figures of one spill directory. Bytes unless said; counts are since it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpillDirFigures {
    /// The path it was opened by; a path that is no text has replacement characters.
    pub path: String,
    /// The name of its filesystem.
    pub filesystem: String,
    /// Whether it is worth trying.
    pub condition: DirCondition,
    /// In files now.
    pub used: u64,
    /// The most there may be; `None` without a limit.
    pub quota: Option<u64>,
    /// Of the ledger's memory, for its files; 0 but for a directory in memory.
    pub charged: u64,
    /// Files now.
    pub open_files: u64,
    /// Files made.
    pub files: u64,
    /// Written.
    pub written: u64,
    /// Read.
    pub read: u64,
    /// Writes and creations refused by a quota, a full disk or the memory budget.
    pub refusals: u64,
    /// Operations that failed otherwise.
    pub failures: u64,
}

impl SpillFigures {
    /// Adds the directories of one opening. A path that is there already, as two openings may share
    /// it, gets the sums, and the worse condition.
    pub(super) fn add(&mut self, spill_dirs: &SpillDirs, is_first: bool) {
        self.used += spill_dirs.used_bytes();
        self.quota = match (is_first, self.quota, spill_dirs.quota_total()) {
            (true, _, quota) => quota,
            (false, sum, quota) => add_limits(sum, quota),
        };
        self.unused_dirs += spill_dirs.unused().len() as u64;
        for report in spill_dirs.dirs() {
            let new = SpillDirFigures::of(&report);
            match self.dirs.iter_mut().find(|dir| dir.path == new.path) {
                Some(dir) => dir.add(&new),
                None => self.dirs.push(new),
            }
        }
        self.dirs.sort_by(|one, next| one.path.cmp(&next.path));
    }
}

impl SpillDirFigures {
    fn of(report: &DirReport) -> Self {
        Self {
            path: report.path.to_string(),
            filesystem: report.filesystem.name().to_owned(),
            condition: report.condition,
            used: report.used_bytes,
            quota: report.quota_bytes,
            charged: report.charged_bytes,
            open_files: report.files,
            files: report.files_total,
            written: report.written_bytes_total,
            read: report.read_bytes_total,
            refusals: report.refusals_total,
            failures: report.failures_total,
        }
    }

    fn add(&mut self, other: &Self) {
        if rank(other.condition) > rank(self.condition) {
            self.condition = other.condition;
        }
        self.quota = add_limits(self.quota, other.quota);
        self.used += other.used;
        self.charged += other.charged;
        self.open_files += other.open_files;
        self.files += other.files;
        self.written += other.written;
        self.read += other.read;
        self.refusals += other.refusals;
        self.failures += other.failures;
    }
}

/// Conditions by name, best first.
pub(super) const CONDITIONS: [(&str, DirCondition); 3] = [
    ("usable", DirCondition::Usable),
    ("full", DirCondition::Full),
    ("failing", DirCondition::Failing),
];

fn rank(condition: DirCondition) -> Option<usize> {
    CONDITIONS.iter().position(|(_, known)| *known == condition)
}

fn add_limits(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    Some(one?.saturating_add(other?))
}
