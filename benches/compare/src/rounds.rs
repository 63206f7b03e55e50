//! Rivals in turn, A B C A B C, so that a change of the machine's mood meets all of them.

use std::time::Duration;

use crate::failure::Result;

/// One that does the work to be compared.
pub(crate) trait Rival {
    /// For the table.
    fn name(&self) -> String;

    /// What the table says of its runs besides.
    fn note(&self) -> String {
        String::new()
    }

    /// Does the work once. Making the input ready and looking at the outcome is not in the time.
    fn run(&mut self) -> Result<Run>;
}

/// What a run came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Processor time of what works: a thread, or a process with all of its threads.
    pub(crate) time: Duration,
    /// What equal outcomes have in common.
    pub(crate) digest: u64,
}

/// A rival's runs.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) name: String,
    /// What [`Rival::note`] said at the end.
    pub(crate) note: String,
    /// Ascending.
    times: Vec<Duration>,
}

impl Summary {
    pub(crate) fn median(&self) -> Duration {
        self.times[self.times.len() / 2]
    }

    pub(crate) fn least(&self) -> Duration {
        self.times[0]
    }

    pub(crate) fn most(&self) -> Duration {
        self.times[self.times.len() - 1]
    }
}

/// Runs all of them `warmup` times and then, counted, `rounds` times.
pub(crate) fn in_turn(
    rivals: &mut [Box<dyn Rival + '_>],
    warmup: usize,
    rounds: usize,
) -> Result<Vec<Summary>> {
    let mut times = vec![Vec::new(); rivals.len()];
    let mut digest = None;
    for round in 0..warmup + rounds {
        for (rival, times) in rivals.iter_mut().zip(&mut times) {
            let run = rival.run()?;
            if *digest.get_or_insert(run.digest) != run.digest {
                return Err(format!("{}: not the outcome of the first", rival.name()).into());
            }
            if round >= warmup {
                times.push(run.time);
            }
        }
    }
    Ok(rivals
        .iter()
        .zip(times)
        .map(|(rival, mut times)| {
            times.sort_unstable();
            Summary { name: rival.name(), note: rival.note(), times }
        })
        .collect())
}
