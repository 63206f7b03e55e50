//! Spill directories: quotas, the choice of directory, names, and every operation failing.

use std::sync::Arc;

use bywash_core::{Error, ErrorKind, Figure, Result};
use bywash_spill::{DirMask, SpillDirs, SpillFile, SpillOptions, Store, StoreOp};
use bywash_tests::faults::{Fault, FaultStore, Repeat};
use bywash_tests::mounts::Mounted;

use crate::places::{NOTHING, entries, fault_store, fs_store};

#[test]
fn a_file_keeps_its_bytes_and_leaves_nothing() {
    for (named, lacking) in [(false, None), (true, None), (false, Some(StoreOp::CreateUnnamed))] {
        let root = bywash_tests::dirs::on_disk();
        let store: Arc<dyn Store> = Arc::new(FaultStore::lacking(fs_store(), lacking.as_slice()));
        let path = root.path().join("made/on/demand");
        let options = SpillOptions { named, ..SpillOptions::default() };
        let dirs = SpillDirs::open(store, std::slice::from_ref(&path), options).unwrap();
        let mut file = dirs.create(DirMask::default()).unwrap();
        file.write_all_at(b"spilled", 3).unwrap();
        let names = entries(&path);
        assert_eq!(names.len(), if named { 3 } else { 2 }, "session, lock, file: {names:?}");
        assert_eq!(dirs.used_bytes(), 10);
        let mut back = [0; 7];
        file.read_exact_at(&mut back, 3).unwrap();
        assert_eq!(&back, b"spilled");
        assert_eq!(file.read_exact_at(&mut back, 4).unwrap_err().kind(), ErrorKind::Corrupt);
        drop(file);
        assert_eq!(dirs.used_bytes(), 0);
        assert_eq!(entries(&path).len(), 2);
        drop(dirs);
        assert_eq!(entries(&path), NOTHING);
    }
}

#[test]
fn quotas_are_reserved_before_writing_and_come_back() {
    let root = bywash_tests::dirs::on_disk();
    let paths = ["a", "b"].map(|dir| root.path().join(dir));
    let (faults, store) = fault_store();
    let options = SpillOptions {
        quota_per_dir: Some(100),
        quota_total: Some(150),
        ..SpillOptions::default()
    };
    let dirs = SpillDirs::open(store, &paths, options).unwrap();
    let mut first = dirs.create(DirMask::default()).unwrap();
    first.write_all_at(&[1; 90], 0).unwrap();
    first.write_all_at(&[2; 50], 40).unwrap();
    assert_eq!(first.reserved_bytes(), 90, "overwriting costs nothing");
    faults.disarm();
    let error = first.write_all_at(&[3; 11], 90).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Quota);
    assert_eq!(error.figure(Figure::Requested), Some(11));
    assert_eq!(error.figure(Figure::Available), Some(10));
    assert_eq!(error.figure(Figure::Quota), Some(100));
    assert!(error.place().is_some());
    assert_eq!(faults.count(), 0, "nothing is written");

    // The full directory is passed over while the other one is usable, whoever's turn it is.
    for _ in 0..3 {
        assert_ne!(dirs.create(DirMask::default()).unwrap().dir(), first.dir());
    }
    let mut second = dirs.create(DirMask::default()).unwrap();
    let error = second.write_all_at(&[4; 61], 0).unwrap_err();
    assert_eq!((error.kind(), error.figure(Figure::Quota)), (ErrorKind::Quota, Some(150)));
    assert_eq!(dirs.used_bytes(), 90, "a refused reservation takes nothing");
    second.write_all_at(&[4; 60], 0).unwrap();
    assert_eq!(dirs.create(DirMask::default()).unwrap_err().kind(), ErrorKind::Quota);

    let full = first.dir();
    drop(first);
    drop(second);
    assert_eq!(dirs.used_bytes(), 0);
    let mut seen = DirMask::default();
    for _ in 0..4 {
        let mut file = dirs.create(DirMask::default()).unwrap();
        file.write_all_at(&[5; 100], 0).unwrap();
        seen = seen.with(file.dir());
    }
    let emptied = dirs.usable().all(|dir| dir == full || seen.contains(dir));
    assert!(emptied, "the other directory is used again");
}

#[test]
fn a_directory_emptied_by_a_good_file_is_usable_again() {
    let root = bywash_tests::dirs::on_disk();
    let paths = ["a", "b"].map(|dir| root.path().join(dir));
    let options = SpillOptions { quota_per_dir: Some(100), ..SpillOptions::default() };
    let dirs = SpillDirs::open(fs_store(), &paths, options).unwrap();
    let mut held = dirs.create(DirMask::default()).unwrap();
    held.write_all_at(&[1; 60], 0).unwrap();
    let full = held.dir();
    let mut failed = dirs.create(DirMask::default()).unwrap();
    if failed.dir() != full {
        failed = dirs.create(DirMask::default()).unwrap();
    }
    assert_eq!(failed.dir(), full);
    failed.write_all_at(&[1; 30], 0).unwrap();
    failed.write_all_at(&[1; 30], 30).unwrap_err();
    drop(failed);
    for _ in 0..4 {
        assert_ne!(dirs.create(DirMask::default()).unwrap().dir(), full);
    }
    drop(held);
    let again = (0..2).any(|_| dirs.create(DirMask::default()).unwrap().dir() == full);
    assert!(again);
}

#[test]
fn a_failing_directory_is_left_for_another_one() {
    let root = bywash_tests::dirs::on_disk();
    let paths = ["a", "b", "c"].map(|dir| root.path().join(dir));
    let (faults, store) = fault_store();
    let dirs = SpillDirs::open(store, &paths, SpillOptions::default()).unwrap();
    let mut bad = dirs.create(DirMask::default()).unwrap();
    faults.arm(0, Fault::IO, Repeat::Once);
    assert_eq!(bad.write_all_at(b"x", 0).unwrap_err().kind(), ErrorKind::Io);
    let excluded = DirMask::default().with(bad.dir());
    for _ in 0..4 {
        assert_ne!(dirs.create(DirMask::default()).unwrap().dir(), bad.dir());
    }
    let second = dirs.create(excluded).unwrap();
    let third = dirs.create(excluded.with(second.dir())).unwrap();
    assert_eq!(
        dirs.create(excluded.with(second.dir()).with(third.dir())).unwrap_err().kind(),
        ErrorKind::Unavailable
    );
    let last = dirs.create(DirMask::default().with(second.dir()).with(third.dir())).unwrap();
    assert_eq!(last.dir(), bad.dir(), "tried again when nothing else is left");
    faults.arm(0, Fault::NO_SPACE, Repeat::Once);
    assert!(dirs.create(DirMask::default()).is_ok(), "creating goes on in the next directory");
    faults.arm(0, Fault::NO_SPACE, Repeat::Forever);
    assert_eq!(dirs.create(DirMask::default()).unwrap_err().kind(), ErrorKind::NoSpace);
}

#[test]
fn directories_that_cannot_be_used_are_left_out_or_named() {
    let root = bywash_tests::dirs::on_disk();
    std::fs::write(root.path().join("file"), "").unwrap();
    let (wrong, good) = (root.path().join("file"), root.path().join("good"));
    let options = SpillOptions::default;
    let dirs = SpillDirs::open(fs_store(), &[wrong.clone(), good.clone()], options()).unwrap();
    let file = dirs.create(DirMask::default()).unwrap();
    assert_eq!(file.dir().get(), 1, "by its place in the order given");
    drop((dirs, file));
    let all = [wrong.clone(), wrong.join("below")];
    let error = SpillDirs::open(fs_store(), &all, options()).unwrap_err().to_string();
    assert!(all.iter().all(|path| error.contains(&path.display().to_string())), "{error}");
    assert_eq!(
        SpillDirs::open(fs_store(), &[], options()).unwrap_err().kind(),
        ErrorKind::InvalidArgument
    );
    let many = vec![good; 65];
    assert!(SpillDirs::open(fs_store(), &many, options()).is_err());
}

#[test]
fn a_full_disk_is_no_quota() {
    let Some(mounted) = Mounted::ext4("a_full_disk_is_no_quota", "4m") else {
        return;
    };
    let other = bywash_tests::dirs::on_disk();
    let paths = [mounted.path().to_path_buf(), other.path().to_path_buf()];
    let dirs = SpillDirs::open(fs_store(), &paths, SpillOptions::default()).unwrap();
    let mut file = loop {
        let file = dirs.create(DirMask::default()).unwrap();
        if file.dir().get() == 0 {
            break file;
        }
    };
    let error = file.write_all_at(&vec![7; 8 << 20], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    let mut again = dirs.create(DirMask::default().with(file.dir())).unwrap();
    drop(file);
    again.write_all_at(&vec![7; 8 << 20], 0).unwrap();
    assert_eq!(again.dir().get(), 1);
}

/// Every operation of a run failing in turn, with and without names: an error, and nothing left.
#[test]
fn every_operation_failing() {
    for (named, lacking) in [(false, None), (true, None), (false, Some(StoreOp::CreateUnnamed))] {
        let kinds = [Fault::IO, Fault::NO_SPACE, Fault::SHORT, Fault::IO_AFTER];
        for fault in kinds {
            let mut reached = 0;
            for at in 0.. {
                let root = bywash_tests::dirs::on_disk();
                let paths = [root.path().to_path_buf()];
                let faults = Arc::new(FaultStore::lacking(fs_store(), lacking.as_slice()));
                let store: Arc<dyn Store> = Arc::<FaultStore>::clone(&faults);
                let options = SpillOptions { named, ..SpillOptions::default() };
                let dirs = SpillDirs::open(store, &paths, options).unwrap();
                faults.arm(at, fault, Repeat::Once);
                let outcome = a_run(&dirs).map(drop);
                let Some(op) = faults.fired() else {
                    outcome.unwrap();
                    break;
                };
                reached += 1;
                let hidden = op.is_removal() || (op == StoreOp::CreateUnnamed && lacking.is_some());
                assert!(outcome.is_err() || hidden, "{op:?} {fault:?}");
                faults.disarm();
                assert_eq!(dirs.used_bytes(), 0);
                a_run(&dirs).unwrap();
                drop(dirs);
                assert_eq!(entries(root.path()), NOTHING, "{op:?} {fault:?}");
            }
            assert!(reached >= 4, "{reached}");
        }
    }
}

/// Every operation of opening failing in turn: an error or a usable object, and nothing left.
#[test]
fn every_operation_of_opening_failing() {
    for fault in [Fault::IO, Fault::IO_AFTER, Fault::NO_SPACE] {
        for at in 0.. {
            let root = bywash_tests::dirs::on_disk();
            let (faults, store) = fault_store();
            faults.arm(at, fault, Repeat::Once);
            let paths = [root.path().to_path_buf()];
            let opened: Result<Arc<SpillDirs>, Error> =
                SpillDirs::open(store, &paths, SpillOptions::default());
            let Some(op) = faults.fired() else { break };
            assert!(opened.is_err(), "{op:?}");
            faults.disarm();
            drop(SpillDirs::open(fs_store(), &paths, SpillOptions::default()).unwrap());
            assert_eq!(entries(root.path()), NOTHING, "{op:?} {fault:?}");
        }
    }
}

fn a_run(dirs: &Arc<SpillDirs>) -> Result<SpillFile> {
    let mut file = dirs.create(DirMask::default())?;
    file.write_all_at(&[1; 64], 0)?;
    file.write_all_at(&[2; 64], 64)?;
    let mut back = [0; 128];
    file.read_exact_at(&mut back, 0)?;
    assert_eq!(back.split_at(64), (&[1; 64][..], &[2; 64][..]));
    Ok(file)
}
