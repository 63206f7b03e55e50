//! All records a writer holds: arenas, the pointers that wait to be sorted, the sorted groups.

use super::arena::{RecordArena, RecordInput};
use super::gather;
use super::pointer::{POINTER_BYTES, Pointer};
use super::walk::{GroupWalk, SortedGroup, piece_len};
use crate::Result;
use crate::block::RecordEncoder;
use crate::cast::to_u32;
use crate::memory::{Area, Array, Consumer, Vector};
use crate::port::BlockSink;
use crate::radix::{RadixKey, RadixSort, Slot};
use crate::{Error, ErrorKind};

/// How large the parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSizing {
    /// Bytes of an arena.
    pub arena_bytes: usize,
    /// Pointers of a group at most.
    pub group_records: usize,
}

/// What [`RecordMemory::append`] did or needs before it can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Took so many records of so many bytes.
    Records(usize, usize),
    /// The group has no more room: [`RecordMemory::close_group`].
    GroupFull,
    /// The arena has no more room: close the group, then [`RecordMemory::add_arena`] or spill.
    ArenaFull,
    /// No arena of the usual size holds this record.
    Oversized,
}

/// Records in memory. Allocates when made, and an arena at a time when told to.
#[derive(Debug)]
pub struct RecordMemory {
    /// The first `used` of them hold records; the others wait for some.
    arenas: Vector<RecordArena>,
    used: usize,
    /// The arena that is being filled; one of the usual size that is always kept.
    current: usize,
    /// Pointers of the current arena in the order of arrival.
    pending: Array<u64>,
    pending_len: usize,
    sort: RadixSort,
    walk: GroupWalk,
    arena_bytes: usize,
    records: u64,
    bytes: u64,
}

/// Arenas, and groups, that there is room for in the lists before they grow.
const LISTED: usize = 16;

impl RecordMemory {
    /// One arena and all that sorting its records needs.
    ///
    /// # Errors
    /// `MemoryLimit`; `InvalidArgument` for more partitions than pointers can tell apart.
    pub fn try_new(consumer: &Consumer, sizing: RecordSizing, partitions: u32) -> Result<Self> {
        let area = Area::try_new(consumer, sizing.arena_bytes)?;
        let arena_bytes = area.len();
        let mut arenas = Vector::try_with_capacity(consumer, LISTED)?;
        arenas.push_within_capacity(RecordArena::new(area)).map_err(|_| NO_ROOM)?;
        Ok(Self {
            arenas,
            used: 1,
            current: 0,
            pending: Array::try_new(consumer, sizing.group_records)?,
            pending_len: 0,
            sort: RadixSort::try_new(consumer, key(partitions)?, sizing.group_records)?,
            walk: GroupWalk::try_with_capacity(consumer, LISTED)?,
            arena_bytes,
            records: 0,
            bytes: 0,
        })
    }

    /// The bytes [`RecordMemory::try_new`] reserves.
    ///
    /// # Errors
    /// `InvalidArgument` for more partitions than pointers can tell apart.
    pub fn bytes_for(sizing: RecordSizing, partitions: u32) -> Result<u64> {
        Ok(Area::len_for(sizing.arena_bytes) as u64
            + Vector::<RecordArena>::bytes_for(LISTED)
            + Array::<u64>::bytes_for(sizing.group_records)
            + RadixSort::bytes_for(key(partitions)?, sizing.group_records)
            + GroupWalk::bytes_for(LISTED))
    }

    /// Copies the records of `input` from the `from`-th on, as many as fit.
    pub fn append(&mut self, input: &RecordInput<'_>, from: usize) -> Appended {
        let arena = &mut self.arenas[self.current];
        let (taken, bytes) = arena.append(input, from, &mut self.pending, self.pending_len);
        if taken > 0 {
            self.pending_len += taken;
            self.records += taken as u64;
            self.bytes += bytes as u64;
            return Appended::Records(taken, bytes);
        }
        if self.pending_len == self.pending.len() {
            return Appended::GroupFull;
        }
        let needed = RecordArena::bytes_for(input.lengths[from]);
        if needed > self.arena_bytes { Appended::Oversized } else { Appended::ArenaFull }
    }

    /// Copies one record into `area`, which has [`RecordMemory::bytes_alone`] of it. The group was
    /// closed, and there is room for another and for an arena.
    ///
    /// # Errors
    /// As [`RecordMemory::close_group`].
    pub fn append_alone(
        &mut self,
        area: Area,
        input: &RecordInput<'_>,
        index: usize,
        rows: &mut [u64],
    ) -> Result<()> {
        let one = index + 1;
        let alone = RecordInput { lengths: &input.lengths[..one], ..*input };
        let mut arena = RecordArena::new(area);
        let (taken, bytes) = arena.append(&alone, index, &mut self.pending, 0);
        debug_assert_eq!(taken, 1, "the area holds the record");
        let place = self.used;
        self.arenas.insert_within_capacity(place, arena).map_err(|_| NO_ROOM)?;
        self.used += 1;
        self.pending_len = taken;
        self.records += taken as u64;
        self.bytes += bytes as u64;
        self.sort_pending(place, rows)
    }

    /// Sorts what is pending into a group and adds its records to `rows`, by partition. Needs no
    /// memory where the arena has room for the group.
    ///
    /// # Errors
    /// `Internal` without that room.
    pub fn close_group(&mut self, rows: &mut [u64]) -> Result<()> {
        if self.pending_len == 0 {
            return Ok(());
        }
        self.sort_pending(self.current, rows)
    }

    fn sort_pending(&mut self, arena: usize, rows: &mut [u64]) -> Result<()> {
        let count = std::mem::take(&mut self.pending_len);
        let (start, target) = self.arenas[arena].add_group(count);
        let pending = &mut self.pending[..count];
        if self.sort.sort(pending, target)? == Slot::First {
            target.copy_from_slice(pending);
        }
        let mut rest = &*target;
        while let Some(&first) = rest.first() {
            let partition = Pointer::of_word(first).partition();
            let piece = piece_len(rest, partition);
            rows[partition as usize] += piece as u64;
            rest = &rest[piece..];
        }
        let group = SortedGroup { arena: to_u32(arena), start, end: start + to_u32(count) };
        self.walk.push_within_capacity(group).map_err(|_| NO_ROOM)
    }

    /// Makes room in the lists for one more group and one more arena if the ledger has it free.
    ///
    /// # Errors
    /// `MemoryLimit`.
    pub fn make_room_if_free(&mut self) -> Result<()> {
        // The one that is pending keeps its place.
        self.walk.try_reserve_if_free(2)?;
        self.arenas.try_reserve_if_free(1)
    }

    /// Goes on with an arena that is there already, if there is one. The group was closed.
    pub fn next_arena(&mut self) -> bool {
        let is_there = self.used < self.arenas.len();
        if is_there {
            self.current = self.used;
            self.used += 1;
        }
        is_there
    }

    /// Fills `area`, one of [`RecordMemory::arena_bytes`], from now on. The group was closed and
    /// room was made.
    ///
    /// # Errors
    /// `Internal` without that room.
    pub fn add_arena(&mut self, area: Area) -> Result<()> {
        debug_assert_eq!(self.pending_len, 0, "the group was closed");
        self.arenas.push_within_capacity(RecordArena::new(area)).map_err(|_| NO_ROOM)?;
        let is_there = self.next_arena();
        debug_assert!(is_there, "it was just added");
        Ok(())
    }

    /// Bytes of an area for one record of `length` bytes alone.
    pub fn bytes_alone(length: u32) -> usize {
        // Pointers lie at the end of whole pages: there is no more to it.
        RecordArena::bytes_for(length)
    }

    /// Bytes of an arena.
    pub const fn arena_bytes(&self) -> usize {
        self.arena_bytes
    }

    /// Records in memory.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Their bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What [`RecordMemory::release`] gives back.
    pub fn reclaimable(&self) -> u64 {
        let held: u64 = self.arenas.iter().map(RecordArena::bytes).sum();
        held - self.arenas.get(self.current).map_or(0, RecordArena::bytes)
    }

    /// Begins a walk over all groups; what is pending is not in it.
    pub fn rewind(&mut self) {
        self.walk.rewind(&self.arenas);
    }

    /// Appends all records of a partition as blocks; returns how many. A walk asks in rising order.
    ///
    /// # Errors
    /// What the sink fails with.
    pub fn flush_partition(
        &mut self,
        partition: u32,
        encoder: &mut RecordEncoder,
        sink: &mut dyn BlockSink,
    ) -> Result<u64> {
        gather::flush_partition(partition, &mut self.walk, &self.arenas, encoder, sink)
    }

    /// Forgets all records and gives back all arenas but one.
    pub fn release(&mut self) {
        self.recycle();
        self.release_unused();
    }

    /// Forgets all records and keeps the arenas for the next: a fresh one costs the system a look at each
    /// of its pages, and zeros in them.
    pub fn recycle(&mut self) {
        self.walk.clear();
        // One that was made for a large record serves no others.
        let usual = self.arena_bytes as u64;
        self.arenas.retain(|arena| arena.bytes() == usual);
        for arena in self.arenas.iter_mut() {
            arena.clear();
        }
        (self.used, self.current) = (1, 0);
        (self.records, self.bytes, self.pending_len) = (0, 0, 0);
    }

    /// Gives back the arenas that hold no record, but for the one that is being filled.
    pub fn release_unused(&mut self) {
        self.arenas.truncate(self.used);
    }
}

fn key(partitions: u32) -> Result<RadixKey> {
    RadixKey::try_field(Pointer::PARTITION_SHIFT, partitions.into())
}

const NO_ROOM: Error =
    Error::new(ErrorKind::Internal, "the list of arenas or groups has no room for one more");
const _: () = assert!(POINTER_BYTES == size_of::<u64>());
