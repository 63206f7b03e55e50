//! One map output under test: its files, its right rows, and what reading it gives.

use std::fmt;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bywash::{
    ChargeMode, Error, ErrorKind, FsStore, MapId, MapOutput, MemoryLedger, OutputDir, RecordOutput,
    Records, Result,
};
use bywash_tests::map_files::MapFiles;

use crate::counting::peak_of;

/// What may be allocated beside what the ledger counts: the schema, handles, errors.
const UNCOUNTED_BYTES: u64 = 16 << 10;

/// A map output in a directory of its own.
pub(crate) struct Subject {
    dir: tempfile::TempDir,
    out: Arc<OutputDir>,
    map: MapId,
    /// The undamaged files.
    pub(crate) files: MapFiles,
    /// All rows of each partition.
    pub(crate) expected: Expected,
    /// The ledger that reading is given.
    pub(crate) capacity: u64,
}

/// What must be read.
pub(crate) enum Expected {
    Columns(Vec<RecordBatch>),
    Records(Vec<Vec<Vec<u8>>>),
}

/// One of the three files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Data,
    Index,
    Schema,
}

impl Part {
    const ALL: [Self; 3] = [Self::Data, Self::Index, Self::Schema];
}

/// What may come of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// The right rows, or some of the first of them and then an error.
    RightUntilError,
    /// The right rows, or an error at last.
    NothingWrong,
    /// Anything, within the bounds: the checksums hold, so the bytes may be meant.
    WithinBounds,
}

impl Subject {
    pub(crate) fn new(files: MapFiles, expected: impl Into<Expected>, capacity: u64) -> Self {
        let expected = expected.into();
        // A million small changes: in memory where the system has such a directory.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let dir = dir.unwrap();
        files.store(dir.path()).unwrap();
        let out = OutputDir::open_existing(Arc::new(FsStore::new()), dir.path()).unwrap();
        let map = files.index_name.split('.').next().unwrap().parse().unwrap();
        let subject = Self { dir, out, map: MapId(map), files, expected, capacity };
        // Undamaged, it is right.
        assert!(subject.check(Demand::RightUntilError, &"undamaged").is_none());
        subject
    }

    /// The files there are.
    pub(crate) const fn parts(&self) -> &'static [Part] {
        match self.expected {
            Expected::Columns(_) => &Part::ALL,
            Expected::Records(_) => &[Part::Data, Part::Index],
        }
    }

    pub(crate) fn bytes(&self, part: Part) -> &[u8] {
        match part {
            Part::Data => &self.files.data,
            Part::Index => &self.files.index,
            Part::Schema => &self.files.schema,
        }
    }

    /// Puts bytes into a file, checks, and takes them back.
    pub(crate) fn check_with(
        &self,
        part: Part,
        offset: usize,
        bytes: &[u8],
        what: &dyn fmt::Display,
    ) -> Option<Error> {
        let file = self.open(part);
        file.write_all_at(bytes, offset as u64).unwrap();
        let outcome = self.check(Demand::RightUntilError, what);
        let right = &self.bytes(part)[offset..offset + bytes.len()];
        file.write_all_at(right, offset as u64).unwrap();
        outcome
    }

    /// Sets a file's length, checks, and takes it back.
    pub(crate) fn check_with_len(
        &self,
        part: Part,
        len: u64,
        what: &dyn fmt::Display,
    ) -> Option<Error> {
        let file = self.open(part);
        file.set_len(len).unwrap();
        let outcome = self.check(Demand::RightUntilError, what);
        self.put(part, self.bytes(part));
        outcome
    }

    /// Puts other files in place of the right ones, checks, and takes them back.
    pub(crate) fn check_files(
        &self,
        files: &MapFiles,
        demand: Demand,
        what: &dyn fmt::Display,
    ) -> Option<Error> {
        let others = [&files.data, &files.index, &files.schema];
        let changed = || {
            let parts = Part::ALL.into_iter().zip(others);
            parts.filter(|(part, other)| self.bytes(*part) != other.as_slice())
        };
        for (part, other) in changed() {
            self.put(part, other);
        }
        let outcome = self.check(demand, what);
        for (part, _) in changed() {
            self.put(part, self.bytes(part));
        }
        outcome
    }

    /// Reads all partitions. Returns the error, or nothing if the rows were right.
    fn check(&self, demand: Demand, what: &dyn fmt::Display) -> Option<Error> {
        let ledger = MemoryLedger::new(self.capacity);
        let read = || catch_unwind(AssertUnwindSafe(|| self.read(&ledger, demand)));
        let (outcome, peak) = peak_of(read);
        let Ok(outcome) = outcome else {
            panic!("{what}: reading panicked");
        };
        assert!(ledger.peak_granted() <= self.capacity, "{what}");
        let bound = ledger.peak_live() + UNCOUNTED_BYTES;
        assert!(peak <= bound, "{what}: {peak} bytes of heap, {bound} bound");
        assert_eq!(ledger.live(), 0, "{what}: something is still held");
        match outcome {
            Ok(()) => None,
            Err(Wrong::Error(error)) => {
                assert_ne!(error.kind(), ErrorKind::Internal, "{what}: {error}");
                Some(error)
            }
            Err(Wrong::Rows) => panic!("{what}: wrong rows, and no error"),
        }
    }

    fn read(&self, ledger: &MemoryLedger, demand: Demand) -> Result<(), Wrong> {
        let task = ledger.admit(1, 0)?.remove(0);
        match &self.expected {
            Expected::Columns(expected) => {
                let output = MapOutput::open(&self.out, self.map, &task)?;
                read_all(output.partitions(), expected, demand, |partition, expected| {
                    let batches = output.read(partition, &task, ChargeMode::Ledger)?;
                    read_partition(batches, expected, demand)
                })
            }
            Expected::Records(expected) => {
                let output = RecordOutput::open(&self.out, self.map, &task)?;
                read_all(output.partitions(), expected, demand, |partition, expected| {
                    let batches = output.read(partition, &task, ChargeMode::Ledger)?;
                    read_partition(batches, expected, demand)
                })
            }
        }
    }

    /// Writes a file in place: truncating it first would make some filesystems flush it each time.
    pub(crate) fn put(&self, part: Part, bytes: &[u8]) {
        let file = self.open(part);
        file.write_all_at(bytes, 0).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
    }

    fn open(&self, part: Part) -> std::fs::File {
        let name = match part {
            Part::Data => &self.files.data_name,
            Part::Index => &self.files.index_name,
            Part::Schema => &self.files.schema_name,
        };
        let path: PathBuf = self.dir.path().join(name);
        std::fs::File::options().write(true).open(path).unwrap()
    }
}

/// Reads every partition, also after an error in another one: wrong rows outrank it.
fn read_all<T>(
    partitions: u32,
    expected: &[T],
    demand: Demand,
    read: impl Fn(u32, Option<&T>) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let mut outcome = Ok(());
    for partition in 0..partitions {
        match read(partition, expected.get(partition as usize)) {
            Err(Wrong::Rows) => return Err(Wrong::Rows),
            Err(error) => outcome = Err(error),
            Ok(()) => {}
        }
    }
    if demand != Demand::WithinBounds && partitions as usize != expected.len() {
        return Err(Wrong::Rows);
    }
    outcome
}

fn read_partition<B: Batch>(
    batches: impl Iterator<Item = Result<B>>,
    expected: Option<&B::All>,
    demand: Demand,
) -> Result<(), Wrong> {
    let mut rows = 0;
    let mut right = true;
    for batch in batches {
        let batch = batch?;
        right &= expected.is_some_and(|expected| batch.is_in(expected, rows));
        rows += batch.rows();
        if demand == Demand::RightUntilError && !right {
            return Err(Wrong::Rows);
        }
    }
    let complete = expected.is_some_and(|expected| rows == B::all_rows(expected));
    if demand == Demand::WithinBounds || (right && complete) { Ok(()) } else { Err(Wrong::Rows) }
}

/// What reading gives, and all of a partition's.
trait Batch {
    type All;

    fn rows(&self) -> usize;
    fn all_rows(all: &Self::All) -> usize;
    /// Whether these are the rows of `all` from `start` on.
    fn is_in(&self, all: &Self::All, start: usize) -> bool;
}

impl Batch for RecordBatch {
    type All = Self;

    fn rows(&self) -> usize {
        self.num_rows()
    }

    fn all_rows(all: &Self) -> usize {
        all.num_rows()
    }

    fn is_in(&self, all: &Self, start: usize) -> bool {
        let len = self.num_rows();
        start + len <= all.num_rows() && *self == all.slice(start, len)
    }
}

impl Batch for Records {
    type All = Vec<Vec<u8>>;

    fn rows(&self) -> usize {
        self.len()
    }

    fn all_rows(all: &Vec<Vec<u8>>) -> usize {
        all.len()
    }

    fn is_in(&self, all: &Vec<Vec<u8>>, start: usize) -> bool {
        let all = all.get(start..start + self.len());
        all.is_some_and(|all| all.iter().zip(self.iter()).all(|(right, found)| right == found))
    }
}

impl From<Vec<RecordBatch>> for Expected {
    fn from(batches: Vec<RecordBatch>) -> Self {
        Self::Columns(batches)
    }
}

impl From<Vec<Vec<Vec<u8>>>> for Expected {
    fn from(records: Vec<Vec<Vec<u8>>>) -> Self {
        Self::Records(records)
    }
}

enum Wrong {
    Error(Error),
    Rows,
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
