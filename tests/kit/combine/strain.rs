//! A merge function during whose calls memory comes and goes: the capacity falls and rises, and
//! others take what is free and give it back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bywash::{AccumulatorSize, Consumer, MemoryLedger, Merge, Reservation, Result};

use crate::seed::Rng;

/// What moves memory; clones share it.
#[derive(Debug, Clone)]
pub struct Strain(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    ledger: MemoryLedger,
    /// The capacity from `least` to `most`.
    least: u64,
    most: u64,
    others: Consumer,
    held: Option<Reservation>,
    rng: Rng,
    /// Calls until memory moves again, and the most between two moves.
    calls: usize,
    calls_max: usize,
}

impl Strain {
    /// Moves the capacity of `ledger` between what it is and `least`, and memory to and from
    /// `others`.
    pub fn new(ledger: &MemoryLedger, least: u64, others: Consumer, mut rng: Rng) -> Self {
        let calls_max = *rng.pick(&[20, 200, 3000]);
        let (ledger, most) = (ledger.clone(), ledger.capacity());
        let state = State { ledger, least, most, others, held: None, rng, calls: 1, calls_max };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Moves memory. Asks no consumer for any.
    pub fn change(&self) {
        self.state().change();
    }

    /// Gives all memory that was taken back, until the next move.
    pub fn let_go(&self) {
        let mut state = self.state();
        state.held = None;
        state.ledger.set_capacity(state.most);
    }

    /// One call of a merge function: now and then memory moves.
    fn step(&self) {
        let mut state = self.state();
        state.calls -= 1;
        if state.calls == 0 {
            let most = state.calls_max;
            state.calls = state.rng.index(most) + 1;
            state.change();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn change(&mut self) {
        match self.rng.below(7) {
            0 => {
                let capacity = self.rng.within(self.least, self.most);
                self.ledger.set_capacity(capacity);
            }
            1 => {
                // No more than what is granted.
                let capacity = self.ledger.granted().clamp(self.least, self.most);
                self.ledger.set_capacity(capacity);
            }
            2 => {
                // What comes back is not granted again.
                self.ledger.set_capacity(self.least);
            }
            3 => {
                self.ledger.set_capacity(self.most);
            }
            4 => self.held = None,
            _ => {
                self.held = None;
                let free = self.ledger.capacity().saturating_sub(self.ledger.granted());
                let part = if self.rng.chance(70) { free } else { self.rng.below(free + 1) };
                self.held = self.others.try_reserve(part).ok();
            }
        }
    }
}

/// Merges as `merge` does, under a strain if there is one.
#[derive(Debug, Clone)]
pub struct Strained<M> {
    /// What merges.
    pub merge: M,
    /// What moves memory meanwhile.
    pub strain: Option<Strain>,
}

impl<M> Strained<M> {
    fn step(&self) {
        if let Some(strain) = &self.strain {
            strain.step();
        }
    }
}

impl<M: Merge> Merge for Strained<M> {
    fn size(&self) -> AccumulatorSize {
        self.merge.size()
    }

    fn created_bytes_max(&self, value: &[u8]) -> usize {
        self.step();
        self.merge.created_bytes_max(value)
    }

    fn create(&mut self, value: &[u8], accumulator: &mut [u8]) -> Result<usize> {
        self.step();
        self.merge.create(value, accumulator)
    }

    fn merged_bytes_max(&self, accumulator: &[u8], value: &[u8]) -> usize {
        self.step();
        self.merge.merged_bytes_max(accumulator, value)
    }

    fn merge(&mut self, accumulator: &mut [u8], len: usize, value: &[u8]) -> Result<usize> {
        self.step();
        self.merge.merge(accumulator, len, value)
    }

    fn joined_bytes_max(&self, accumulator: &[u8], other: &[u8]) -> usize {
        self.step();
        self.merge.joined_bytes_max(accumulator, other)
    }

    fn merge_accumulators(
        &mut self,
        accumulator: &mut [u8],
        len: usize,
        other: &[u8],
    ) -> Result<usize> {
        self.step();
        self.merge.merge_accumulators(accumulator, len, other)
    }
}
