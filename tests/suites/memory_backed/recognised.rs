//! What a directory is on, through links, bind mounts, overlays and loops; and that it is refused.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use bywash::node::{Filesystem, FilesystemKind, InMemory};
use bywash::{DirIndex, ErrorKind, FsStore, SpillDirs, SpillOptions, Store, check_disk_backed};
use bywash_tests::dirs::on_disk;
use bywash_tests::mounts::Mounted;
use bywash_tests::skipped;

#[test]
fn a_tmpfs_is_seen_through_links_and_bind_mounts_and_refused() {
    const NAME: &str = "a_tmpfs_is_seen_through_links_and_bind_mounts_and_refused";
    let Some(tmpfs) = Mounted::tmpfs(NAME, "4m") else { return };
    let deep = tmpfs.path().join("deep/er");
    std::fs::create_dir_all(&deep).unwrap();
    let Some(bound) = Mounted::bind(NAME, &deep) else { return };
    let links = on_disk();
    let link = links.path().join("link");
    symlink(&deep, &link).unwrap();
    let second_link = links.path().join("link to a link");
    symlink(&link, &second_link).unwrap();

    for (path, mounted_at) in [
        (tmpfs.path(), tmpfs.path()),
        (&deep, tmpfs.path()),
        (&link, tmpfs.path()),
        (&second_link, tmpfs.path()),
        (bound.path(), bound.path()),
    ] {
        let found = of(path);
        assert_eq!(found.kind(), FilesystemKind::Tmpfs, "{path:?}");
        assert_eq!(found.in_memory(), Some(&InMemory::Itself), "{path:?}");
        let mount = found.mount().unwrap();
        assert_eq!(mount.point(), mounted_at, "{path:?}");
        assert_eq!(mount.size_bytes(), Some(4 << 20), "{path:?}");

        let error = open(&[path]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let text = error.to_string();
        let named = [path.to_str().unwrap(), "tmpfs mounted at", mounted_at.to_str().unwrap()];
        assert!(named.iter().all(|name| text.contains(name)), "{text}");
        assert!(text.contains("give one on a disk"), "{text}");
        assert!(check_disk_backed(&store(), path).is_err());
        // What will be made in it counts as well.
        assert!(open(&[&path.join("made/on/demand")]).is_err());

        let disk = on_disk();
        let dirs = open(&[path, disk.path()]).unwrap();
        assert_eq!(dirs.usable().map(DirIndex::get).collect::<Vec<_>>(), [1]);
        let [unused] = dirs.unused() else { panic!("one is refused") };
        assert_eq!(unused.path, path);
    }
    let entries = std::fs::read_dir(&deep).unwrap().count();
    assert_eq!(entries, 1, "nothing but what was asked for is made in a refused directory");
}

#[test]
fn ramfs_and_the_device_directory_are_memory() {
    const NAME: &str = "ramfs_and_the_device_directory_are_memory";
    if let Some(ramfs) = Mounted::ramfs(NAME) {
        let found = of(ramfs.path());
        assert_eq!((found.kind(), found.is_memory_backed()), (FilesystemKind::Ramfs, true));
        assert!(open(&[ramfs.path()]).unwrap_err().to_string().contains("ramfs mounted at"));
    }
    let dev = of(Path::new("/dev"));
    if dev.name() == "devtmpfs" {
        assert_eq!((dev.kind(), dev.is_memory_backed()), (FilesystemKind::Tmpfs, true));
    } else {
        skipped(NAME, &format!("/dev is {dev}"));
    }
}

#[test]
fn an_overlay_is_as_its_upper_directory() {
    const NAME: &str = "an_overlay_is_as_its_upper_directory";
    let Some(tmpfs) = Mounted::tmpfs(NAME, "4m") else { return };
    let disk = on_disk();
    for (upper, in_memory) in [(tmpfs.path(), true), (disk.path(), false)] {
        // A name that the mount table escapes.
        let upper = upper.join("up per");
        std::fs::create_dir(&upper).unwrap();
        let Some(overlay) = Mounted::overlay(NAME, &upper) else { return };
        let found = of(overlay.path());
        assert_eq!(found.kind(), FilesystemKind::Overlay);
        assert_eq!(found.is_memory_backed(), in_memory, "{found}");
        assert_eq!(open(&[overlay.path()]).is_err(), in_memory, "{found}");
        if let Some(InMemory::Upper(upper)) = found.in_memory() {
            assert!(upper.ends_with("on tmpfs"), "{upper}");
        }
    }
}

#[test]
fn a_disk_that_is_a_file_in_memory_is_memory() {
    const NAME: &str = "a_disk_that_is_a_file_in_memory_is_memory";
    let Some(disk) = Mounted::ext4(NAME, "4m") else { return };
    let found = of(disk.path());
    assert_eq!((found.kind(), found.name()), (FilesystemKind::Ext, "ext4"));
    assert!(!found.is_memory_backed(), "{found}");
    drop(open(&[disk.path()]).unwrap());

    let Some(tmpfs) = Mounted::tmpfs(NAME, "16m") else { return };
    let Some(loop_on_memory) = Mounted::ext4_in(NAME, "8m", tmpfs.path()) else { return };
    let found = of(loop_on_memory.path());
    let Some(InMemory::Disk(disk)) = found.in_memory() else { panic!("{found}") };
    assert!(disk.starts_with("loop") && disk.ends_with("on tmpfs"), "{disk}");
    let text = open(&[loop_on_memory.path()]).unwrap_err().to_string();
    assert!(text.contains("ext4 mounted at") && text.contains("on tmpfs"), "{text}");
}

/// The descriptor is what is asked: what is mounted over the path later changes nothing.
#[test]
fn a_directory_that_is_open_stays_what_it_is() {
    const NAME: &str = "a_directory_that_is_open_stays_what_it_is";
    let dir = on_disk();
    let open = store().open_dir(dir.path()).unwrap();
    let before = store().filesystem(&open).unwrap();
    let Some(tmpfs) = Mounted::tmpfs(NAME, "1m") else { return };
    let moved = dir.path().with_extension("moved");
    std::fs::rename(dir.path(), &moved).unwrap();
    symlink(tmpfs.path(), dir.path()).unwrap();
    assert_eq!(store().filesystem(&open).unwrap(), before);
    assert!(of(dir.path()).is_memory_backed());
    std::fs::remove_file(dir.path()).unwrap();
    std::fs::rename(&moved, dir.path()).unwrap();
}

fn of(path: &Path) -> Filesystem {
    Filesystem::of(File::open(path).unwrap(), Path::new("/")).unwrap()
}

fn open(paths: &[&Path]) -> bywash::Result<Arc<SpillDirs>> {
    let paths: Vec<_> = paths.iter().map(|path| path.to_path_buf()).collect();
    SpillDirs::open(store(), &paths, SpillOptions::default())
}

fn store() -> Arc<dyn Store> {
    Arc::new(FsStore::new())
}
