//! One map output under test: its files, its right rows, and what reading it gives.

use std::fmt;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bywash::{
    ChargeMode, Error, ErrorKind, FsStore, MapId, MapOutput, MemoryLedger, OutputDir, Result,
    TaskMemory,
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
    pub(crate) expected: Vec<RecordBatch>,
    /// The ledger that reading is given.
    pub(crate) capacity: u64,
}

/// One of the three files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Data,
    Index,
    Schema,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Data, Self::Index, Self::Schema];
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
    pub(crate) fn new(files: MapFiles, expected: Vec<RecordBatch>, capacity: u64) -> Self {
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
        let output = MapOutput::open(&self.out, self.map, &task)?;
        let mut outcome = Ok(());
        // Every partition is read, also after an error in another one: wrong rows outrank it.
        for partition in 0..output.partitions() {
            match self.read_partition(&output, partition, &task, demand) {
                Err(Wrong::Rows) => return Err(Wrong::Rows),
                Err(error) => outcome = Err(error),
                Ok(()) => {}
            }
        }
        if demand != Demand::WithinBounds && output.partitions() as usize != self.expected.len() {
            return Err(Wrong::Rows);
        }
        outcome
    }

    fn read_partition(
        &self,
        output: &MapOutput,
        partition: u32,
        task: &TaskMemory,
        demand: Demand,
    ) -> Result<(), Wrong> {
        let expected = self.expected.get(partition as usize);
        let mut rows = 0;
        let mut right = true;
        for batch in output.read(partition, task, ChargeMode::Ledger)? {
            let batch = batch?;
            right &= expected.is_some_and(|expected| {
                let len = batch.num_rows();
                rows + len <= expected.num_rows() && batch == expected.slice(rows, len)
            });
            rows += batch.num_rows();
            if demand == Demand::RightUntilError && !right {
                return Err(Wrong::Rows);
            }
        }
        let complete = expected.is_some_and(|expected| rows == expected.num_rows());
        if demand == Demand::WithinBounds || (right && complete) {
            Ok(())
        } else {
            Err(Wrong::Rows)
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

enum Wrong {
    Error(Error),
    Rows,
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
