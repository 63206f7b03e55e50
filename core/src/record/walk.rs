//! A walk over sorted groups in order of partition, then group: a tournament of their cursors.
//!
//! What it costs grows with the pieces there are, not with partitions x groups.

use super::arena::RecordArena;
use super::pointer::Pointer;
use crate::Result;
use crate::cast::{to_u32, to_usize};
use crate::memory::{Consumer, Vector};

/// Sorted pointers in an arena.
#[derive(Debug, Clone, Copy)]
pub(super) struct SortedGroup {
    /// The arena's place in the list.
    pub(super) arena: u32,
    /// The first pointer, in pointers from the arena's start.
    pub(super) start: u32,
    /// The pointer after the last.
    pub(super) end: u32,
}

/// All groups, and how far each is walked.
#[derive(Debug)]
pub(super) struct GroupWalk {
    groups: Vector<Cursor>,
    /// Node i is the lesser of nodes 2i and 2i + 1; the second half are the leaves, one for each
    /// group: its next partition in the high half, its number in the low one.
    tree: Vector<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Cursor {
    group: SortedGroup,
    next: u32,
}

/// A group that has nothing more.
const ENDED: u64 = u64::MAX;

impl GroupWalk {
    /// Room for `capacity` groups.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub(super) fn try_with_capacity(consumer: &Consumer, capacity: usize) -> Result<Self> {
        Ok(Self {
            groups: Vector::try_with_capacity(consumer, capacity)?,
            tree: Vector::try_with_capacity(consumer, tree_len(capacity))?,
        })
    }

    /// What room for `capacity` groups is charged.
    pub(super) const fn bytes_for(capacity: usize) -> u64 {
        Vector::<Cursor>::bytes_for(capacity) + Vector::<u64>::bytes_for(tree_len(capacity))
    }

    /// Makes room for `more` groups if the ledger has it free. Ends a walk that is going on.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub(super) fn try_reserve_if_free(&mut self, more: usize) -> Result<()> {
        self.tree.clear();
        self.tree.try_reserve_if_free(tree_len(self.groups.len() + more))?;
        self.groups.try_reserve_if_free(more)
    }

    /// Adds a group after the others if there is room for it; it is not walked before the next
    /// [`GroupWalk::rewind`]. Never allocates.
    pub(super) fn push_within_capacity(&mut self, group: SortedGroup) -> Result<(), SortedGroup> {
        if tree_len(self.groups.len() + 1) > self.tree.capacity() {
            return Err(group);
        }
        let cursor = Cursor { group, next: group.end };
        self.groups.push_within_capacity(cursor).map_err(|cursor| cursor.group)
    }

    /// Forgets all groups.
    pub(super) fn clear(&mut self) {
        self.groups.clear();
        self.tree.clear();
    }

    /// Begins a walk.
    pub(super) fn rewind(&mut self, arenas: &[RecordArena]) {
        let leaves = self.groups.len().next_power_of_two();
        self.tree.clear();
        for _ in 0..2 * leaves {
            // The capacity was reserved with the groups.
            let pushed = self.tree.push_within_capacity(ENDED);
            debug_assert!(pushed.is_ok(), "the tree has room for every group");
        }
        for number in 0..self.groups.len() {
            let cursor = &mut self.groups[number];
            cursor.next = cursor.group.start;
            self.tree[leaves + number] = key(arenas, *cursor, number);
        }
        for node in (1..leaves).rev() {
            self.tree[node] = self.tree[2 * node].min(self.tree[2 * node + 1]);
        }
    }

    /// The next group's pointers that follow one another in `partition`, and their arena: all of that
    /// partition in that group. Nothing once no group has more of it.
    #[inline]
    pub(super) fn take<'a>(
        &mut self,
        partition: u32,
        arenas: &'a [RecordArena],
    ) -> Option<(&'a RecordArena, &'a [u64])> {
        let (_, number) = self.first().filter(|(next, _)| *next == partition)?;
        let cursor = &mut self.groups[number];
        let arena = &arenas[cursor.group.arena as usize];
        let rest = arena.pointers(cursor.next, cursor.group.end);
        let count = piece_len(rest, partition);
        cursor.next += to_u32(count);
        let key = key(arenas, *cursor, number);
        self.replay(number, key);
        Some((arena, &rest[..count]))
    }

    fn first(&self) -> Option<(u32, usize)> {
        let &first = self.tree.get(1)?;
        if first == ENDED {
            return None;
        }
        let [partition, number] = [first >> 32, first & u64::from(u32::MAX)].map(to_usize);
        Some((to_u32(partition), number))
    }

    fn replay(&mut self, number: usize, key: u64) {
        let tree = &mut *self.tree;
        let mut node = tree.len() / 2 + number;
        tree[node] = key;
        while node > 1 {
            node /= 2;
            tree[node] = tree[2 * node].min(tree[2 * node + 1]);
        }
    }
}

/// Nodes for so many groups: twice the next power of two; node 0 is not used.
const fn tree_len(groups: usize) -> usize {
    2 * groups.next_power_of_two()
}

fn key(arenas: &[RecordArena], cursor: Cursor, number: usize) -> u64 {
    let group = cursor.group;
    let rest = arenas[group.arena as usize].pointers(cursor.next, group.end);
    rest.first()
        .map_or(ENDED, |&word| u64::from(Pointer::of_word(word).partition()) << 32 | number as u64)
}

/// Pointers of `partition` that `pointers` begins with: doubling steps, then halving ones.
pub(super) fn piece_len(pointers: &[u64], partition: u32) -> usize {
    let is_of = |word: &u64| Pointer::of_word(*word).partition() == partition;
    let mut step = 8;
    while pointers.get(step - 1).is_some_and(is_of) {
        step *= 2;
    }
    // Those before step / 2 are all of it, unless it is the first step.
    let start = if step == 8 { 0 } else { step / 2 };
    let end = step.min(pointers.len());
    start + pointers[start..end].partition_point(is_of)
}
