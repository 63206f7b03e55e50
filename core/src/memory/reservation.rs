//! Granted bytes that go back when dropped.

use super::consumer::Consumer;
use super::host::HostCharge;
use crate::{Error, Result};

/// Bytes granted to a consumer, of which some are live. Dropping it gives all of them back.
#[derive(Debug)]
pub struct Reservation {
    consumer: Consumer,
    granted: u64,
    live: u64,
}

impl Reservation {
    pub(super) const fn new(consumer: Consumer, granted: u64) -> Self {
        Self { consumer, granted, live: 0 }
    }

    /// Says how many of the granted bytes are really allocated. Call it with more just before
    /// allocating and with less just after freeing.
    pub fn set_live(&mut self, live: u64) {
        debug_assert!(live <= self.granted, "live memory that was never granted");
        if live > self.live {
            self.consumer.add_live(live - self.live);
        } else {
            self.consumer.sub_live(self.live - live);
        }
        self.live = live;
    }

    /// Adds `bytes` if they are free, or the host lends them at once; asks no consumer and allocates
    /// nothing.
    ///
    /// # Errors
    /// As [`Consumer::try_reserve`].
    pub fn try_grow(&mut self, bytes: u64) -> Result<()> {
        self.consumer.grant(bytes)?;
        self.granted += bytes;
        Ok(())
    }

    /// As [`Reservation::try_grow`], but asks the task's other consumers to spill; does not wait.
    ///
    /// # Errors
    /// As [`Consumer::reserve_now`].
    pub fn grow_now(&mut self, bytes: u64) -> Result<()> {
        let (_, more) = self.consumer.reserve_now(bytes)?.into_parts();
        self.granted += more;
        Ok(())
    }

    /// Gives back `bytes` of those that are not live, or all of these if they are fewer.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.granted - self.live);
        self.granted -= bytes;
        self.consumer.give_back(bytes);
    }

    /// Takes `bytes` of those that are not live, still granted; nothing if they are fewer.
    pub fn split(&mut self, bytes: u64) -> Option<Self> {
        if bytes > self.granted - self.live {
            return None;
        }
        self.granted -= bytes;
        Some(Self::new(self.consumer.clone(), bytes))
    }

    /// Takes all that are not live, still granted.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let bytes = self.granted - self.live;
        self.granted = self.live;
        Self::new(self.consumer.clone(), bytes)
    }

    /// Adds what another of the same consumer's holds.
    pub fn join(&mut self, mut other: Self) {
        debug_assert_eq!(self.consumer.place(), other.consumer.place(), "one consumer's bytes");
        self.granted += std::mem::take(&mut other.granted);
        self.live += std::mem::take(&mut other.live);
    }

    /// Passes to another consumer of the same task; nobody can have the bytes in between.
    ///
    /// # Errors
    /// `Internal` for a consumer of another task: then the bytes go back.
    pub fn pass_to(self, consumer: &Consumer) -> Result<Self> {
        self.into_export().into_reservation(consumer).map_err(|_| OTHER_TASK)
    }

    /// Bytes granted.
    pub const fn granted(&self) -> u64 {
        self.granted
    }

    /// Bytes live.
    pub const fn live(&self) -> u64 {
        self.live
    }

    /// Who holds it.
    pub const fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Its bytes, still granted to its consumer.
    pub(super) fn into_parts(mut self) -> (Consumer, u64) {
        debug_assert_eq!(self.live, 0, "memory that is there has a reservation");
        let granted = std::mem::take(&mut self.granted);
        (self.consumer.clone(), granted)
    }

    /// Leaves its consumer, and does not keep the task: for memory whose end nobody of the task decides. The
    /// charge is the task's until the task ends, and the ledger's until it is dropped, on any thread.
    pub fn into_exported(self) -> Exported {
        Exported(self.into_export())
    }

    /// Hands the bytes to a buffer that outlives its consumer; the charge stays with the task.
    pub(super) fn into_export(mut self) -> Export {
        let (granted, live) = (std::mem::take(&mut self.granted), std::mem::take(&mut self.live));
        Export { task: self.consumer.export(granted, live), granted, live }
    }

    /// Hands the charge to the host; without one it stays with the task.
    pub(super) fn into_host_charge(mut self) -> Result<HostCharge, Export> {
        let (granted, live) = (std::mem::take(&mut self.granted), std::mem::take(&mut self.live));
        match self.consumer.hand_over(granted, live) {
            Some(charge) => Ok(charge),
            None => Err(Export { task: self.consumer.export(granted, live), granted, live }),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.live > 0 {
            self.consumer.sub_live(self.live);
        }
        if self.granted > 0 {
            self.consumer.give_back(self.granted);
        }
    }
}

/// What [`Reservation::into_exported`] gives: charged until it is dropped.
pub struct Exported(Export);

impl std::fmt::Debug for Exported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Export { granted, live, .. } = &self.0;
        f.debug_struct("Exported").field("granted", granted).field("live", live).finish()
    }
}

/// The charge of a buffer handed to Arrow. Dropping it, on any thread, does atomics only; with
/// somebody waiting it takes the ledger's lock to serve and wake, and the last one frees the ledger.
pub(super) struct Export {
    task: std::sync::Arc<super::task::TaskShared>,
    granted: u64,
    live: u64,
}

impl Export {
    /// A consumer's of the same task again; nobody can have the bytes in between. For another task's
    /// it is left as it is.
    pub(super) fn into_reservation(mut self, consumer: &Consumer) -> Result<Reservation, Self> {
        if consumer.task().place() != self.task.place() {
            return Err(self);
        }
        let (granted, live) = (std::mem::take(&mut self.granted), std::mem::take(&mut self.live));
        consumer.import(granted, live);
        Ok(Reservation { consumer: consumer.clone(), granted, live })
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.task.ledger().sub_live(self.live);
        self.task.release_later(self.granted);
    }
}

const OTHER_TASK: Error = Error::internal("memory was passed to a consumer of another task");

#[cfg(test)]
mod tests {
    use crate::memory::{Area, Block, ChargeMode, MemoryLedger};

    /// From birth to a batch the caller has dropped, nobody else gets what is passed on.
    #[test]
    fn what_is_passed_on_stays_granted() {
        let ledger = MemoryLedger::new(2 << 12);
        let task = ledger.admit(1, 0).unwrap().remove(0);
        let (first, second) = (task.consumer("first"), task.consumer("second"));
        let area = Area::try_new(&first, 2 << 12).unwrap();
        ledger.set_capacity(1);
        let figures = || (ledger.granted(), ledger.live(), ledger.exported());

        let mut room = area.into_reservation().pass_to(&second).unwrap();
        assert_eq!((figures(), first.granted(), second.granted()), ((8192, 0, 0), 0, 8192));
        let block = Block::try_new_in(&mut room, 4096, 4096).unwrap();
        assert_eq!((figures(), room.granted()), ((8192, 8192, 0), 0));
        assert!(Block::try_new_in(&mut room, 1, 0).is_err());

        let owner = block.into_owner(ChargeMode::Ledger);
        let buffer = owner.buffer(0, 1).unwrap();
        assert_eq!((figures(), second.exported(), second.granted()), ((8192, 8192, 8192), 8192, 0));
        let owner = owner.into_reservation(&second).unwrap_err();
        drop(buffer);
        let other = ledger.admit(1, 0).unwrap().remove(0).consumer("another task");
        let owner = owner.into_reservation(&other).unwrap_err();
        room.join(owner.into_reservation(&second).unwrap());
        assert_eq!((figures(), second.exported(), second.granted()), ((8192, 0, 0), 0, 8192));

        let (owner, back) = Block::try_new_in(&mut room, 4096, 0).unwrap().into_detached();
        room.join(back);
        assert_eq!((figures(), room.granted()), ((8192, 0, 0), 8192));
        let owner = owner.into_reservation(&second).unwrap_err();
        drop((owner, room.split(4096)));
        assert_eq!((figures(), room.granted()), ((4096, 0, 0), 4096));
        assert!(room.split(4097).is_none());
        assert!(room.pass_to(&other).is_err(), "of another task");
        assert_eq!(figures(), (0, 0, 0));
    }
}
