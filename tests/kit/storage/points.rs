//! At which operations of a run something happens.

use std::fmt;

use bywash_spill::StoreOp;

use crate::seed::Rng;

/// A choice of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Points {
    /// Each one.
    Every,
    /// Of each kind at most so many: the first, the last, and random ones between.
    OfEachKind {
        /// How many.
        most: usize,
        /// What the random ones come from.
        seed: u64,
    },
}

/// How many operations were chosen of how many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Covered {
    /// Chosen.
    pub chosen: usize,
    /// In all.
    pub of: usize,
}

impl Points {
    /// The places in `record` that are chosen, rising.
    pub fn choose(self, record: &[StoreOp]) -> Vec<u64> {
        let all = 0..record.len();
        let chosen: Vec<usize> = match self {
            Self::Every => all.collect(),
            Self::OfEachKind { most, seed } => {
                let mut chosen = Vec::new();
                for (kind, op) in StoreOp::ALL.into_iter().enumerate() {
                    let mut places: Vec<usize> =
                        all.clone().filter(|&place| record[place] == op).collect();
                    let mut rng = Rng::labelled(seed, &[kind as u64]);
                    while places.len() > most.max(2) {
                        let inner = places.len() - 2;
                        places.remove(1 + rng.index(inner));
                    }
                    chosen.append(&mut places);
                }
                chosen.sort_unstable();
                chosen
            }
        };
        chosen.into_iter().map(|place| place as u64).collect()
    }
}

impl Covered {
    /// Adds the choice from one record.
    pub const fn add(&mut self, chosen: &[u64], record: &[StoreOp]) {
        self.chosen += chosen.len();
        self.of += record.len();
    }
}

impl fmt::Display for Covered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} operations", self.chosen, self.of)
    }
}
