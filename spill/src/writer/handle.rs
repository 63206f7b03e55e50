//! What the writers of columns and of records have in common for their caller.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bywash_core::memory::{SpillCause, TaskMemory, WaitCanceller};
use bywash_core::{AttemptId, Error, ErrorKind, MapId, Result};

use super::engine::{Engine, Signals};
use super::progress::WriteProgress;
use super::rows::Rows;
use super::working_set::WorkingSet;
use crate::handle::{Answers, Reclaim};
use crate::map_output::OutputSlot;
use crate::output_dir::OutputDir;
use crate::spill_dirs::SpillDirs;

/// The caller's end of a writer.
#[derive(Debug)]
pub(super) struct Handle<R: Rows> {
    handle: crate::handle::Handle<Engine<R>>,
    signals: Arc<Signals>,
}

/// Cancels a writer from any thread.
#[derive(Debug, Clone)]
pub struct Canceller {
    signals: Arc<Signals>,
    waits: WaitCanceller,
}

impl<R: Rows> Handle<R> {
    /// Makes a writer and reserves its working set in `task`; without `out` it can only be finished
    /// into a sink.
    pub(super) fn make(
        spec: &R::Spec,
        task: &TaskMemory,
        spill_dirs: &Arc<SpillDirs>,
        out: Option<&Arc<OutputDir>>,
        map: MapId,
        attempt: AttemptId,
    ) -> Result<Self> {
        if let Some(out) = out {
            // A directory opened for reading is refused here, not after all rows were written.
            out.data_name(map, attempt)?;
        }
        let consumer = task.consumer(R::CONSUMER);
        let set =
            WorkingSet::try_new(spec, &consumer).map_err(|error| consumer.name_holders(error))?;
        let signals = Arc::new(Signals::default());
        let engine = Engine {
            spec: spec.clone(),
            consumer: consumer.clone(),
            set,
            spill_dirs: Arc::clone(spill_dirs),
            out: out.cloned(),
            map,
            attempt,
            shared: Arc::clone(&signals),
            slot: OutputSlot::default(),
        };
        Ok(Self { handle: crate::handle::Handle::new(engine, consumer), signals })
    }

    /// Spills all that is sorted; returns the bytes given back.
    pub(super) fn spill(&self) -> Result<u64> {
        self.handle.operate(|engine| engine.spill(SpillCause::Request))
    }

    /// Ends the writer with `finish`.
    pub(super) fn close<T>(self, finish: impl FnOnce(Engine<R>) -> Result<T>) -> Result<T> {
        self.handle.close(finish)
    }

    pub(super) fn progress(&self) -> WriteProgress {
        self.signals.counters.snapshot()
    }

    pub(super) fn canceller(&self) -> Canceller {
        let waits = self.handle.consumer().canceller();
        Canceller { signals: Arc::clone(&self.signals), waits }
    }

    pub(super) const fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// Does `work` unless `check` refuses it.
    pub(super) fn operate<T>(
        &self,
        check: impl FnOnce(&Engine<R>) -> Result<()>,
        work: impl FnOnce(&mut Engine<R>) -> Result<T>,
    ) -> Result<T> {
        self.handle.operate_if(check, work)
    }
}

impl Canceller {
    /// Makes the writer's next step fail with `Cancelled`. Returns at once.
    pub fn cancel(&self) {
        self.signals.cancelled.store(true, Ordering::Release);
        self.waits.cancel();
    }

    /// What the writer has done so far.
    pub fn progress(&self) -> WriteProgress {
        self.signals.counters.snapshot()
    }
}

impl<R: Rows> Reclaim for Engine<R> {
    const ANSWERS: Answers = Answers {
        cancelled: Error::new(ErrorKind::Cancelled, "the shuffle write was cancelled"),
        poisoned: Error::new(
            ErrorKind::Poisoned,
            "an earlier operation of this writer failed; retry the task with a new attempt",
        ),
        finished: Error::new(ErrorKind::InvalidState, "this writer is finished"),
        busy_here: Error::new(
            ErrorKind::InvalidState,
            "this writer is writing or spilling on this very thread; a host's callback cannot use it",
        ),
        panicked: Error::internal("a spill of this writer panicked"),
    };

    /// Spills all that is sorted: a writer has no part of it.
    fn reclaim(&mut self, _bytes: u64) -> Result<()> {
        self.spill(SpillCause::Reclaim).map(drop)
    }

    fn answer_reclaim(&mut self) -> Result<()> {
        self.answer_reclaim()
    }
}
