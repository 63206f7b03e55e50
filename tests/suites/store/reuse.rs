//! Output directories that stay open between writers.

use std::path::PathBuf;
use std::sync::Arc;

use bywash_core::{AttemptId, MapId};
use bywash_spill::{OutputDirs, OutputOptions, StoreOp, index_name};

use crate::output::commit;
use crate::places::{NOTHING, entries, fault_store};

/// Sweeping for each would read all names each time.
#[test]
fn two_hundred_writers_sweep_once() {
    let root = bywash_tests::dirs::on_disk();
    let path = root.path().join("out");
    let (faults, store) = fault_store();
    let dirs = OutputDirs::new(store, OutputOptions::default());
    for map in 0..200 {
        faults.disarm();
        let out = dirs.get(&path).unwrap();
        let record = faults.record();
        let lists = record.iter().filter(|op| **op == StoreOp::List).count();
        if map == 0 {
            assert_eq!(lists, 2, "a sweep looks for sessions and for data");
        } else {
            assert_eq!(record, [StoreOp::OpenDir, StoreOp::OpenSubdir, StoreOp::IsLinked]);
        }
        commit(&out, MapId(map), AttemptId(0)).unwrap();
    }
    drop(dirs);
    assert_eq!(entries(&path).len(), 400, "an index and data for each, and no session");
}

#[test]
fn threads_share_what_one_of_them_opens() {
    let root = bywash_tests::dirs::on_disk();
    let (faults, store) = fault_store();
    let dirs = OutputDirs::new(store, OutputOptions::default());
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| dirs.get(root.path()).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(opened.windows(2).all(|pair| Arc::ptr_eq(&pair[0], &pair[1])));
    let lists = faults.record().into_iter().filter(|op| *op == StoreOp::List).count();
    assert_eq!(lists, 2);
}

/// A host removes the directory of a shuffle that is over, and may make one of the same name.
#[test]
fn a_directory_that_was_removed_or_replaced_is_opened_anew() {
    let root = bywash_tests::dirs::on_disk();
    let path = root.path().join("out");
    let (_, store) = fault_store();
    let dirs = OutputDirs::new(store, OutputOptions::default());
    let mut before = dirs.get(&path).unwrap();
    for round in 0..4 {
        match round {
            0 => std::fs::remove_dir_all(&path).unwrap(),
            1 => std::fs::rename(&path, root.path().join("elsewhere")).unwrap(),
            2 => {
                std::fs::rename(&path, root.path().join("aside")).unwrap();
                std::fs::create_dir(&path).unwrap();
            }
            _ => {
                for entry in std::fs::read_dir(&path).unwrap() {
                    let entry = entry.unwrap().path();
                    if entry.is_dir() {
                        std::fs::remove_dir_all(entry).unwrap();
                    }
                }
            }
        }
        let out = dirs.get(&path).unwrap();
        assert!(!Arc::ptr_eq(&out, &before), "round {round}");
        let map = MapId(round);
        assert!(commit(&out, map, AttemptId(0)).unwrap().is_some(), "round {round}");
        assert!(path.join(index_name(map).unwrap().as_str()).exists(), "round {round}");
        assert!(Arc::ptr_eq(&out, &dirs.get(&path).unwrap()), "round {round}");
        before = out;
    }
}

/// What is pushed out by others ends its session when its last user does.
#[test]
fn a_few_are_kept() {
    let root = bywash_tests::dirs::on_disk();
    let paths: Vec<PathBuf> =
        (0..=OutputDirs::KEPT).map(|n| root.path().join(n.to_string())).collect();
    let (faults, store) = fault_store();
    let dirs = OutputDirs::new(store, OutputOptions::default());
    let first = dirs.get(&paths[0]).unwrap();
    for path in &paths {
        drop(dirs.get(path).unwrap());
    }
    assert_eq!(entries(&paths[0]).len(), 2, "in use");
    drop(first);
    assert_eq!(entries(&paths[0]), NOTHING);
    faults.disarm();
    drop(dirs.get(&paths[1]).unwrap());
    assert!(!faults.record().contains(&StoreOp::List), "kept");
    drop(dirs.get(&paths[0]).unwrap());
    assert!(faults.record().contains(&StoreOp::List), "opened again");
    drop(dirs);
    assert!(paths.iter().all(|path| entries(path).is_empty()));
}
