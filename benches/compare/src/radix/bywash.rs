//! Ours.

use bywash_core::memory::Consumer;
use bywash_core::radix::{Direction, RadixKey, RadixSort, Sign, Slot};

use super::room::Room;
use super::words::POINTER_BITS;
use crate::failure::Result;
use crate::rounds::{Rival, Run};

#[derive(Debug)]
pub(crate) struct Bywash<'a> {
    room: &'a Room,
    sort: RadixSort,
    bits: Bits,
}

/// Bits that the sort is told to look at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bits {
    /// As many as the partitions need: what a writer says, which knows them.
    Needed,
    /// All 24 of a partition id, as Spark says.
    All,
}

impl<'a> Bywash<'a> {
    pub(crate) fn try_new(consumer: &Consumer, room: &'a Room, bits: Bits) -> Result<Self> {
        let key = match bits {
            Bits::Needed => RadixKey::try_field(POINTER_BITS, room.partitions())?,
            Bits::All => RadixKey::try_new(POINTER_BITS..64, Sign::Unsigned, Direction::Ascending)?,
        };
        Ok(Self { room, sort: RadixSort::try_new(consumer, key, room.len())?, bits })
    }
}

impl Rival for Bywash<'_> {
    fn name(&self) -> String {
        match self.bits {
            Bits::Needed => "Bywash".into(),
            Bits::All => "Bywash, 24 bits".into(),
        }
    }

    fn run(&mut self) -> Result<Run> {
        let mut outcome = Ok(());
        let run = self.room.run(true, |first, second| match self.sort.sort(first, second) {
            Ok(slot) => slot == Slot::Second,
            Err(error) => {
                outcome = Err(error);
                false
            }
        });
        outcome?;
        Ok(run)
    }
}
