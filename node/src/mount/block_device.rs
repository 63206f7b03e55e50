//! Block devices that are memory: zram and brd, also behind partitions, mappers and loops.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

use super::filesystem::Filesystem;
use super::table::{Mount, Printable};

/// What in memory the bytes of a device end in, if that is where they end; `device` is the major
/// and minor number of the filesystem, which has none of its own if it is spread over several.
pub(super) fn memory_below(
    device: (u32, u32),
    mount: Option<&Mount>,
    root: &Path,
    depth: u32,
) -> Option<Box<str>> {
    let (major, minor) = match device {
        (0, _) => device_of_source(mount?, root)?,
        numbers => numbers,
    };
    let place = root.join(format!("sys/dev/block/{major}:{minor}"));
    memory_in(&fs::canonicalize(place).ok()?, root, depth)
}

/// The same for a device's directory in /sys.
fn memory_in(device: &Path, root: &Path, depth: u32) -> Option<Box<str>> {
    let depth = depth.checked_sub(1)?;
    if device.join("partition").exists() {
        return memory_in(device.parent()?, root, depth);
    }
    let name = device.file_name()?.to_str()?;
    if is_memory(name) {
        return Some(name.into());
    }
    if let Some(file) = backing_file(device) {
        let file = under(root, &file);
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, &file, flags, Mode::empty()).ok()?;
        let filesystem = Filesystem::bounded(&fd, root, depth).ok()?;
        filesystem.in_memory()?;
        return Some(format!("{name} over {} on {}", Printable(&file), filesystem.name()).into());
    }
    let slaves = fs::read_dir(device.join("slaves")).ok()?;
    slaves.take(SLAVES_MAX).find_map(|slave| {
        let slave = fs::canonicalize(slave.ok()?.path()).ok()?;
        memory_in(&slave, root, depth)
    })
}

/// `zram0`, and `ram0` of the driver brd.
fn is_memory(name: &str) -> bool {
    let number = name.strip_prefix("zram").or_else(|| name.strip_prefix("ram"));
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The file behind a loop device.
fn backing_file(device: &Path) -> Option<PathBuf> {
    let file = File::open(device.join("loop/backing_file")).ok()?;
    let mut path = Vec::new();
    file.take(PATH_BYTES_MAX).read_to_end(&mut path).ok()?;
    if path.last() == Some(&b'\n') {
        path.pop();
    }
    Some(std::ffi::OsString::from_vec(path).into())
}

/// The numbers of the device that a mount names as its source.
fn device_of_source(mount: &Mount, root: &Path) -> Option<(u32, u32)> {
    let source = mount.source();
    if !source.starts_with("/dev") {
        return None;
    }
    let number = fs::metadata(under(root, source)).ok()?.rdev();
    (number != 0).then(|| (rustix::fs::major(number), rustix::fs::minor(number)))
}

/// An absolute path as seen under `root`.
pub(super) fn under(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

const SLAVES_MAX: usize = 256;
const PATH_BYTES_MAX: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A /sys with zram0 and a partition of it, a disk vda, dm-0 on both, dm-1 on dm-1, and loop0.
    fn sys() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| fs::create_dir_all(root.path().join(path)).unwrap();
        let virt = "sys/devices/virtual/block";
        for device in ["zram0/zram0p1", "vda", "dm-0/slaves", "dm-1/slaves", "loop0/loop"] {
            make(&format!("{virt}/{device}"));
        }
        make("sys/dev/block");
        let at = |path: &str| root.path().join(virt).join(path);
        fs::write(at("zram0/zram0p1/partition"), "1\n").unwrap();
        symlink("../../vda", at("dm-0/slaves/vda")).unwrap();
        symlink("../../zram0", at("dm-0/slaves/zram0")).unwrap();
        symlink("../../dm-1", at("dm-1/slaves/dm-1")).unwrap();
        fs::write(at("loop0/loop/backing_file"), "/gone (deleted)\n").unwrap();
        let devices = [
            ("1:1", "zram0"),
            ("1:2", "zram0/zram0p1"),
            ("1:3", "vda"),
            ("1:4", "dm-0"),
            ("1:5", "dm-1"),
            ("1:6", "loop0"),
        ];
        for (numbers, device) in devices {
            let target = format!("../../devices/virtual/block/{device}");
            symlink(target, root.path().join("sys/dev/block").join(numbers)).unwrap();
        }
        root
    }

    #[test]
    fn memory_is_found_behind_partitions_and_mappers() {
        let root = sys();
        let below = |minor| memory_below((1, minor), None, root.path(), 8);
        assert_eq!(below(1).as_deref(), Some("zram0"));
        assert_eq!(below(2).as_deref(), Some("zram0"));
        assert_eq!(below(3), None);
        assert_eq!(below(4).as_deref(), Some("zram0"));
        assert_eq!(below(5), None, "a device under itself ends");
        assert_eq!(below(6), None);
        assert_eq!(below(7), None);
        assert_eq!(memory_below((0, 9), None, root.path(), 8), None);
    }

    #[test]
    fn only_numbered_names_are_memory() {
        for (name, memory) in
            [("zram0", true), ("ram15", true), ("ram", false), ("ramdisk", false), ("vda", false)]
        {
            assert_eq!(is_memory(name), memory, "{name}");
        }
    }
}
