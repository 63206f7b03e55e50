//! One run in a process of its own.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use rustix::time::{ClockId, clock_gettime};

use super::rows::{Batches, Source};
use super::sink::Sink;
use crate::failure::Result;

/// What a rival is to do.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) source: Source,
    pub(super) memory: u64,
    pub(super) dir: PathBuf,
}

/// What a run came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Report {
    /// Seconds, what making rows and looking at the outcome take left out.
    pub(super) wall: f64,
    /// Of processor time of all threads, likewise.
    pub(super) cpu: f64,
    /// The most bytes resident less those at the start.
    pub(super) resident: u64,
    pub(super) rows: u64,
    pub(super) digest: u64,
}

/// Rows in and out, the time of both apart.
pub(super) struct Ends {
    batches: Batches,
    given: Sink,
    taken: Sink,
    apart: Apart,
}

/// Time that is not the rival's.
#[derive(Debug, Clone, Copy, Default)]
struct Apart {
    wall: Duration,
    cpu: Duration,
}

impl Ends {
    /// The next batch to be sorted.
    pub(super) fn next(&mut self) -> Option<Result<RecordBatch>> {
        let start = Apart::now();
        let batch = self.batches.next();
        if let Some(Ok(batch)) = &batch
            && let Err(error) = self.given.take(batch)
        {
            return Some(Err(error));
        }
        self.apart.add_since(start);
        batch
    }

    /// Takes a sorted batch and drops it.
    pub(super) fn take(&mut self, batch: RecordBatch) -> Result<()> {
        let start = Apart::now();
        self.taken.take(&batch)?;
        self.apart.add_since(start);
        drop(batch);
        Ok(())
    }
}

impl Apart {
    fn now() -> (Instant, Duration) {
        (Instant::now(), processor_time())
    }

    fn add_since(&mut self, (wall, cpu): (Instant, Duration)) {
        self.wall += wall.elapsed();
        self.cpu += processor_time().saturating_sub(cpu);
    }
}

/// Runs a sort in this process.
pub(super) fn measured(
    task: Task,
    sort: impl FnOnce(&Task, SchemaRef, Ends) -> Result<Ends>,
) -> Result<Report> {
    let (schema, batches) = task.source.open()?;
    let taken = Sink::ordered(&schema, task.source.order())?;
    let ends = Ends { batches, given: Sink::counting(), taken, apart: Apart::default() };
    // The kernel's mark begins anew; without the right to, what is resident at the start is the most before it.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
    let idle = resident("VmRSS:")?;
    let (wall, cpu) = (Instant::now(), processor_time());
    let ends = sort(&task, schema, ends)?;
    let (wall, cpu) = (wall.elapsed(), processor_time().saturating_sub(cpu));
    let (given, taken) = (&ends.given, &ends.taken);
    if (given.rows, given.digest) != (taken.rows, taken.digest) {
        return Err("what came out is not what went in".into());
    }
    Ok(Report {
        wall: wall.saturating_sub(ends.apart.wall).as_secs_f64(),
        cpu: cpu.saturating_sub(ends.apart.cpu).as_secs_f64(),
        resident: resident("VmHWM:")?.saturating_sub(idle),
        rows: taken.rows,
        digest: taken.digest,
    })
}

/// Starts this program once more for one run of a rival, with the arguments it was given.
pub(super) fn start(rival: &str, memory: u64) -> Result<Report> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    // What is said last counts; a list of budgets is given anew.
    if let Some(at) = arguments.iter().position(|argument| argument == "--memory") {
        arguments.drain(at..(at + 2).min(arguments.len()));
    }
    arguments.retain(|argument| !argument.starts_with("--memory="));
    let output = Command::new(std::env::current_exe()?)
        .args(arguments)
        .args(["--rival", rival, "--memory", &memory.to_string()])
        .output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(said.lines().last().unwrap_or("it ended without a word").into());
    }
    String::from_utf8(output.stdout)?.parse()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wall, cpu, resident, rows, digest } = self;
        write!(f, "{wall} {cpu} {resident} {rows} {digest}")
    }
}

impl std::str::FromStr for Report {
    type Err = Box<dyn std::error::Error>;

    fn from_str(line: &str) -> Result<Self> {
        let [wall, cpu, resident, rows, digest] = line.split_whitespace().collect::<Vec<_>>()[..]
        else {
            return Err(format!("not a report: {line}").into());
        };
        Ok(Self {
            wall: wall.parse()?,
            cpu: cpu.parse()?,
            resident: resident.parse()?,
            rows: rows.parse()?,
            digest: digest.parse()?,
        })
    }
}

fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}

/// A figure of this process's status in bytes.
fn resident(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no such figure")?;
    Ok(kib.parse::<u64>()? << 10)
}
