//! All that a holder needs from the start, granted in one piece.

use super::consumer::Consumer;
use super::reservation::Reservation;

/// Bytes granted to a consumer that is being made; what it reserves meanwhile comes out of them.
/// Dropping it gives back what was not used.
#[derive(Debug)]
#[must_use = "what is left goes back when this is dropped"]
pub struct Birth {
    consumer: Consumer,
}

impl Birth {
    pub(super) fn new(reservation: Reservation) -> Self {
        let (consumer, bytes) = reservation.into_parts();
        consumer.add_credit(bytes);
        Self { consumer }
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        let left = self.consumer.take_all_credit();
        if left > 0 {
            self.consumer.give_back(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::memory::{Area, MemoryLedger};

    #[test]
    fn reservations_come_out_of_what_was_granted_together() {
        let ledger = MemoryLedger::new(3 << 12);
        let task = ledger.admit(1, 0).unwrap().remove(0);
        let consumer = task.consumer("newborn");
        assert!(consumer.begin_birth(4 << 12).is_err());
        let birth = consumer.begin_birth(3 << 12).unwrap();
        let other = task.consumer("other");
        assert!(other.try_reserve(1).is_err());
        let first = Area::try_new(&consumer, 1).unwrap();
        assert_eq!(ledger.granted(), 3 << 12);
        drop(birth);
        assert_eq!((ledger.granted(), consumer.granted()), (1 << 12, 1 << 12));
        drop(first);
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    }
}
