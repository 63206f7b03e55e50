//! What every store promises, run over the real one and the double, on each filesystem at hand.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use bywash_core::ErrorKind;
use bywash_spill::{
    Access, Lock, Name, Publish, Store, StoreDir, StoreOp, read_exact_at, write_all_at,
};
use bywash_tests::faults::{Fault, Repeat};
use bywash_tests::mounts::Mounted;

use crate::places::{fault_store, fs_store};

#[test]
fn on_the_default_filesystem() {
    let dir = bywash_tests::dirs::on_disk();
    both(dir.path());
}

#[test]
fn on_tmpfs() {
    if let Some(mounted) = Mounted::tmpfs("on_tmpfs", "4m") {
        both(mounted.path());
    }
}

#[test]
fn on_ext4() {
    if let Some(mounted) = Mounted::ext4("on_ext4", "16M") {
        both(mounted.path());
    }
}

#[test]
fn the_double_fails_exactly_what_it_is_told() {
    let root = bywash_tests::dirs::on_disk();
    let (faults, store) = fault_store();
    let dir = store.open_dir(root.path()).unwrap();
    let file = store.create_new(&dir, &name("a")).unwrap().unwrap();

    faults.arm(1, Fault::NO_SPACE, Repeat::Once);
    write_all_at(&*store, &file, b"abcdef", 0).unwrap();
    let error = store.len(&file).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    assert_eq!(error.place(), root.path().to_str());
    assert_eq!(faults.fired(), Some(StoreOp::Len));
    assert_eq!(store.len(&file).unwrap(), 6);
    assert_eq!(faults.record(), [StoreOp::WriteAt, StoreOp::Len, StoreOp::Len]);

    faults.arm(0, Fault::SHORT, Repeat::Once);
    assert_eq!(write_all_at(&*store, &file, b"123456", 6).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(store.len(&file).unwrap(), 9, "half is written");
    let mut bytes = [0; 4];
    faults.arm(0, Fault::SHORT, Repeat::Once);
    assert!(read_exact_at(&*store, &file, &mut bytes, 0).is_err());

    faults.arm(0, Fault::IO_AFTER, Repeat::Forever);
    assert!(store.remove(&dir, &name("a")).is_err());
    assert!(store.remove(&dir, &name("a")).is_err());
    faults.disarm();
    assert_eq!(store.remove(&dir, &name("a")).unwrap_err().kind(), ErrorKind::NotFound);
}

fn both(root: &Path) {
    for (store, sub) in [(fs_store(), "real"), (fault_store().1, "double")] {
        let root = root.join(sub);
        store.make_dir_all(&root.join("deeper")).unwrap();
        store.make_dir_all(&root).unwrap();
        let dir = store.open_dir(&root).unwrap();
        contract(&*store, &dir, &root);
    }
}

fn contract(store: &dyn Store, dir: &StoreDir, root: &Path) {
    files(store, dir, root);
    publishing(store, dir, root);
    directories(store, dir, root);
    locks(store, dir);
}

fn files(store: &dyn Store, dir: &StoreDir, root: &Path) {
    let file = store.create_new(dir, &name("f")).unwrap().unwrap();
    assert!(store.create_new(dir, &name("f")).unwrap().is_none());
    assert_eq!(mode(&root.join("f")), 0o600);
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    write_all_at(store, &file, &bytes, 5).unwrap();
    store.sync_data(&file).unwrap();
    assert_eq!(store.len(&file).unwrap(), 100_005);
    let again = store.open(dir, &name("f"), Access::Read).unwrap();
    let mut back = vec![1; 100_005];
    read_exact_at(store, &again, &mut back, 0).unwrap();
    assert_eq!(back.split_at(5), (&[0; 5][..], &bytes[..]));
    assert!(store.write_at(&again, b"x", 0).is_err(), "opened for reading");
    assert_eq!(store.read_at(&again, &mut back, 100_005).unwrap(), 0);
    let error = read_exact_at(store, &again, &mut back[..2], 100_004).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.place(), root.to_str());

    assert!(store.is_linked(&again, dir, &name("f")).unwrap());
    store.remove(dir, &name("f")).unwrap();
    assert!(!store.is_linked(&again, dir, &name("f")).unwrap());
    for missing in [
        store.remove(dir, &name("f")).unwrap_err(),
        store.open(dir, &name("f"), Access::ReadWrite).unwrap_err(),
        store.open_subdir(dir, &name("f")).unwrap_err(),
        store.open_dir(&root.join("f")).unwrap_err(),
    ] {
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
        assert!(missing.os_error().is_some());
    }
    read_exact_at(store, &again, &mut back[..9], 0).unwrap();

    std::fs::write(root.join("target"), "x").unwrap();
    symlink("target", root.join("link")).unwrap();
    assert!(store.open(dir, &name("link"), Access::Read).is_err(), "links are not followed");
    assert!(store.create_new(dir, &name("link")).unwrap().is_none());
    store.remove(dir, &name("link")).unwrap();
    store.remove(dir, &name("target")).unwrap();
}

fn publishing(store: &dyn Store, dir: &StoreDir, root: &Path) {
    match store.create_unnamed(dir) {
        Ok(file) => {
            write_all_at(store, &file, b"whole", 0).unwrap();
            assert_eq!(store.link_unnamed(&file, dir, &name("p")).unwrap(), Publish::Done);
            assert_eq!(store.link_unnamed(&file, dir, &name("p")).unwrap(), Publish::AlreadyExists);
            assert_eq!(std::fs::read(root.join("p")).unwrap(), b"whole");
            assert_eq!(mode(&root.join("p")), 0o600);
            let other = store.create_unnamed(dir).unwrap();
            assert_eq!(
                store.link_unnamed(&other, dir, &name("p")).unwrap(),
                Publish::AlreadyExists
            );
            assert!(store.is_linked(&file, dir, &name("p")).unwrap());
            assert!(!store.is_linked(&other, dir, &name("p")).unwrap());
            store.sync_dir(dir).unwrap();
            store.remove(dir, &name("p")).unwrap();
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            let why = format!("no unnamed files in {}", root.display());
            bywash_tests::skipped("store contract", &why);
        }
    }
    for (content, file) in [("one", "x"), ("two", "y")] {
        let made = store.create_new(dir, &name(file)).unwrap().unwrap();
        write_all_at(store, &made, content.as_bytes(), 0).unwrap();
    }
    let (x, y, z) = (name("x"), name("y"), name("z"));
    assert_eq!(store.rename_noreplace(dir, &x, dir, &y).unwrap(), Publish::AlreadyExists);
    assert_eq!(store.hard_link(dir, &x, dir, &y).unwrap(), Publish::AlreadyExists);
    assert_eq!(std::fs::read(root.join("y")).unwrap(), b"two", "never replaced");
    assert_eq!(store.rename_noreplace(dir, &x, dir, &z).unwrap(), Publish::Done);
    assert_eq!(store.hard_link(dir, &z, dir, &x).unwrap(), Publish::Done);
    assert_eq!(std::fs::read(root.join("x")).unwrap(), b"one");
    for name in [x, y, z] {
        store.remove(dir, &name).unwrap();
    }
}

fn directories(store: &dyn Store, dir: &StoreDir, root: &Path) {
    assert_eq!(store.make_dir(dir, &name("d")).unwrap(), Publish::Done);
    assert_eq!(store.make_dir(dir, &name("d")).unwrap(), Publish::AlreadyExists);
    assert_eq!(mode(&root.join("d")), 0o700);
    let sub = store.open_subdir(dir, &name("d")).unwrap();
    assert_eq!(sub.path().as_ref(), format!("{}/d", root.display()));
    symlink("d", root.join("to-d")).unwrap();
    assert!(store.open_subdir(dir, &name("to-d")).is_err(), "links are not followed");
    store.remove(dir, &name("to-d")).unwrap();

    // More than one buffer of entries, removed while they are listed.
    let names: BTreeSet<Name> =
        (0..700).map(|n| Name::format(format_args!("entry-{n:040}")).unwrap()).collect();
    for name in &names {
        assert!(store.create_new(&sub, name).unwrap().is_some());
    }
    std::fs::write(root.join("d/not a name"), "").unwrap();
    let mut listed = BTreeSet::new();
    store
        .list(&sub, &mut |name| {
            listed.insert(*name);
            store.remove(&sub, name)
        })
        .unwrap();
    assert_eq!(listed, names);
    assert!(store.remove_dir(dir, &name("d")).is_err(), "it holds a foreign file");
    std::fs::remove_file(root.join("d/not a name")).unwrap();
    let stop = store.list(dir, &mut |_| Err(bywash_core::Error::internal("stop")));
    assert_eq!(stop.unwrap_err().message(), "stop");
    store.remove_dir(dir, &name("d")).unwrap();
    assert_eq!(
        store.create_new(&sub, &name("late")).unwrap_err().kind(),
        ErrorKind::NotFound,
        "nothing can be made in a removed directory"
    );
}

fn locks(store: &dyn Store, dir: &StoreDir) {
    let lock = name("l");
    let first = store.create_new(dir, &lock).unwrap().unwrap();
    assert_eq!(store.try_lock(&first).unwrap(), Lock::Acquired);
    let second = store.open(dir, &lock, Access::ReadWrite).unwrap();
    assert_eq!(store.try_lock(&second).unwrap(), Lock::HeldByAnother);
    drop(first);
    assert_eq!(store.try_lock(&second).unwrap(), Lock::Acquired);
    store.remove(dir, &lock).unwrap();
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
