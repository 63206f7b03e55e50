//! The standard library's sort by the partition id; not stable.

use super::room::Room;
use super::words::POINTER_BITS;
use crate::failure::Result;
use crate::rounds::{Rival, Run};

#[derive(Debug)]
pub(crate) struct StdSort<'a> {
    room: &'a Room,
}

impl<'a> StdSort<'a> {
    pub(crate) fn new(room: &'a Room) -> Self {
        Self { room }
    }
}

impl Rival for StdSort<'_> {
    fn name(&self) -> String {
        "slice::sort_unstable_by_key".into()
    }

    fn run(&mut self) -> Result<Run> {
        Ok(self.room.run(false, |words, _| {
            words.sort_unstable_by_key(|word| word >> POINTER_BITS);
            false
        }))
    }
}
