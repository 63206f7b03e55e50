//! The store that is the filesystem, by system calls relative to open directories.
//!
//! Names go to the system as `CStr`, which `rustix` passes on without a copy; the one path that is
//! built, `/proc/self/fd/N`, is built on the stack; so nothing here but set-up allocates.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use bywash_core::{ErrorKind, Result};
use bywash_node::Filesystem;
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RawDir, RenameFlags};
use rustix::io::{Errno, retry_on_intr};

use super::name::Inline;
use super::{Access, Lock, Name, Publish, Store, StoreDir, StoreFile, StoreOp};

/// The local (or mounted) filesystem.
#[derive(Debug, Clone, Copy, Default)]
pub struct FsStore;

impl FsStore {
    /// A store for every path of this machine; it holds no state.
    pub const fn new() -> Self {
        Self
    }
}

impl Store for FsStore {
    fn make_dir_all(&self, path: &Path) -> Result<()> {
        std::fs::create_dir_all(path).map_err(|error| {
            let errno = error.raw_os_error().unwrap_or(0);
            StoreOp::MakeDirAll.error(errno).at(&text_of(path))
        })
    }

    fn open_dir(&self, path: &Path) -> Result<StoreDir> {
        let text = text_of(path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty())) {
            Ok(fd) => Ok(StoreDir::new(fd, text)),
            Err(errno) => Err(StoreOp::OpenDir.error(errno.raw_os_error()).at(&text)),
        }
    }

    fn open_subdir(&self, dir: &StoreDir, name: &Name) -> Result<StoreDir> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = open_at(dir, name.as_c_str(), flags)
            .map_err(|errno| StoreOp::OpenSubdir.error(errno.raw_os_error()).at(dir.path()))?;
        Ok(StoreDir::new(fd, Arc::from(format!("{}/{name}", dir.path()))))
    }

    fn filesystem(&self, dir: &StoreDir) -> Result<Filesystem> {
        Filesystem::of(dir, Path::new("/")).map_err(|error| error.at(dir.path()))
    }

    fn list(&self, dir: &StoreDir, visit: &mut dyn FnMut(&Name) -> Result<()>) -> Result<()> {
        let failed = |errno: Errno| StoreOp::List.error(errno.raw_os_error()).at(dir.path());
        // A descriptor of its own, since the position in the directory belongs to it.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open_at(dir, c".", flags).map_err(failed)?;
        let mut buffer = [MaybeUninit::uninit(); LIST_BYTES];
        let mut entries = RawDir::new(fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::INTR) => continue,
                other => other.map_err(failed)?,
            };
            if let Ok(name) = Name::from_bytes(entry.file_name().to_bytes()) {
                visit(&name)?;
            }
        }
        Ok(())
    }

    fn make_dir(&self, dir: &StoreDir, name: &Name) -> Result<Publish> {
        let made = retry_on_intr(|| rustix::fs::mkdirat(dir, name.as_c_str(), Mode::RWXU));
        published(made, StoreOp::MakeDir, dir, &[])
    }

    fn create_unnamed(&self, dir: &StoreDir) -> Result<StoreFile> {
        // Without O_EXCL, which would forbid a name later.
        let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
        match open_at(dir, c".", flags) {
            Ok(fd) => Ok(StoreFile::new(fd, Arc::clone(dir.path()))),
            // Systems that do not know the flag see an attempt to write a directory.
            Err(errno) => Err(failed(StoreOp::CreateUnnamed, errno, dir, &[Errno::ISDIR])),
        }
    }

    fn create_new(&self, dir: &StoreDir, name: &Name) -> Result<Option<StoreFile>> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match open_at(dir, name.as_c_str(), flags) {
            Ok(fd) => Ok(Some(StoreFile::new(fd, Arc::clone(dir.path())))),
            Err(Errno::EXIST) => Ok(None),
            Err(errno) => Err(failed(StoreOp::CreateNew, errno, dir, &[])),
        }
    }

    fn open(&self, dir: &StoreDir, name: &Name, access: Access) -> Result<StoreFile> {
        let mode = match access {
            Access::Read => OFlags::RDONLY,
            Access::ReadWrite => OFlags::RDWR,
        };
        // Without waiting, lest a pipe of that name hangs us; for files it changes nothing.
        let flags = mode | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match open_at(dir, name.as_c_str(), flags) {
            Ok(fd) => Ok(StoreFile::new(fd, Arc::clone(dir.path()))),
            Err(errno) => Err(failed(StoreOp::Open, errno, dir, &[])),
        }
    }

    fn len(&self, file: &StoreFile) -> Result<u64> {
        match retry_on_intr(|| rustix::fs::fstat(file)) {
            Ok(stat) => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
            Err(errno) => Err(file_failed(StoreOp::Len, errno, file)),
        }
    }

    fn read_at(&self, file: &StoreFile, bytes: &mut [u8], offset: u64) -> Result<usize> {
        retry_on_intr(|| rustix::io::pread(file, &mut *bytes, offset))
            .map_err(|errno| file_failed(StoreOp::ReadAt, errno, file))
    }

    fn write_at(&self, file: &StoreFile, bytes: &[u8], offset: u64) -> Result<usize> {
        retry_on_intr(|| rustix::io::pwrite(file, bytes, offset))
            .map_err(|errno| file_failed(StoreOp::WriteAt, errno, file))
    }

    fn sync_data(&self, file: &StoreFile) -> Result<()> {
        retry_on_intr(|| rustix::fs::fdatasync(file))
            .map_err(|errno| file_failed(StoreOp::SyncData, errno, file))
    }

    fn sync_dir(&self, dir: &StoreDir) -> Result<()> {
        retry_on_intr(|| rustix::fs::fsync(dir))
            .map_err(|errno| failed(StoreOp::SyncDir, errno, dir, &[]))
    }

    fn link_unnamed(&self, file: &StoreFile, dir: &StoreDir, name: &Name) -> Result<Publish> {
        let mut path = Inline::<32> { bytes: [0; 32], len: 0 };
        let built = fmt_path(&mut path, file.as_fd().as_raw_fd());
        let linked = built.and_then(|path| {
            retry_on_intr(|| {
                rustix::fs::linkat(CWD, path, dir, name.as_c_str(), AtFlags::SYMLINK_FOLLOW)
            })
        });
        // No /proc, or a filesystem that keeps unnamed files unnamed.
        published(linked, StoreOp::LinkUnnamed, dir, &CANNOT_LINK)
    }

    fn rename_noreplace(
        &self,
        from_dir: &StoreDir,
        from: &Name,
        to_dir: &StoreDir,
        to: &Name,
    ) -> Result<Publish> {
        let (from, to) = (from.as_c_str(), to.as_c_str());
        let renamed = retry_on_intr(|| {
            rustix::fs::renameat_with(from_dir, from, to_dir, to, RenameFlags::NOREPLACE)
        });
        published(renamed, StoreOp::RenameNoreplace, to_dir, &[Errno::INVAL, Errno::XDEV])
    }

    fn hard_link(
        &self,
        from_dir: &StoreDir,
        from: &Name,
        to_dir: &StoreDir,
        to: &Name,
    ) -> Result<Publish> {
        let (from, to) = (from.as_c_str(), to.as_c_str());
        let linked =
            retry_on_intr(|| rustix::fs::linkat(from_dir, from, to_dir, to, AtFlags::empty()));
        published(linked, StoreOp::HardLink, to_dir, &[Errno::PERM, Errno::XDEV])
    }

    fn is_linked(&self, file: &StoreFile, dir: &StoreDir, name: &Name) -> Result<bool> {
        let found =
            retry_on_intr(|| rustix::fs::statat(dir, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW));
        let found = match found {
            Err(Errno::NOENT) => return Ok(false),
            other => other.map_err(|errno| failed(StoreOp::IsLinked, errno, dir, &[]))?,
        };
        let ours = retry_on_intr(|| rustix::fs::fstat(file))
            .map_err(|errno| file_failed(StoreOp::IsLinked, errno, file))?;
        Ok((found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino))
    }

    fn remove(&self, dir: &StoreDir, name: &Name) -> Result<()> {
        retry_on_intr(|| rustix::fs::unlinkat(dir, name.as_c_str(), AtFlags::empty()))
            .map_err(|errno| failed(StoreOp::Remove, errno, dir, &[]))
    }

    fn remove_dir(&self, dir: &StoreDir, name: &Name) -> Result<()> {
        retry_on_intr(|| rustix::fs::unlinkat(dir, name.as_c_str(), AtFlags::REMOVEDIR))
            .map_err(|errno| failed(StoreOp::RemoveDir, errno, dir, &[]))
    }

    fn try_lock(&self, file: &StoreFile) -> Result<Lock> {
        match retry_on_intr(|| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => Ok(Lock::Acquired),
            Err(Errno::WOULDBLOCK) => Ok(Lock::HeldByAnother),
            Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK | Errno::INVAL) => {
                Ok(Lock::Unsupported)
            }
            Err(errno) => Err(file_failed(StoreOp::TryLock, errno, file)),
        }
    }
}

fn open_at(dir: &StoreDir, name: &CStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    retry_on_intr(|| rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR))
}

/// `/proc/self/fd/N` with its NUL, on the stack.
fn fmt_path(path: &mut Inline<32>, fd: i32) -> rustix::io::Result<&CStr> {
    std::fmt::write(path, format_args!("/proc/self/fd/{fd}\0")).map_err(|_| Errno::NAMETOOLONG)?;
    CStr::from_bytes_until_nul(&path.bytes).map_err(|_| Errno::INVAL)
}

fn published(
    outcome: rustix::io::Result<()>,
    op: StoreOp,
    dir: &StoreDir,
    unsupported: &[Errno],
) -> Result<Publish> {
    match outcome {
        Ok(()) => Ok(Publish::Done),
        Err(Errno::EXIST) => Ok(Publish::AlreadyExists),
        Err(errno) => Err(failed(op, errno, dir, unsupported)),
    }
}

/// The error of an operation in a directory; the numbers in `unsupported` mean that this
/// filesystem cannot do it at all.
#[cold]
fn failed(op: StoreOp, errno: Errno, dir: &StoreDir, unsupported: &[Errno]) -> bywash_core::Error {
    let raw = errno.raw_os_error();
    if unsupported.contains(&errno) {
        return bywash_core::Error::new(
            ErrorKind::Unsupported,
            "this filesystem does not support an operation",
        )
        .with_os_error(raw)
        .at(dir.path());
    }
    op.error(raw).at(dir.path())
}

#[cold]
fn file_failed(op: StoreOp, errno: Errno, file: &StoreFile) -> bywash_core::Error {
    op.error(errno.raw_os_error()).at(file.place())
}

fn text_of(path: &Path) -> Arc<str> {
    Arc::from(path.to_string_lossy().as_ref())
}

const CANNOT_LINK: [Errno; 4] = [Errno::NOENT, Errno::PERM, Errno::XDEV, Errno::INVAL];

/// Room for some hundred directory entries, on the stack.
const LIST_BYTES: usize = 8 << 10;
