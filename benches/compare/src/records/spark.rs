//! Spark's shuffle writers, each in a virtual machine of its own.

use std::time::Duration;

use clap::ValueEnum;

use super::input::Input;
use super::outcome::Outcome;
use super::place::{Place, fetch_memory};
use crate::clock::Elapsed;
use crate::failure::Result;
use crate::jvm::Jvm;
use crate::rounds::{Rival, Run};

#[derive(Debug)]
pub(crate) struct Spark {
    jvm: Jvm,
    writer: Writer,
    rows: u64,
    outcome: Outcome,
}

/// Which of its writers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Writer {
    /// `UnsafeShuffleWriter`: sorted pointers, spills.
    Unsafe,
    /// `BypassMergeSortShuffleWriter`: a file for each partition, and no budget.
    Bypass,
}

impl Writer {
    /// The most partitions for which Spark takes the bypass writer by itself.
    const BYPASS_PARTITIONS_MAX: u32 = 200;

    /// Whether Spark would take it for so many.
    pub(crate) fn takes(self, partitions: u32) -> bool {
        self == Self::Unsafe || partitions <= Self::BYPASS_PARTITIONS_MAX
    }

    /// The setting that makes it choose this one.
    fn bypass_threshold(self) -> u32 {
        match self {
            Self::Unsafe => 1,
            Self::Bypass => Self::BYPASS_PARTITIONS_MAX,
        }
    }
}

impl Spark {
    pub(crate) fn start(input: &Input, place: &Place, writer: Writer) -> Result<Self> {
        let settings = [
            format!("spark.local.dir={}", place.dir.display()),
            format!("spark.shuffle.sort.bypassMergeThreshold={}", writer.bypass_threshold()),
            "spark.memory.offHeap.enabled=true".into(),
            format!("spark.memory.offHeap.size={}", place.memory.for_spark()),
        ];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let heap = ["-Xms2g", "-Xmx2g", "-XX:+AlwaysPreTouch"];
        let mut jvm = Jvm::start("RecordsHarness", &heap, &settings)?;
        jvm.ask(&format!("records {} {}", input.rows(), place.partitions))?;
        Ok(Self { jvm, writer, rows: input.rows() as u64, outcome: Outcome::default() })
    }
}

impl Rival for Spark {
    fn name(&self) -> String {
        match self.writer {
            Writer::Unsafe => "Spark UnsafeShuffleWriter".into(),
            Writer::Bypass => "Spark BypassMergeSortShuffleWriter".into(),
        }
    }

    fn note(&self) -> String {
        self.outcome.to_string()
    }

    fn run(&mut self) -> Result<Run> {
        let request = if self.outcome.is_known() { "write" } else { "verify" };
        fetch_memory()?;
        let answer = self.jvm.ask(request)?;
        let (process, wall, bytes, spilled, digest) = match *answer {
            [process, wall, bytes, spilled] => {
                (process, wall, bytes, spilled, self.outcome.digest())
            }
            [process, wall, bytes, spilled, rows, digest] if rows == self.rows => {
                (process, wall, bytes, spilled, digest)
            }
            _ => return Err(format!("Spark wrote something else: {answer:?}").into()),
        };
        let [process, wall] = [process, wall].map(Duration::from_nanos);
        self.outcome.run(Elapsed { process, wall }, bytes, spilled, || Ok(digest))
    }
}
