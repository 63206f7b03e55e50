//! Directories under test, and the look at what is left in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bywash::{
    ErrorKind, FsStore, MemoryBacked, MemoryLedger, OutputDir, OutputOptions, Result, SpillDirs,
    SpillOptions, Store, SyncPolicy,
};
use bywash_core::column::encode_schema;
use bywash_spill::StoreOp;
use tempfile::TempDir;

use super::workload::{MAP, Output, Workload};
use crate::dirs::on_disk;
use crate::faults::{FaultStore, Scope};

/// What the filesystem can do and how it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// What it lacks.
    pub lacking: &'static [StoreOp],
    /// Whether spill files keep their names.
    pub named: bool,
    /// How many spill directories there are.
    pub spill_dirs: usize,
}

impl Variant {
    /// Every combination of what matters, with one spill directory: each way of making a spill
    /// file and of giving an output its name.
    pub const ONE_DIR: [Self; 5] = [
        Self::new(&[], false),
        Self::new(&[], true),
        Self::new(&[StoreOp::CreateUnnamed], false),
        Self::new(&[StoreOp::CreateUnnamed], true),
        Self::new(&[StoreOp::CreateUnnamed, StoreOp::RenameNoreplace], false),
    ];

    /// One directory, everything there.
    pub const PLAIN: Self = Self::ONE_DIR[0];

    const fn new(lacking: &'static [StoreOp], named: bool) -> Self {
        Self { lacking, named, spill_dirs: 1 }
    }

    /// It as a number, for another process.
    pub fn number(self) -> usize {
        let one_dir = Self { spill_dirs: 1, ..self };
        let found = Self::ONE_DIR.iter().position(|variant| *variant == one_dir);
        found.expect("a variant that is listed") * 2 + self.spill_dirs - 1
    }

    /// The other way round.
    pub fn of_number(number: usize) -> Self {
        Self { spill_dirs: number % 2 + 1, ..Self::ONE_DIR[number / 2] }
    }

    /// The same with two spill directories.
    #[must_use]
    pub const fn with_two_dirs(self) -> Self {
        Self { spill_dirs: 2, ..self }
    }
}

/// A fresh root with spill directories and an output directory in it; gone with this value unless
/// it is somebody else's.
#[derive(Debug)]
pub struct Ground {
    path: PathBuf,
    variant: Variant,
    _root: Option<TempDir>,
}

/// Open directories.
#[derive(Debug)]
pub struct Opened {
    /// Where runs go.
    pub spill: Arc<SpillDirs>,
    /// Where map outputs go.
    pub out: Arc<OutputDir>,
}

impl Ground {
    /// Fresh directories.
    pub fn new(variant: Variant) -> Self {
        // In memory where that is possible: thousands of roots are made, and syncing is counted,
        // not waited for. What is spilled there is a few KiB.
        let root = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| on_disk());
        Self { path: root.path().to_path_buf(), variant, _root: Some(root) }
    }

    /// Directories that another process made.
    pub const fn at(path: PathBuf, variant: Variant) -> Self {
        Self { path, variant, _root: None }
    }

    /// What filesystem it is on.
    pub const fn variant(&self) -> Variant {
        self.variant
    }

    /// The root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A spill directory.
    pub fn spill_path(&self, index: usize) -> PathBuf {
        self.path.join(format!("spill-{index}"))
    }

    /// A store that fails at will, on the filesystem of the variant.
    pub fn store(&self) -> Arc<FaultStore> {
        self.scoped_store(Scope::default())
    }

    /// The same, failing only some operations.
    pub fn scoped_store(&self, scope: Scope) -> Arc<FaultStore> {
        let real: Arc<dyn Store> = Arc::new(FsStore::new());
        Arc::new(FaultStore::scoped(real, self.variant.lacking, scope))
    }

    /// Opens the directories without quotas.
    pub fn open(&self, store: &Arc<FaultStore>) -> Result<Opened> {
        self.open_with(store, SpillOptions::default(), None)
    }

    /// Opens the directories with quotas.
    pub fn open_with(
        &self,
        store: &Arc<FaultStore>,
        mut spill: SpillOptions,
        out_quota: Option<u64>,
    ) -> Result<Opened> {
        let store: Arc<dyn Store> = Arc::<FaultStore>::clone(store);
        let paths: Vec<PathBuf> =
            (0..self.variant.spill_dirs).map(|index| self.spill_path(index)).collect();
        spill.named = self.variant.named;
        spill.memory_backed = MemoryBacked::Unaccounted;
        let out = OutputOptions {
            sync: SyncPolicy::OnCommit,
            quota: out_quota,
            ..OutputOptions::default()
        };
        Ok(Opened {
            spill: SpillDirs::open(Arc::clone(&store), &paths, spill)?,
            out: OutputDir::open(store, &self.path.join(OUT), out)?,
        })
    }

    /// Opens and closes the directories, which sweeps them.
    pub fn sweep(&self) {
        drop(self.open(&self.store()).expect("the storage works again"));
    }

    /// Whether the output is there. Panics unless it is whole or absent.
    pub fn committed(&self, workload: &Workload) -> bool {
        self.output(workload, |output| workload.check(output)).is_some()
    }

    /// Whose output is there. Panics unless it is whole or absent.
    pub fn committed_by(&self, workload: &Workload) -> Option<u64> {
        let mut attempt = None;
        self.output(workload, |output| {
            attempt = Some(output.attempt().0);
            workload.check(output)
        });
        attempt
    }

    /// Bytes of all files in the output directory.
    pub fn output_bytes(&self) -> u64 {
        let files = self.entries().into_iter().filter(|path| path.starts_with(OUT));
        let lengths = files.map(|path| self.path.join(path)).filter(|path| path.is_file());
        lengths.map(|path| path.metadata().expect("a file").len()).sum()
    }

    /// What is left beside the output if it is there: of an attempt that is over nothing may be.
    ///
    /// The locks and directories of live sessions are not counted, and neither is a schema file,
    /// if it is whole: its name follows from its bytes, and every attempt publishes the same.
    pub fn left(&self, workload: &Workload) -> Vec<PathBuf> {
        let mut left = self.entries();
        left.retain(|path| !is_session(path) && !is_lock(path));
        self.without_output(workload, left)
    }

    /// The same when all is closed: no session may be left either.
    pub fn left_when_closed(&self, workload: &Workload) -> Vec<PathBuf> {
        self.without_output(workload, self.entries())
    }

    /// Everything below the root, but for the directories that were asked for.
    pub fn entries(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut dirs = vec![self.path.clone()];
        while let Some(dir) = dirs.pop() {
            let Ok(entries) = std::fs::read_dir(&dir) else {
                continue;
            };
            for entry in entries {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    dirs.push(path.clone());
                }
                if dir != self.path {
                    found.push(path.strip_prefix(&self.path).expect("below").to_path_buf());
                }
            }
        }
        found.sort();
        found
    }

    /// The data file of the output that is there, opened and shown to `check`.
    fn output(
        &self,
        workload: &Workload,
        check: impl FnOnce(&Output) -> Result<(), String>,
    ) -> Option<PathBuf> {
        let index = self.path.join(OUT).join(format!("{}.index", MAP.0));
        if !index.exists() {
            return None;
        }
        let store: Arc<dyn Store> = Arc::new(FsStore::new());
        let out = OutputDir::open_existing(store, &self.path.join(OUT)).expect("a directory");
        let ledger = MemoryLedger::unlimited();
        let task = ledger.admit(1, 0).expect("a task").swap_remove(0);
        match workload.open(&out, &task) {
            Ok(output) => {
                check(&output).expect("the output is whole");
                Some(Path::new(OUT).join(output.data_file_name()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !index.exists() => None,
            Err(error) => panic!("an output is half there: {error}"),
        }
    }

    fn without_output(&self, workload: &Workload, mut left: Vec<PathBuf>) -> Vec<PathBuf> {
        if let Some(data) = self.output(workload, |_| Ok(())) {
            let index = Path::new(OUT).join(format!("{}.index", MAP.0));
            let before = left.len();
            left.retain(|path| *path != data && *path != index);
            assert_eq!(before - left.len(), 2, "an index and its data");
        }
        let schema = format!("schema-{:016x}", workload.spec().fingerprint());
        let schema = Path::new(OUT).join(schema);
        if left.contains(&schema) {
            let bytes = std::fs::read(self.path.join(&schema)).expect("a schema file");
            let encoded = encode_schema(workload.spec().schema()).expect("an encoding");
            assert!(bytes.len() > encoded.len() && bytes.ends_with(&encoded), "a whole schema");
            left.retain(|path| *path != schema);
        }
        left
    }
}

/// Whether it is the directory of a session.
pub(super) fn is_session(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".bywash-"))
}

/// Whether it is the lock of a session.
pub(super) fn is_lock(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "lock")
}

const OUT: &str = "out";
