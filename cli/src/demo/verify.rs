//! Reads every partition of a shuffle back and compares it with a naive partitioner over the input.
//!
//! Per map output and partition there are two digests of the sequence of rows: one over what the map
//! output gives, one over the rows that the naive partitioner puts there when it reads the map
//! task's input again. Equal digests mean the same rows in the same place and order.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use bywash::{ChargeMode, MapId, MapOutput, MemoryLedger, OutputDir, TaskMemory};
use serde::{Deserialize, Serialize};

use super::digest::{SequenceDigest, row_digests};
use super::placement::place;
use crate::args::VerifyArgs;
use crate::collect::{open_checked, open_finished};
use crate::failure::{Failure, Result};
use crate::input::Input;
use crate::job::{Job, JobMap};
use crate::report;
use crate::watch::Watch;

/// What was compared and whether it agreed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct VerifyReport {
    rows: u64,
    segments: u64,
    seconds: f64,
    /// Where the first difference is; none when verified.
    pub(super) first_difference: Option<String>,
}

impl VerifyReport {
    pub(super) fn verified(&self) -> bool {
        self.first_difference.is_none()
    }
}

/// Runs the hidden command; a difference is reported, not an error, so that the caller can show it.
pub(crate) fn run(args: &VerifyArgs) -> Result<()> {
    let started = Instant::now();
    let job = Job::read(&args.dir)?;
    let input = Input::open(&args.inputs)?;
    let ledger = MemoryLedger::unlimited();
    let memories = ledger.admit(job.map_outputs.len().max(1), 0)?;
    let checker = Checker {
        by: input.columns(&job.by)?,
        out: open_finished(&args.dir)?,
        job: &job,
        input: &input,
        watch: Watch::default(),
    };
    let difference = if let Some(difference) = checker.check_coverage() {
        Some(difference)
    } else {
        checker.watch.run("verifying", input.rows(), || checker.check_maps(&memories))?
    };
    let report = VerifyReport {
        rows: job.rows,
        segments: u64::from(job.partitions) * job.map_outputs.len() as u64,
        seconds: started.elapsed().as_secs_f64(),
        first_difference: difference,
    };
    report::print(&report, true)
}

struct Checker<'a> {
    job: &'a Job,
    input: &'a Input,
    by: Vec<usize>,
    out: Arc<OutputDir>,
    watch: Watch,
}

impl Checker<'_> {
    /// Every row group of every input file belongs to exactly one map output.
    fn check_coverage(&self) -> Option<String> {
        let mut uses: BTreeMap<(PathBuf, usize), u32> = BTreeMap::new();
        for piece in self.job.map_outputs.iter().flat_map(|map| &map.inputs) {
            for group in &piece.row_groups {
                *uses.entry((piece.file.clone(), *group)).or_default() += 1;
            }
        }
        for piece in self.input.deal(1).concat() {
            for group in piece.row_groups {
                if uses.remove(&(piece.file.clone(), group)) != Some(1) {
                    let file = piece.file.display();
                    return Some(format!("row group {group} of {file} was not read once"));
                }
            }
        }
        if let Some(((file, group), _)) = uses.first_key_value() {
            let file = file.display();
            return Some(format!(
                "row group {group} of {file} was read but is not among the inputs"
            ));
        }
        if self.job.rows != self.input.rows() {
            let (found, expected) = (self.job.rows, self.input.rows());
            return Some(format!("the shuffle has {found} rows, its input {expected}"));
        }
        None
    }

    /// Checks the map outputs, each on a thread.
    fn check_maps(&self, memories: &[TaskMemory]) -> Result<Option<String>> {
        thread::scope(|scope| {
            let running: Vec<_> = self
                .job
                .map_outputs
                .iter()
                .zip(memories)
                .map(|(map, memory)| scope.spawn(move || self.check_map(map, memory)))
                .collect();
            let mut first = None;
            for handle in running {
                let checked = handle.join().map_err(|_panic| Failure::new("a check panicked"))?;
                first = first.or(checked?);
            }
            Ok(first)
        })
    }

    fn check_map(&self, map: &JobMap, memory: &TaskMemory) -> Result<Option<String>> {
        let expected = self.naive_digests(map)?;
        let output =
            open_checked(self.job, map, || MapOutput::open(&self.out, MapId(map.map), memory))?;
        for (partition, expected) in (0u32..).zip(&expected) {
            let mut found = SequenceDigest::default();
            for batch in output.read(partition, memory, ChargeMode::Ledger)? {
                let batch = batch?;
                if batch.schema_ref().fields() != self.input.schema().fields() {
                    return Ok(Some(format!("map output {} has another schema", map.map)));
                }
                row_digests(&batch)?.into_iter().for_each(|digest| found.push(digest));
            }
            if found != *expected || output.rows(partition) != expected.rows {
                return Ok(Some(format!(
                    "partition {partition} of map output {} has {} rows (index: {}), the naive \
                     partitioner {}, and their digests differ",
                    map.map,
                    found.rows,
                    output.rows(partition),
                    expected.rows
                )));
            }
        }
        Ok(None)
    }

    /// Digests per partition of what the map task read, placed naively.
    fn naive_digests(&self, map: &JobMap) -> Result<Vec<SequenceDigest>> {
        let partitions = usize::try_from(self.job.partitions).unwrap_or(usize::MAX);
        let mut digests = vec![SequenceDigest::default(); partitions];
        for batch in self.input.read(map.inputs.clone(), self.input.batch_rows()) {
            let batch = batch?;
            let places = place(&batch, &self.by, self.job.partitions)?;
            for (row, partition) in row_digests(&batch)?.into_iter().zip(places) {
                let partition = usize::try_from(partition).unwrap_or(usize::MAX);
                if let Some(digest) = digests.get_mut(partition) {
                    digest.push(row);
                }
            }
            self.watch.advance(batch.num_rows());
        }
        Ok(digests)
    }
}

impl fmt::Display for VerifyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.first_difference {
            None => writeln!(
                f,
                "verified          {} rows in {} segments: rows, placement and order as a naive \
                 partitioner gives them ({:.2} s)",
                self.rows, self.segments, self.seconds
            ),
            Some(difference) => writeln!(f, "NOT VERIFIED      {difference}"),
        }
    }
}
