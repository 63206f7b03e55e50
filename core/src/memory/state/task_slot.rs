//! What is known of one task.

/// A task's place in the state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskId(usize);

#[derive(Debug, Clone, Copy)]
pub(super) struct TaskSlot {
    pub(super) granted: u64,
    pub(super) minimum: u64,
    pub(super) ended: bool,
}

impl TaskId {
    pub(super) const fn at(place: usize) -> Self {
        Self(place)
    }

    pub(super) const fn place(self) -> usize {
        self.0
    }
}

impl TaskSlot {
    pub(super) const fn new(minimum: u64) -> Self {
        Self { granted: 0, minimum, ended: false }
    }

    /// What is not free for others: held or promised.
    pub(super) const fn committed(&self) -> u64 {
        if self.granted > self.minimum { self.granted } else { self.minimum }
    }

    /// Whether it counts among those that share the capacity.
    pub(super) const fn is_holding(&self) -> bool {
        !self.ended && self.committed() > 0
    }
}
