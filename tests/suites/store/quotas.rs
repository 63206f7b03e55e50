//! Quotas that move while files come and go, and memory that pays for some of them, against plain
//! numbers.

use std::path::PathBuf;
use std::sync::Arc;

use bywash::node::FilesystemKind;
use bywash::{DirCondition, DirReport, MemoryBacked, MemoryLedger};
use bywash_core::{ErrorKind, Figure};
use bywash_spill::{DirIndex, DirMask, SpillDirs, SpillFile, SpillOptions, Store};
use bywash_tests::case::admit;
use bywash_tests::dirs::on_disk;
use bywash_tests::faults::FaultStore;
use bywash_tests::seed::{Rng, run_seed};

use crate::places::fs_store;

#[test]
fn a_quota_may_move_at_any_time() {
    for case in 0..150 {
        Walk::new(Rng::labelled(run_seed(), &[case])).run(80);
    }
}

#[test]
fn a_quota_of_a_directory_that_is_not_used_is_refused() {
    let root = on_disk();
    let paths = [root.path().join("a"), PathBuf::from("Cargo.toml")];
    let dirs = SpillDirs::open(fs_store(), &paths, SpillOptions::default()).unwrap();
    assert_eq!(dirs.unused().len(), 1);
    let other = [root.path().join("b"), root.path().join("c")];
    let other = SpillDirs::open(fs_store(), &other, SpillOptions::default()).unwrap();
    let second = other.usable().nth(1).unwrap();
    let error = dirs.set_quota_per_dir(second, None).unwrap_err();
    assert_eq!((error.kind(), error.figure(Figure::Dir)), (ErrorKind::InvalidArgument, Some(1)));
}

/// Two directories on a disk and one said to be in memory, and what is in them.
struct Walk {
    rng: Rng,
    dirs: Arc<SpillDirs>,
    ledger: MemoryLedger,
    files: Vec<SpillFile>,
    model: Model,
    _root: tempfile::TempDir,
}

/// The same as numbers.
#[derive(Debug, Default)]
struct Model {
    limits: [Option<u64>; DIRS],
    total: Option<u64>,
    /// Of each file, its directory and where it ends.
    files: Vec<(usize, u64)>,
}

impl Walk {
    fn new(mut rng: Rng) -> Self {
        let root = on_disk();
        let paths = ["a", "b", "memory"].map(|name| root.path().join(name));
        let store =
            FaultStore::new(fs_store()).pretending(&paths[IN_MEMORY], FilesystemKind::Tmpfs);
        let store: Arc<dyn Store> = Arc::new(store);
        let ledger = MemoryLedger::new(rng.below(40) * 1000);
        let consumer = admit(&ledger, 0).unwrap().consumer("spill files");
        let memory_backed = MemoryBacked::Charge(consumer);
        let options = SpillOptions { memory_backed, ..SpillOptions::default() };
        let dirs = SpillDirs::open(store, &paths, options).unwrap();
        Self { rng, dirs, ledger, files: Vec::new(), model: Model::default(), _root: root }
    }

    fn run(mut self, steps: usize) {
        for _ in 0..steps {
            match self.rng.below(8) {
                0 | 1 => self.create(),
                2..=4 => self.write(),
                5 => self.close(),
                6 => self.limit_a_directory(),
                _ => {
                    self.model.total = some_limit(&mut self.rng);
                    self.dirs.set_quota_total(self.model.total);
                }
            }
            self.compare();
        }
        self.files.clear();
        self.model.files.clear();
        self.compare();
    }

    fn create(&mut self) {
        let indexes: Vec<DirIndex> = self.dirs.usable().collect();
        let excluded: Vec<bool> = (0..DIRS).map(|_| self.rng.chance(20)).collect();
        let mask = indexes.iter().zip(&excluded).filter(|(_, excluded)| **excluded);
        let mask = mask.fold(DirMask::default(), |mask, (index, _)| mask.with(*index));
        // Sound ones first, then those on a disk, and only with room for a byte.
        let ranks: Vec<(u8, bool)> = self.dirs.dirs().iter().map(rank).collect();
        let has_room = |dir: usize| has_room(self.model.used(dir), self.model.limits[dir], 1);
        let open = (0..DIRS).filter(|dir| !excluded[*dir]);
        let best = open.clone().filter(|dir| has_room(*dir)).map(|dir| ranks[dir]).min();
        let created = self.dirs.create(mask);
        if !has_room_in_all(&self.model, 1) {
            assert_eq!(created.unwrap_err().kind(), ErrorKind::Quota);
        } else if let Some(best) = best {
            let file = created.unwrap();
            let dir = file.dir().get();
            assert!(!excluded[dir] && has_room(dir));
            assert_eq!(ranks[dir], best);
            self.model.files.push((dir, 0));
            self.files.push(file);
        } else {
            let none = open.count() == 0;
            let kind = if none { ErrorKind::Unavailable } else { ErrorKind::Quota };
            assert_eq!(created.unwrap_err().kind(), kind);
        }
    }

    fn write(&mut self) {
        let Some(at) = self.some_file() else { return };
        let (dir, end) = self.model.files[at];
        let offset = self.rng.below(end + 100);
        let bytes = vec![7; self.rng.size(1, 9000)];
        let new_end = end.max(offset + bytes.len() as u64);
        let more = new_end - end;
        let written = self.files[at].write_all_at(&bytes, offset);
        let (used, limit) = (self.model.used(dir), self.model.limits[dir]);
        let pages = pages(new_end) - pages(end);
        let refused = if more > 0 && !has_room(used, limit, more) {
            Some((ErrorKind::Quota, limit))
        } else if more > 0 && !has_room_in_all(&self.model, more) {
            Some((ErrorKind::Quota, self.model.total))
        } else if dir == IN_MEMORY && self.model.charged() + pages > self.ledger.capacity() {
            Some((ErrorKind::MemoryLimit, None))
        } else {
            None
        };
        match (written, refused) {
            (Ok(()), None) => self.model.files[at].1 = new_end,
            (Err(error), Some((kind, limit))) => {
                assert_eq!((error.kind(), error.figure(Figure::Quota)), (kind, limit), "{error}");
                let free = self.ledger.capacity() - self.model.charged();
                if kind == ErrorKind::MemoryLimit {
                    assert_eq!(error.figure(Figure::Requested), Some(pages), "{error}");
                    assert_eq!(error.figure(Figure::Available), Some(free), "{error}");
                    assert!(
                        error.place().is_some_and(|place| place.ends_with("memory")),
                        "{error}"
                    );
                }
            }
            (written, refused) => panic!("{written:?} for {refused:?}: {:?}", self.model),
        }
    }

    fn close(&mut self) {
        if let Some(at) = self.some_file() {
            drop(self.files.swap_remove(at));
            self.model.files.swap_remove(at);
        }
    }

    fn limit_a_directory(&mut self) {
        let dir = self.rng.index(DIRS);
        self.model.limits[dir] = some_limit(&mut self.rng);
        let index = self.dirs.usable().nth(dir).unwrap();
        self.dirs.set_quota_per_dir(index, self.model.limits[dir]).unwrap();
    }

    fn some_file(&mut self) -> Option<usize> {
        (!self.files.is_empty()).then(|| self.rng.index(self.files.len()))
    }

    fn compare(&self) {
        let model = &self.model;
        let all: u64 = (0..DIRS).map(|dir| model.used(dir)).sum();
        assert_eq!((self.dirs.used_bytes(), self.dirs.quota_total()), (all, model.total));
        for (dir, report) in self.dirs.dirs().iter().enumerate() {
            assert_eq!(report.index.get(), dir);
            assert_eq!(report.used_bytes, model.used(dir));
            assert_eq!(report.quota_bytes, model.limits[dir]);
            let files = model.files.iter().filter(|(of, _)| *of == dir).count();
            assert_eq!(report.files, files as u64);
            let charged = if dir == IN_MEMORY { model.charged() } else { 0 };
            assert_eq!(report.charged_bytes, charged);
            assert_eq!(report.failures_total, 0);
        }
        assert_eq!((self.ledger.granted(), self.ledger.live()), (model.charged(), model.charged()));
    }
}

impl Model {
    fn used(&self, dir: usize) -> u64 {
        self.files.iter().filter(|(of, _)| *of == dir).map(|(_, end)| end).sum()
    }

    fn charged(&self) -> u64 {
        self.files.iter().filter(|(of, _)| *of == IN_MEMORY).map(|(_, end)| pages(*end)).sum()
    }
}

fn has_room(used: u64, limit: Option<u64>, more: u64) -> bool {
    limit.is_none_or(|limit| used + more <= limit)
}

fn has_room_in_all(model: &Model, more: u64) -> bool {
    has_room((0..DIRS).map(|dir| model.used(dir)).sum(), model.total, more)
}

fn rank(report: &DirReport) -> (u8, bool) {
    let condition = match report.condition {
        DirCondition::Usable => 0,
        DirCondition::Full => 1,
        _ => 2,
    };
    (condition, report.filesystem.is_memory_backed())
}

fn some_limit(rng: &mut Rng) -> Option<u64> {
    (!rng.chance(30)).then(|| rng.below(30_000))
}

const fn pages(bytes: u64) -> u64 {
    bytes.next_multiple_of(4096)
}

const DIRS: usize = 3;
const IN_MEMORY: usize = 2;
