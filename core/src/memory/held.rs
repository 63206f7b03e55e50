//! What a caller keeps: who is charged for it, and memory that is missing because of it.

use super::block::ChargeMode;
use super::consumer::Consumer;
use crate::{Error, ErrorKind, Figure, Result};

impl Consumer {
    /// An error of a request for what the caller will keep: `BudgetHeldByCaller` if what it keeps
    /// already would make room. Else the error as it is.
    #[must_use]
    pub fn held_by_caller(&self, error: Error) -> Error {
        let held = self.exported();
        let figure = |name| error.figure(name).unwrap_or(0);
        let (requested, available) = (figure(Figure::Requested), figure(Figure::Available));
        if error.kind() != ErrorKind::MemoryLimit || held == 0 || requested > available + held {
            return error;
        }
        HELD.with(Figure::Requested, requested)
            .with(Figure::Held, held)
            .with(Figure::Budget, figure(Figure::Budget))
    }

    /// As [`TaskMemory::check_charge`](super::TaskMemory::check_charge), of its task.
    ///
    /// # Errors
    /// As there.
    pub fn check_charge(&self, mode: ChargeMode) -> Result<()> {
        mode.check(self.ledger().has_host())
    }
}

const HELD: Error = Error::new(
    ErrorKind::BudgetHeldByCaller,
    "the next batch does not fit beside the batches the caller still holds; drop some, or read \
     detached",
);
