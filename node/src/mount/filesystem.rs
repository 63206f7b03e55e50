//! The filesystem of an open file or directory.

use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::os::fd::AsFd;
use std::path::Path;

use bywash_core::{Error, ErrorKind, Result};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::io::{Errno, retry_on_intr};

use super::FilesystemKind;
use super::block_device::{memory_below, under};
use super::table::{Mount, Printable, Wanted, find};

/// What a directory is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filesystem {
    kind: FilesystemKind,
    page_bytes: u64,
    in_memory: Option<InMemory>,
    mount: Option<Mount>,
}

/// Why the bytes of a filesystem are in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum InMemory {
    /// Its files are memory.
    Itself,
    /// It is an overlay whose upper directory is in memory: which, and on what.
    Upper(Box<str>),
    /// Its disk is in memory: which, and on what.
    Disk(Box<str>),
}

/// What the kernel says of an open directory.
#[derive(Debug, Clone, Copy)]
struct Facts {
    magic: u32,
    block_bytes: u64,
    device: (u32, u32),
    mount_id: Option<u64>,
}

impl Filesystem {
    /// The filesystem that `fd` is on; /proc and /sys are looked at under `root`, which is `/` but
    /// for tests. Reads a few small files and allocates.
    ///
    /// # Errors
    /// `Io` when the kernel does not say what `fd` is on. What /proc and /sys do not say is not
    /// known.
    pub fn of(fd: impl AsFd, root: &Path) -> Result<Self> {
        Self::bounded(&fd, root, DEPTH_MAX)
    }

    /// A filesystem of `kind` that nothing else is known of, for stores that are no filesystem.
    pub fn of_kind(kind: FilesystemKind) -> Self {
        let in_memory = kind.is_memory().then_some(InMemory::Itself);
        Self { kind, page_bytes: PAGE_BYTES_MIN, in_memory, mount: None }
    }

    /// The family.
    pub const fn kind(&self) -> FilesystemKind {
        self.kind
    }

    /// The name, as mounted where that is known.
    pub fn name(&self) -> &str {
        self.mount.as_ref().map_or_else(|| self.kind.name(), Mount::kind)
    }

    /// Whether what is written to it stays in memory.
    pub const fn is_memory_backed(&self) -> bool {
        self.in_memory.is_some()
    }

    /// Why it is in memory, if it is.
    pub const fn in_memory(&self) -> Option<&InMemory> {
        self.in_memory.as_ref()
    }

    /// Its mount, where /proc shows it.
    pub const fn mount(&self) -> Option<&Mount> {
        self.mount.as_ref()
    }

    /// The bytes in which a file grows: pages, huge ones where the mount has them; a power of two.
    pub const fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    pub(super) fn bounded(fd: &impl AsFd, root: &Path, depth: u32) -> Result<Self> {
        Ok(Self::resolve(facts(fd)?, root, depth))
    }

    fn resolve(facts: Facts, root: &Path, depth: u32) -> Self {
        let kind = FilesystemKind::from_magic(facts.magic);
        let mount = mount_of(facts, root);
        let page_bytes = facts.block_bytes.max(PAGE_BYTES_MIN);
        let mut found = Self { kind, page_bytes, in_memory: None, mount };
        let mount = found.mount.as_ref();
        if kind.is_memory() {
            found.in_memory = Some(InMemory::Itself);
            if mount.is_some_and(has_huge_pages) || huge_pages_are_forced(root) {
                found.page_bytes = found.page_bytes.max(HUGE_PAGE_BYTES);
            }
        } else if kind == FilesystemKind::Overlay {
            if let Some((place, upper)) = mount.and_then(|mount| upper(mount, root, depth))
                && upper.is_memory_backed()
            {
                found.page_bytes = found.page_bytes.max(upper.page_bytes);
                found.in_memory =
                    Some(InMemory::Upper(format!("{place} on {}", upper.name()).into()));
            }
        } else if let Some(disk) = memory_below(facts.device, mount, root, depth) {
            found.in_memory = Some(InMemory::Disk(disk));
        }
        found.page_bytes = found.page_bytes.checked_next_power_of_two().unwrap_or(HUGE_PAGE_BYTES);
        found
    }
}

impl fmt::Display for Filesystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Printable(Path::new(self.name())))?;
        if let Some(mount) = &self.mount {
            write!(f, " {mount}")?;
        }
        match &self.in_memory {
            None | Some(InMemory::Itself) => Ok(()),
            Some(InMemory::Upper(upper)) => write!(f, ", with its upper directory {upper}"),
            Some(InMemory::Disk(disk)) => write!(f, ", whose disk is {disk}"),
        }
    }
}

fn facts(fd: &impl AsFd) -> Result<Facts> {
    let failed = |errno: Errno| {
        Error::new(ErrorKind::Io, "the filesystem of a directory could not be told")
            .with_os_error(errno.raw_os_error())
    };
    let filesystem = retry_on_intr(|| rustix::fs::fstatfs(fd)).map_err(failed)?;
    let file = retry_on_intr(|| rustix::fs::fstat(fd)).map_err(failed)?;
    // Absent before Linux 5.8; the device finds the mount too, but for btrfs.
    let mount_id =
        retry_on_intr(|| rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID))
            .ok()
            .filter(|found| {
                StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID)
            })
            .map(|found| found.stx_mnt_id);
    Ok(Facts {
        // Its type differs by architecture, 32 bits of it are the number on all.
        magic: u32::try_from(i128::from(filesystem.f_type) & 0xffff_ffff).unwrap_or(0),
        block_bytes: u64::try_from(filesystem.f_bsize).unwrap_or(0),
        device: (rustix::fs::major(file.st_dev), rustix::fs::minor(file.st_dev)),
        mount_id,
    })
}

fn mount_of(facts: Facts, root: &Path) -> Option<Mount> {
    let (major, minor) = facts.device;
    let by_device = Wanted::Device(major, minor);
    let wanted = facts.mount_id.map_or(by_device, Wanted::Id);
    let lines = || Some(BufReader::new(File::open(root.join("proc/self/mountinfo")).ok()?));
    let found = find(&mut lines()?, wanted);
    found.or_else(|| find(&mut lines()?, by_device))
}

/// The upper directory of an overlay and what it is on, where it can be seen from here.
fn upper(overlay: &Mount, root: &Path, depth: u32) -> Option<(String, Filesystem)> {
    let depth = depth.checked_sub(1)?;
    let path = overlay.option("upperdir").filter(|path| path.is_absolute())?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(CWD, under(root, &path), flags, Mode::empty()).ok()?;
    Some((Printable(&path).to_string(), Filesystem::bounded(&fd, root, depth).ok()?))
}

/// Whether files of a tmpfs may take whole huge pages; `within_size` does not go beyond their end.
fn has_huge_pages(mount: &Mount) -> bool {
    mount.option("huge").is_some_and(|value| value == Path::new("always"))
}

/// A switch of the kernel's for tests, which overrules every mount.
fn huge_pages_are_forced(root: &Path) -> bool {
    let switch = root.join("sys/kernel/mm/transparent_hugepage/shmem_enabled");
    std::fs::read_to_string(switch).is_ok_and(|text| text.contains("[force]"))
}

/// Overlays on overlays, disks on disks.
const DEPTH_MAX: u32 = 8;
const PAGE_BYTES_MIN: u64 = 4 << 10;
/// The largest unit a tmpfs takes for a file on the machines we build for.
const HUGE_PAGE_BYTES: u64 = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const TMPFS: u32 = 0x0102_1994;
    const OVERLAY: u32 = 0x794c_7630;
    const EXT: u32 = 0xef53;

    /// A root whose mount table is `table`, as seen by a directory of these facts.
    fn resolved(table: &str, magic: u32, device: (u32, u32), mount_id: Option<u64>) -> Filesystem {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/self")).unwrap();
        std::fs::write(root.path().join("proc/self/mountinfo"), table).unwrap();
        let facts = Facts { magic, block_bytes: 4096, device, mount_id };
        Filesystem::resolve(facts, root.path(), DEPTH_MAX)
    }

    #[test]
    fn memory_is_named_with_its_mount() {
        let table = "5 1 0:40 / /tmp rw,nosuid - tmpfs tmpfs rw,size=512m\n";
        for mount_id in [Some(5), None, Some(77)] {
            let found = resolved(table, TMPFS, (0, 40), mount_id);
            assert_eq!(found.in_memory(), Some(&InMemory::Itself));
            assert_eq!(found.to_string(), "tmpfs mounted at /tmp with size=512m");
            assert_eq!(found.page_bytes(), 4096);
        }
        let dev = resolved("5 1 0:6 / /dev rw - devtmpfs dev rw\n", TMPFS, (0, 6), Some(5));
        assert!(dev.is_memory_backed());
        assert_eq!(dev.name(), "devtmpfs");
    }

    #[test]
    fn huge_pages_are_what_a_file_grows_by() {
        for (huge, bytes) in [("always", 2 << 20), ("within_size", 4096), ("never", 4096)] {
            let table = format!("5 1 0:40 / /tmp rw - tmpfs tmpfs rw,huge={huge}\n");
            assert_eq!(resolved(&table, TMPFS, (0, 40), Some(5)).page_bytes(), bytes, "{huge}");
        }
    }

    #[test]
    fn what_is_not_known_is_no_memory_and_no_error() {
        let gone = "5 1 0:40 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/gone,workdir=/w\n";
        let read_only = "5 1 0:40 / / ro - overlay overlay ro,lowerdir=/l\n";
        for table in [gone, read_only, "", "\0\n"] {
            let found = resolved(table, OVERLAY, (0, 40), Some(5));
            assert_eq!((found.kind(), found.in_memory()), (FilesystemKind::Overlay, None));
            assert!(found.to_string().starts_with("overlay"), "{found}");
        }
        let disk = resolved("5 1 8:1 / / rw - ext4 /dev/sda1 rw\n", EXT, (8, 1), Some(5));
        assert_eq!((disk.to_string().as_str(), disk.in_memory()), ("ext4 mounted at /", None));
        assert_eq!(resolved("", 7, (9, 9), None).name(), "an unknown filesystem");
    }

    #[test]
    fn this_directory_is_on_something() {
        let here = File::open(".").unwrap();
        let found = Filesystem::of(&here, Path::new("/")).unwrap();
        assert!(found.page_bytes().is_power_of_two());
        let proc = File::open("/proc").unwrap();
        let proc = Filesystem::of(&proc, Path::new("/")).unwrap();
        assert_eq!((proc.kind(), proc.name()), (FilesystemKind::Other, "proc"));
        assert_eq!(proc.mount().unwrap().point(), Path::new("/proc"));
    }
}
