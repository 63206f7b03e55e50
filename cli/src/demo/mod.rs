//! `bywash demo`: generate, shuffle and verify, each in a child process of its own.
//!
//! The shuffle runs alone in its process so that the resident memory it reports is its own.

mod digest;
mod placement;
mod verify;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bywash::{FsStore, Store, check_disk_backed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::verify::VerifyReport;
pub(crate) use self::verify::run as verify;
use crate::args::{DemoArgs, SpillMemoryBacked};
use crate::failure::{At, Failure, Result};
use crate::lineitem;
use crate::report::{self, ShuffleReport};
use crate::spill_dirs;

/// Runs the command.
pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    args.memory.check_reserve(args.reserve)?;
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let parent = match &args.dir {
        Some(dir) => dir.clone(),
        None => first_on_a_disk(&store)?,
    };
    std::fs::create_dir_all(&parent).at(&parent)?;
    if args.spill_memory_backed == SpillMemoryBacked::Refuse {
        // Now rather than when all is generated.
        check_disk_backed(&store, &parent).at(&parent)?;
    }
    let mut work =
        tempfile::Builder::new().prefix("bywash-demo-").tempdir_in(&parent).at(&parent)?;
    work.disable_cleanup(args.keep);
    let generated = work.path().join("input");
    let shuffled = work.path().join("shuffle");
    let spills = work.path().join("spill");
    let inputs = lineitem::paths(&generated, args.tasks);

    let mut generate = Step::new("demo-generate");
    generate.option("--scale-factor", args.scale_factor.to_string());
    generate.option("--files", args.tasks.to_string());
    generate.option("--out", &generated);
    generate.output()?;

    let mut shuffle = Step::new("shuffle");
    shuffle.option("--by", KEY);
    shuffle.option("--partitions", args.partitions.to_string());
    shuffle.option("--memory", args.memory.to_string());
    if let Some(reserve) = args.reserve {
        shuffle.option("--reserve", reserve.to_string());
    }
    shuffle.option("--codec", args.codec.to_string());
    shuffle.option("--tasks", args.tasks.to_string());
    shuffle.option("--spill-dir", &spills);
    shuffle.option("--spill-memory-backed", args.spill_memory_backed.name());
    shuffle.option("--out", &shuffled);
    shuffle.argument("--json");
    if args.report.explain {
        shuffle.argument("--explain");
    }
    if let Some(file) = &args.report.metrics {
        shuffle.option("--metrics", file);
    }
    for input in &inputs {
        shuffle.argument(input);
    }
    let shuffle: ShuffleReport = shuffle.report()?;

    let mut verify = Step::new("demo-verify");
    verify.argument(&shuffled);
    for input in &inputs {
        verify.argument(input);
    }
    let verify: VerifyReport = verify.report()?;

    let report = DemoReport {
        scale_factor: args.scale_factor,
        verified: verify.verified(),
        kept: args.keep.then(|| work.path().display().to_string()),
        shuffle,
        verify,
    };
    if let Some(explain) = report.shuffle.resources.explain.as_ref().filter(|_| !args.report.json) {
        explain.print();
    }
    report::print(&report, args.report.json)?;
    match report.verify.first_difference {
        None => Ok(()),
        Some(difference) => Err(Failure::new(format!("not verified: {difference}"))),
    }
}

/// Where spills would go by default: inputs and outputs are too large for memory as well.
fn first_on_a_disk(store: &Arc<dyn Store>) -> Result<PathBuf> {
    let dirs = spill_dirs::defaults(store)?;
    dirs.into_iter().next().ok_or_else(|| Failure::new("no directory on a disk was found"))
}

/// A child process: this same program with another command.
struct Step {
    name: &'static str,
    arguments: Vec<OsString>,
}

impl Step {
    fn new(name: &'static str) -> Self {
        Self { name, arguments: vec![name.into()] }
    }

    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.argument(name);
        self.argument(value);
    }

    fn argument(&mut self, argument: impl AsRef<OsStr>) {
        self.arguments.push(argument.as_ref().to_owned());
    }

    /// Runs the step; its progress and its error line go to our standard error.
    fn output(&self) -> Result<Vec<u8>> {
        let failed = |why: String| Failure::new(format!("the step `{}` {why}", self.name));
        let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
        let output = Command::new(program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| failed(format!("did not start: {error}")))?;
        if !output.status.success() {
            return Err(failed(format!("failed ({})", output.status)));
        }
        Ok(output.stdout)
    }

    fn report<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.output()?).map_err(|error| {
            Failure::new(format!("the step `{}` printed no report: {error}", self.name))
        })
    }
}

/// What the demo found.
#[derive(Debug, Serialize)]
struct DemoReport {
    scale_factor: f64,
    verified: bool,
    kept: Option<String>,
    shuffle: ShuffleReport,
    verify: VerifyReport,
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lineitem          scale factor {}, by {KEY}", self.scale_factor)?;
        write!(f, "{}", self.shuffle)?;
        if let Some(kept) = &self.kept {
            writeln!(f, "kept              {kept}")?;
        }
        write!(f, "{}", self.verify)
    }
}

const KEY: &str = "l_orderkey";
