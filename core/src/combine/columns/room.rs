//! The memory that batches of groups are made in, held from one to the next.

use std::sync::Arc;

use crate::Result;
use crate::memory::{Block, BlockOwner, ChargeMode, Consumer, Reservation};

/// Memory for the next batch. A batch is made out of it; what the caller then keeps is asked for as a
/// replacement, and while there is none it comes back when the caller drops the batch. So nobody can
/// have it in between, whatever the ledger's capacity does.
#[derive(Debug)]
pub struct BatchRoom {
    /// Not live.
    spare: Reservation,
    /// Batches that were not replaced and may still be the caller's.
    kept: [Option<Arc<BlockOwner>>; KEPT],
}

/// More that the caller keeps without a replacement are let go, the smallest first: they come back to
/// the ledger.
const KEPT: usize = 16;

impl BatchRoom {
    /// Of what is set aside already, all of a consumer's that no spill of another one counts.
    pub fn new(spare: Reservation) -> Self {
        Self { spare, kept: [const { None }; KEPT] }
    }

    /// Bytes that a batch can take.
    pub const fn bytes(&self) -> u64 {
        self.spare.granted()
    }

    /// Takes back what the caller has dropped; no more than `bytes` stay.
    pub fn take_back(&mut self, bytes: u64) {
        let consumer = self.consumer().clone();
        for place in &mut self.kept {
            let Some(owner) = place.take() else { continue };
            match owner.into_reservation(&consumer) {
                Ok(reservation) => self.spare.join(reservation),
                Err(owner) => *place = Some(owner),
            }
        }
        self.shrink_to(bytes);
    }

    /// Makes it hold `bytes` if they are free; asks nobody.
    pub fn refill(&mut self, bytes: u64) {
        let missing = bytes.saturating_sub(self.bytes());
        if missing == 0 || self.spare.try_grow(missing).is_ok() {
            self.replaced(bytes);
        }
    }

    /// Makes it hold `bytes`, for which the task's other consumers spill; does not wait.
    ///
    /// # Errors
    /// As [`Consumer::reserve_now`].
    pub fn grow_now(&mut self, bytes: u64) -> Result<()> {
        let missing = bytes.saturating_sub(self.bytes());
        if missing > 0 { self.spare.grow_now(missing) } else { Ok(()) }
    }

    /// As [`BatchRoom::grow_now`], and waits if the ledger can wait.
    ///
    /// # Errors
    /// As [`Consumer::reserve`]; `BudgetHeldByCaller` if what the caller keeps would make room.
    pub fn grow(&mut self, bytes: u64) -> Result<()> {
        let missing = bytes.saturating_sub(self.bytes());
        if missing == 0 {
            return Ok(());
        }
        let consumer = self.consumer();
        let more = consumer.reserve(missing).map_err(|error| consumer.held_by_caller(error))?;
        self.spare.join(more);
        Ok(())
    }

    /// Gives all back.
    pub fn clear(&mut self) {
        self.shrink_to(0);
        self.kept = [const { None }; KEPT];
    }

    pub(super) fn block(&mut self, len: usize, shells: u64) -> Result<Block> {
        Block::try_new_in(&mut self.spare, len, shells)
    }

    /// Hands a block of it over.
    pub(super) fn owner(&mut self, block: Block, mode: ChargeMode) -> Arc<BlockOwner> {
        match mode {
            ChargeMode::Detached => {
                let (owner, reservation) = block.into_detached();
                self.spare.join(reservation);
                owner
            }
            ChargeMode::Host => block.into_owner(mode),
            ChargeMode::Ledger => {
                let owner = block.into_owner(mode);
                let len =
                    |place: &Option<Arc<BlockOwner>>| place.as_ref().map_or(0, |owner| owner.len());
                // An empty place, or the one that is missed least.
                if let Some(place) = self.kept.iter_mut().min_by_key(|place| len(place)) {
                    *place = Some(Arc::clone(&owner));
                }
                owner
            }
        }
    }

    /// What was handed out is the caller's alone.
    fn replaced(&mut self, bytes: u64) {
        self.kept = [const { None }; KEPT];
        self.shrink_to(bytes);
    }

    fn shrink_to(&mut self, bytes: u64) {
        self.spare.shrink(self.bytes().saturating_sub(bytes));
    }

    const fn consumer(&self) -> &Consumer {
        self.spare.consumer()
    }
}
