//! The radsort crate: allocates its scratch itself.

use super::room::Room;
use super::words::POINTER_BITS;
use crate::failure::Result;
use crate::rounds::{Rival, Run};

#[derive(Debug)]
pub(crate) struct Radsort<'a> {
    room: &'a Room,
}

impl<'a> Radsort<'a> {
    pub(crate) fn new(room: &'a Room) -> Self {
        Self { room }
    }
}

impl Rival for Radsort<'_> {
    fn name(&self) -> String {
        "radsort".into()
    }

    fn run(&mut self) -> Result<Run> {
        // The narrowest key that holds the ids: fewer passes.
        Ok(if self.room.partitions() <= 1 << 8 {
            self.room.run(true, |words, _| {
                radsort::sort_by_key(words, |word| (word >> POINTER_BITS) as u8);
                false
            })
        } else if self.room.partitions() <= 1 << 16 {
            self.room.run(true, |words, _| {
                radsort::sort_by_key(words, |word| (word >> POINTER_BITS) as u16);
                false
            })
        } else {
            self.room.run(true, |words, _| {
                radsort::sort_by_key(words, |word| (word >> POINTER_BITS) as u32);
                false
            })
        })
    }
}
