//! What happens to the tasks from outside: capacity, reclaims, cancels, buffers dropped elsewhere.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arrow_buffer::Buffer;
use bywash::WaitCanceller;

use super::{CAPACITY, Counts, Stage, TASKS};
use crate::seed::Rng;

/// How each task can be reached by the thread that cancels.
pub(super) struct Calls(Vec<Call>);

#[derive(Default)]
pub(super) struct Call {
    cancel_admission: AtomicBool,
    consumers: Mutex<Vec<WaitCanceller>>,
}

impl Calls {
    pub(super) fn new() -> Self {
        Self((0..TASKS).map(|_| Call::default()).collect())
    }

    pub(super) fn of(&self, task: usize) -> &Call {
        &self.0[task]
    }
}

impl Call {
    pub(super) fn take_admission_cancel(&self) -> bool {
        self.cancel_admission.swap(false, Ordering::SeqCst)
    }

    pub(super) fn set_consumers(&self, consumers: Vec<WaitCanceller>) {
        let mut place = self.consumers.lock().unwrap_or_else(PoisonError::into_inner);
        *place = consumers;
    }
}

/// Lets the capacity fall and rise. What is granted never rises while it is above.
pub(super) fn capacity(stage: &Stage<'_>, seed: u64, ended: &AtomicBool) -> Result<(), String> {
    let mut rng = Rng::labelled(seed, &[TASKS as u64]);
    let ledger = stage.ledger;
    let mut outcome = Ok(());
    while outcome.is_ok() && !ended.load(Ordering::Relaxed) {
        let capacity = match rng.below(10) {
            0 => rng.within(1, CAPACITY / 16),
            1..5 => rng.within(CAPACITY / 2, CAPACITY),
            _ => CAPACITY,
        };
        if ledger.set_capacity(capacity) > 0 {
            Counts::add(&stage.counts.over);
        }
        let mut most = capacity.max(ledger.granted());
        for _ in 0..rng.within(1, 2000) {
            let granted = ledger.granted();
            if granted > most {
                outcome = Err(format!("{granted} granted of {capacity}, {most} before"));
                break;
            }
            most = capacity.max(granted);
            if rng.chance(10) {
                std::thread::yield_now();
            }
        }
        pause();
    }
    ledger.set_capacity(CAPACITY);
    stop_if_wrong(stage, outcome)
}

/// Takes memory back as a host would.
pub(super) fn reclaims(stage: &Stage<'_>, seed: u64, ended: &AtomicBool) -> Result<(), String> {
    let mut rng = Rng::labelled(seed, &[TASKS as u64 + 1]);
    while !ended.load(Ordering::Relaxed) {
        let bytes = *rng.pick(&[1, 100_000, 1 << 20, 8 << 20, u64::MAX]);
        stage.ledger.reclaim(bytes);
        if rng.chance(10) {
            // Whoever explains what is going on must not be in the way.
            let explanation = stage.ledger.explain();
            let held: u64 = explanation.holders.iter().map(|holder| holder.granted).sum();
            if held > 2 * CAPACITY {
                return stop_if_wrong(stage, Err(format!("holders of {held}: {explanation}")));
            }
        }
        pause();
    }
    Ok(())
}

/// Cancels waits and admissions.
pub(super) fn cancels(stage: &Stage<'_>, seed: u64, ended: &AtomicBool) {
    let mut rng = Rng::labelled(seed, &[TASKS as u64 + 2]);
    while !ended.load(Ordering::Relaxed) {
        let call = stage.calls.of(rng.index(TASKS));
        if rng.chance(50) {
            call.cancel_admission.store(true, Ordering::SeqCst);
            stage.ledger.wake_all();
        } else {
            let consumers = call.consumers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if !consumers.is_empty() {
                rng.pick(&consumers).cancel();
            }
        }
        for _ in 0..4 {
            pause();
        }
    }
}

/// Drops what was handed out, in another order and much later, but never keeps it when nothing
/// comes any more.
pub(super) fn drop_exported(seed: u64, exported: &Receiver<Buffer>) {
    let mut rng = Rng::labelled(seed, &[TASKS as u64 + 3]);
    let mut kept = VecDeque::new();
    loop {
        match exported.recv_timeout(MOMENT) {
            Ok(buffer) => kept.push_back(buffer),
            Err(RecvTimeoutError::Timeout) => kept.clear(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        while kept.len() > rng.index(KEPT_MAX) {
            let place = rng.index(kept.len());
            drop(kept.swap_remove_front(place));
        }
    }
}

fn stop_if_wrong(stage: &Stage<'_>, outcome: Result<(), String>) -> Result<(), String> {
    if outcome.is_err() {
        stage.stop.store(true, Ordering::Relaxed);
    }
    outcome
}

/// Lets the tasks work for a moment: nothing depends on how long that is.
fn pause() {
    std::thread::park_timeout(MOMENT);
}

const MOMENT: Duration = Duration::from_millis(1);
const KEPT_MAX: usize = 40;
