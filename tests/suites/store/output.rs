//! Output directories: publishing in each way, quotas, sweeps, and every operation failing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bywash_core::{AttemptId, Error, ErrorKind, Figure, MapId, Result};
use bywash_spill::{
    Name, OutputDir, OutputFile, OutputOptions, Publish, Store, StoreDir, StoreOp, SweepMode,
    SyncPolicy, index_name, read_exact_at,
};
use bywash_tests::faults::{Fault, FaultStore, Repeat};
use bywash_tests::mounts::Mounted;

use crate::places::{NOTHING, entries, fs_store};

/// In place of the real format: an index is the name of its data file.
pub(crate) fn index_names(store: &dyn Store, dir: &StoreDir, index: &Name) -> Result<Option<Name>> {
    let file = store.open(dir, index, bywash_spill::Access::Read)?;
    let mut text = vec![0; usize::try_from(store.len(&file)?).unwrap()];
    read_exact_at(store, &file, &mut text, 0)?;
    if text.is_empty() {
        return Err(Error::corrupt("an empty index"));
    }
    Name::from_bytes(&text).map(Some)
}

/// What a writer does at its end; `None` when another attempt was faster.
pub(crate) fn commit(out: &Arc<OutputDir>, map: MapId, attempt: AttemptId) -> Result<Option<Name>> {
    let name = out.data_name(map, attempt)?;
    let mut data = out.create()?;
    data.write_all_at(&[7; 100], 0)?;
    let outcome = data.publish(&name).and_then(|published| {
        assert_eq!(published, Publish::Done, "the name is this attempt's own");
        out.sync()?;
        let mut index = out.create()?;
        index.write_all_at(name.as_bytes(), 0)?;
        let outcome = index.commit(&index_name(map)?);
        Ok((outcome, index.in_doubt()))
    });
    match outcome? {
        (Ok(Publish::Done), _) => {
            data.keep();
            out.sync()?;
            Ok(Some(name))
        }
        (Ok(Publish::AlreadyExists), _) => Ok(None),
        (Err(error), in_doubt) => {
            if in_doubt {
                data.keep();
            }
            Err(error)
        }
    }
}

pub(crate) fn open(store: Arc<dyn Store>, path: &Path, sweep: SweepMode) -> Arc<OutputDir> {
    let options = OutputOptions { sync: SyncPolicy::OnCommit, quota: None, sweep };
    OutputDir::open_with_indexes(store, path, options, index_names).unwrap()
}

/// Each map has an index that names a whole data file, and there is nothing else.
pub(crate) fn check_whole(path: &Path, maps: &[MapId]) {
    let mut expected = Vec::new();
    for map in maps {
        let index = index_name(*map).unwrap();
        let data = std::fs::read_to_string(path.join(index.as_str())).unwrap();
        assert_eq!(std::fs::read(path.join(&data)).unwrap(), [7; 100]);
        expected.extend([PathBuf::from(index.as_str()), PathBuf::from(data)]);
    }
    expected.sort();
    assert_eq!(entries(path), expected);
}

/// The ways to publish, by what the filesystem lacks.
pub(crate) const WAYS: [&[StoreOp]; 4] = [
    &[],
    &[StoreOp::CreateUnnamed],
    &[StoreOp::LinkUnnamed],
    &[StoreOp::CreateUnnamed, StoreOp::RenameNoreplace],
];

#[test]
fn each_way_publishes_once_and_never_replaces() {
    let tmpfs = Mounted::tmpfs("store output", "4m");
    let ext4 = Mounted::ext4("store output", "16M");
    for lacking in WAYS {
        let plain = bywash_tests::dirs::on_disk();
        let places = [
            Some(plain.path()),
            tmpfs.as_ref().map(Mounted::path),
            ext4.as_ref().map(Mounted::path),
        ];
        for root in places.into_iter().flatten() {
            let path = root.join(format!("out-{}", lacking.len()));
            let store: Arc<dyn Store> = Arc::new(FaultStore::lacking(fs_store(), lacking));
            let out = open(store, &path, SweepMode::Locked);
            let first = commit(&out, MapId(1), AttemptId(0)).unwrap();
            assert!(first.is_some());
            assert_eq!(commit(&out, MapId(1), AttemptId(1)).unwrap(), None);
            assert!(commit(&out, MapId(2), AttemptId(0)).unwrap().is_some());
            assert!(out.exists(&index_name(MapId(2)).unwrap()).unwrap());
            drop(out.create().unwrap());
            drop(out);
            check_whole(&path, &[MapId(1), MapId(2)]);
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}

#[test]
fn a_filesystem_with_no_way_is_refused() {
    let root = bywash_tests::dirs::on_disk();
    let lacking = [StoreOp::LinkUnnamed, StoreOp::RenameNoreplace, StoreOp::HardLink];
    let store = Arc::new(FaultStore::lacking(fs_store(), &lacking));
    let refused =
        OutputDir::open_with_indexes(store, root.path(), OutputOptions::default(), index_names);
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.place(), root.path().to_str());
    assert_eq!(entries(root.path()), NOTHING);
}

#[test]
fn reading_changes_nothing() {
    let root = bywash_tests::dirs::on_disk();
    let missing = OutputDir::open_existing(fs_store(), &root.path().join("none"));
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
    let writing = open(fs_store(), root.path(), SweepMode::Off);
    assert!(commit(&writing, MapId(1), AttemptId(0)).unwrap().is_some());
    drop(writing);
    let before = entries(root.path());
    let out = OutputDir::open_existing(fs_store(), root.path()).unwrap();
    let name = Name::new("1.index").unwrap();
    assert!(out.open_read(&name).is_ok());
    assert!(!out.exists(&Name::new("2.index").unwrap()).unwrap());
    assert_eq!(out.create().unwrap_err().kind(), ErrorKind::InvalidState);
    assert_eq!(entries(root.path()), before);
}

#[test]
fn quota_is_for_what_is_kept() {
    let root = bywash_tests::dirs::on_disk();
    let options = OutputOptions { quota: Some(100), ..OutputOptions::default() };
    let out = OutputDir::open_with_indexes(fs_store(), root.path(), options, index_names).unwrap();
    let name = Name::new("a").unwrap();
    let write = |bytes: usize| -> Result<OutputFile> {
        let mut file = out.create()?;
        file.write_all_at(&vec![0; bytes], 0)?;
        Ok(file)
    };
    drop(write(100).unwrap());
    let error = write(101).unwrap_err();
    assert_eq!((error.kind(), error.figure(Figure::Quota)), (ErrorKind::Quota, Some(100)));
    let mut withdrawn = write(60).unwrap();
    assert_eq!(withdrawn.publish(&name).unwrap(), Publish::Done);
    assert_eq!(withdrawn.publish(&name).unwrap_err().kind(), ErrorKind::InvalidState);
    drop(withdrawn);
    assert!(!out.exists(&name).unwrap());
    let mut kept = write(60).unwrap();
    assert_eq!(kept.publish(&name).unwrap(), Publish::Done);
    kept.keep();
    assert_eq!(write(41).unwrap_err().figure(Figure::Available), Some(40));
    let mut other = write(40).unwrap();
    assert_eq!(other.commit(&name).unwrap(), Publish::AlreadyExists);
    drop(other);
    assert!(write(40).is_ok());
    assert!(out.exists(&name).unwrap());
}

/// Every operation failing in turn, in each way of publishing.
///
/// An error before the commit leaves nothing; one after it (syncing the directory) leaves a whole
/// output. Only a failed removal goes unreported, and what it leaves goes with the session.
#[test]
fn every_operation_failing() {
    for lacking in WAYS {
        for fault in [Fault::IO, Fault::NO_SPACE, Fault::SHORT, Fault::IO_AFTER] {
            let mut reached = 0;
            for at in 0.. {
                let root = bywash_tests::dirs::on_disk();
                let faults = Arc::new(FaultStore::lacking(fs_store(), lacking));
                let store: Arc<dyn Store> = Arc::<FaultStore>::clone(&faults);
                let out = open(store, root.path(), SweepMode::Locked);
                faults.arm(at, fault, Repeat::Once);
                let outcome = commit(&out, MapId(1), AttemptId(0));
                let Some(op) = faults.fired() else { break };
                let removal_failed = op.is_removal();
                reached += 1;
                faults.disarm();
                let committed = out.exists(&index_name(MapId(1)).unwrap()).unwrap();
                match &outcome {
                    Ok(name) => assert!(
                        name.is_some() && committed && (removal_failed || is_link(op)),
                        "{op:?} {fault:?}"
                    ),
                    Err(_) if op == StoreOp::SyncDir => {}
                    Err(_) => assert!(!committed, "{op:?} {fault:?}"),
                }
                if !committed {
                    assert!(commit(&out, MapId(1), AttemptId(1)).unwrap().is_some());
                }
                drop(out);
                check_whole(root.path(), &[MapId(1)]);
            }
            assert!(reached >= 10, "{reached}");
        }
    }
}

/// All operations failing from some point on: what may be left goes with the next sweep.
#[test]
fn every_operation_failing_for_good() {
    for lacking in WAYS {
        for fault in [Fault::IO, Fault::IO_AFTER] {
            for at in 0.. {
                let root = bywash_tests::dirs::on_disk();
                let faults = Arc::new(FaultStore::lacking(fs_store(), lacking));
                let store: Arc<dyn Store> = Arc::<FaultStore>::clone(&faults);
                let out = open(store, root.path(), SweepMode::Locked);
                faults.arm(at, fault, Repeat::Forever);
                let outcome = commit(&out, MapId(1), AttemptId(0));
                drop(out);
                if faults.fired().is_none() {
                    break;
                }
                let out = open(fs_store(), root.path(), SweepMode::Locked);
                let committed = out.exists(&index_name(MapId(1)).unwrap()).unwrap();
                assert!(committed || outcome.is_err(), "an output reported and not there");
                if !committed {
                    assert_eq!(entries(root.path()).len(), 2, "only the session and its lock");
                    commit(&out, MapId(1), AttemptId(1)).unwrap();
                }
                drop(out);
                check_whole(root.path(), &[MapId(1)]);
            }
        }
    }
}

/// Operations that are looked at again when they fail, so that one that was done counts as done.
fn is_link(op: StoreOp) -> bool {
    matches!(op, StoreOp::LinkUnnamed | StoreOp::RenameNoreplace | StoreOp::HardLink)
}
