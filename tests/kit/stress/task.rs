//! One task: four consumers that want more than their share, again and again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;

use arrow_buffer::Buffer;
use bywash::{ChargeMode, Consumer, Error, ErrorKind, Figure, TaskMemory};
use bywash_core::memory::{Area, Block};

use super::{CAPACITY, CONSUMERS, Counts, Stage, TASKS, WANT};
use crate::hoard::{Held, Hoard, request_bytes};
use crate::seed::Rng;

/// Works until the stage stops; what is wrong stops it for all.
pub(super) fn work(
    stage: &Stage<'_>,
    index: usize,
    seed: u64,
    exported: &Sender<Buffer>,
) -> Result<(), String> {
    let mut rng = Rng::labelled(seed, &[index as u64]);
    let mut outcome = Ok(());
    while outcome.is_ok() && !stage.stop.load(Ordering::Relaxed) {
        outcome = match Worker::admit(stage, index, &mut rng, exported) {
            Ok(worker) => worker.rounds(&mut rng),
            Err(ended) => Err(ended),
        };
        if matches!(outcome, Err(Ended::Cancelled | Ended::Refused)) {
            let is_cancel = outcome == Err(Ended::Cancelled);
            let counts = stage.counts;
            Counts::add(if is_cancel { &counts.cancelled } else { &counts.refusals });
            outcome = Ok(());
        }
    }
    outcome.map_err(|ended| {
        stage.stop.store(true, Ordering::Relaxed);
        format!("task {index}: {ended:?}")
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// Somebody cancelled it; it is admitted again.
    Cancelled,
    /// There is too little just now, even alone.
    Refused,
    Wrong(String),
}

struct Worker<'a> {
    stage: &'a Stage<'a>,
    index: usize,
    hoards: Vec<Arc<Hoard>>,
    exported: &'a Sender<Buffer>,
    /// Last: the task ends when its consumers are gone.
    _task: TaskMemory,
}

impl<'a> Worker<'a> {
    fn admit(
        stage: &'a Stage<'a>,
        index: usize,
        rng: &mut Rng,
        exported: &'a Sender<Buffer>,
    ) -> Result<Self, Ended> {
        // Half of them have a promise, of a quarter of a share.
        let minimum = if rng.chance(50) { CAPACITY / (4 * TASKS as u64) } else { 0 };
        let call = stage.calls.of(index);
        let cancelled = || call.take_admission_cancel();
        let mut tasks = match stage.ledger.admit_or_wait(1, minimum, &cancelled) {
            Ok(tasks) => tasks,
            Err(error) if error.kind() == ErrorKind::Cancelled => return Err(Ended::Cancelled),
            // The capacity is just so low that it could never hold all.
            Err(error) if is_refusal(&error) => {
                std::thread::yield_now();
                return Err(Ended::Refused);
            }
            Err(error) => return Err(Ended::Wrong(format!("admission: {error}"))),
        };
        let task = tasks.pop().ok_or_else(|| Ended::Wrong("no task".to_owned()))?;
        let hoard = |place: usize| Hoard::new(&task, NAMES[place], place < SPILLABLE);
        let hoards: Vec<_> = (0..CONSUMERS).map(hoard).collect();
        call.set_consumers(hoards.iter().map(|hoard| hoard.consumer().canceller()).collect());
        Ok(Self { stage, index, hoards, exported, _task: task })
    }

    /// Rounds until the task ends itself or is ended.
    fn rounds(self, rng: &mut Rng) -> Result<(), Ended> {
        while !self.stage.stop.load(Ordering::Relaxed) {
            self.round(rng)?;
            if rng.chance(25) {
                break;
            }
        }
        // Some let go of everything first, others leave that to the end of the task.
        if rng.chance(50) {
            self.hoards.iter().for_each(|hoard| hoard.clear());
        }
        Ok(())
    }

    /// Until each consumer has had what it wants.
    fn round(&self, rng: &mut Rng) -> Result<(), Ended> {
        let mut wants = [WANT; CONSUMERS];
        while wants.iter().any(|want| *want > 0) {
            let place = rng.index(CONSUMERS);
            let had = self.step(place, wants[place] == 0, rng)?;
            wants[place] = wants[place].saturating_sub(had);
            if self.stage.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        Counts::add(&self.stage.counts.rounds[self.index]);
        if rng.chance(70) {
            self.hoards.iter().for_each(|hoard| hoard.clear());
        }
        Ok(())
    }

    /// One operation of a consumer; the bytes it was granted.
    fn step(&self, place: usize, satisfied: bool, rng: &mut Rng) -> Result<u64, Ended> {
        let hoard = &self.hoards[place];
        let bytes = request_bytes(rng, STEP_MAX);
        let what = if satisfied { 100 } else { rng.below(100) };
        let done = hoard.operate(|consumer, held| match what {
            0..80 => ask(consumer, held, bytes, what, rng),
            80..88 => {
                let place = rng.index(held.len() + 1);
                if let Some(Held::Plain(reservation)) = held.get_mut(place) {
                    reservation.set_live(0);
                    reservation.shrink(bytes);
                }
                Ok(0)
            }
            88..94 => {
                self.export(held);
                Ok(0)
            }
            _ => {
                if !held.is_empty() {
                    drop(held.swap_remove(rng.index(held.len())));
                }
                Ok(0)
            }
        });
        match done.map_err(Ended::Wrong)? {
            Ok(had) => {
                self.stage.counts.grants.fetch_add(u64::from(had > 0), Ordering::Relaxed);
                Ok(had)
            }
            Err(error) => self.refused(place, &error).map(|()| 0),
        }
    }

    /// Hands a block to another thread, which drops it when it likes.
    fn export(&self, held: &mut Vec<Held>) {
        let Some(place) = held.iter().position(|held| matches!(held, Held::Block(..))) else {
            return;
        };
        if let Held::Block(block, _) = held.swap_remove(place) {
            let len = block.len();
            if let Some(buffer) = block.into_owner(ChargeMode::Ledger).buffer(0, len) {
                // Nobody receives after the end: then it is dropped here.
                drop(self.exported.send(buffer));
            }
        }
    }

    /// Makes room as a writer would: by itself first.
    fn refused(&self, place: usize, error: &Error) -> Result<(), Ended> {
        match error.kind() {
            ErrorKind::Cancelled => return Err(Ended::Cancelled),
            _ if is_refusal(error) => {}
            _ => return Err(Ended::Wrong(error.to_string())),
        }
        Counts::add(&self.stage.counts.refusals);
        if self.hoards[place].consumer().granted() > 0 {
            self.hoards[place].clear();
        } else {
            self.hoards.iter().for_each(|hoard| hoard.clear());
            // At most what was handed out is left of this task: others must run.
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.stage.calls.of(self.index).set_consumers(Vec::new());
    }
}

/// Asks in one of the ways there are.
fn ask(
    consumer: &Consumer,
    held: &mut Vec<Held>,
    bytes: u64,
    way: u64,
    rng: &mut Rng,
) -> Result<u64, Error> {
    let len = usize::try_from(bytes).unwrap_or(usize::MAX);
    let granted = match way {
        0..10 => Held::Area(Area::try_new(consumer, len)?),
        10..15 => Held::Area(Area::try_new_now(consumer, len)?),
        15..20 => Held::Area(Area::try_new_if_free(consumer, len)?),
        20..35 => {
            let extra = rng.below(100);
            let block = Block::try_new_to_keep(consumer, len, extra)?;
            Held::Block(block, Block::bytes_to_keep(len, extra))
        }
        35..40 => {
            consumer.ask_others(bytes);
            Held::Plain(consumer.try_reserve(bytes)?)
        }
        40..50 => Held::Plain(consumer.reserve_now(bytes)?),
        50..60 => {
            let plain = held.iter_mut().find_map(|held| match held {
                Held::Plain(reservation) => Some(reservation),
                _ => None,
            });
            let Some(reservation) = plain else {
                return Ok(0);
            };
            reservation.try_grow(bytes)?;
            return Ok(bytes);
        }
        _ => {
            let mut reservation = consumer.reserve(bytes)?;
            reservation.set_live(rng.below(bytes + 1));
            Held::Plain(reservation)
        }
    };
    let bytes = granted.granted();
    held.push(granted);
    Ok(bytes)
}

/// Refused, and not because it waited too long: then it starved.
fn is_refusal(error: &Error) -> bool {
    error.kind() == ErrorKind::MemoryLimit && error.figure(Figure::WaitedMillis).is_none()
}

const NAMES: [&str; CONSUMERS] = ["sorter", "writer", "table", "reader"];
/// So many of them can spill.
const SPILLABLE: usize = 2;
/// The largest request: a quarter of a share.
const STEP_MAX: u64 = CAPACITY / (4 * TASKS as u64);
