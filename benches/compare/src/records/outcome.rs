//! What a rival's runs came to beside their time.

use std::fmt;
use std::time::Duration;

use crate::clock::Elapsed;
use crate::failure::Result;
use crate::rounds::Run;

/// Runs so far: the first is read back, the others must give as many bytes.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    first: Option<(u64, u64)>,
    spilled: u64,
    walls: Vec<Duration>,
}

impl Outcome {
    /// Takes note of a run; `read_back` gives the digest of its output.
    pub(crate) fn run(
        &mut self,
        time: Elapsed,
        bytes: u64,
        spilled: u64,
        read_back: impl FnOnce() -> Result<u64>,
    ) -> Result<Run> {
        let (first_bytes, digest) = match self.first {
            Some(first) => first,
            None => *self.first.insert((bytes, read_back()?)),
        };
        if bytes != first_bytes {
            return Err(format!("an output of {bytes} bytes after one of {first_bytes}").into());
        }
        self.spilled = spilled;
        self.walls.push(time.wall);
        Ok(Run { time: time.process, digest })
    }

    /// Whether a run was read back.
    pub(crate) fn is_known(&self) -> bool {
        self.first.is_some()
    }

    /// The digest of the run that was read back.
    pub(crate) fn digest(&self) -> u64 {
        self.first.map_or(0, |(_bytes, digest)| digest)
    }
}

/// Cells of a table: output and spilled MiB, the median on the wall in seconds, first runs included.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut walls = self.walls.clone();
        walls.sort_unstable();
        let wall = walls.get(walls.len() / 2).copied().unwrap_or_default().as_secs_f64();
        let bytes = self.first.map_or(0, |(bytes, _digest)| bytes);
        write!(f, "{wall:.2} | {} | {}", bytes >> 20, self.spilled >> 20)
    }
}
