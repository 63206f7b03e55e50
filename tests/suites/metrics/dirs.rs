//! Figures of spill directories: the directories' own, and one entry for a path.

use std::path::PathBuf;
use std::sync::Arc;

use bywash::{FsStore, MemoryLedger, Metrics, SpillDirs, SpillOptions, Store};
use bywash_spill::DirMask;
use bywash_tests::dirs::on_disk;

use crate::exposition::parse;

fn open(path: &PathBuf, quota: Option<u64>) -> Arc<SpillDirs> {
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let options =
        SpillOptions { quota_per_dir: quota, quota_total: quota, ..SpillOptions::default() };
    SpillDirs::open(store, std::slice::from_ref(path), options).unwrap()
}

#[test]
fn a_path_opened_twice_is_one_entry_with_the_sums() {
    let root = on_disk();
    let (shared, own) = (root.path().join("b \"shared\" \\"), root.path().join("a"));
    let opened = [open(&shared, Some(1000)), open(&shared, Some(500)), open(&own, None)];
    let metrics = Metrics::new(&MemoryLedger::new(1));
    assert_eq!(metrics.snapshot().spill.dirs, []);
    for dirs in &opened[..2] {
        metrics.watch_spill_dirs(dirs);
        metrics.watch_spill_dirs(dirs);
    }
    assert_eq!(metrics.snapshot().spill.quota, Some(1500));
    metrics.watch_spill_dirs(&opened[2]);

    let mut files: Vec<_> =
        opened.iter().map(|dirs| dirs.create(DirMask::default()).unwrap()).collect();
    files[0].write_all_at(&[0; 300], 0).unwrap();
    files[1].write_all_at(&[0; 40], 0).unwrap();
    files[2].write_all_at(&[0; 2], 0).unwrap();
    files[0].write_all_at(&[0; 800], 300).unwrap_err();
    let spill = metrics.snapshot().spill;
    assert_eq!((spill.used, spill.quota), (342, None), "one of them has no limit");
    let paths: Vec<&str> = spill.dirs.iter().map(|dir| dir.path.as_str()).collect();
    assert_eq!(paths, [own.to_str().unwrap(), shared.to_str().unwrap()]);
    let [own, shared] = &spill.dirs[..] else { panic!("two paths: {spill:?}") };
    assert_eq!((own.used, own.quota, own.open_files, own.files), (2, None, 1, 1));
    assert_eq!((shared.used, shared.quota), (340, Some(1500)));
    assert_eq!((shared.open_files, shared.files, shared.written), (2, 2, 340));
    assert_eq!(shared.refusals, 1);
    assert_eq!(shared.condition, bywash::DirCondition::Full, "the worse of both");

    // The text has each label once, and the path as it is.
    let text = metrics.snapshot().prometheus();
    let read = parse(&text).unwrap();
    let family = read.iter().find(|family| family.name == "bywash_spill_dir_used_bytes").unwrap();
    let labels: Vec<&str> =
        family.samples.iter().map(|sample| sample.labels["dir"].as_str()).collect();
    assert_eq!(labels, paths);
    drop(files);
    assert_eq!(metrics.snapshot().spill.used, 0);
}

#[test]
fn directories_are_not_kept_open() {
    let root = on_disk();
    let dirs = open(&root.path().join("spill"), None);
    let metrics = Metrics::new(&MemoryLedger::new(1));
    metrics.watch_spill_dirs(&dirs);
    assert_eq!(metrics.snapshot().spill.dirs.len(), 1);
    drop(dirs);
    assert_eq!(metrics.snapshot().spill.dirs.len(), 0);
    let left = std::fs::read_dir(root.path().join("spill")).unwrap().count();
    assert_eq!(left, 0, "the session ended with its owner");
}
