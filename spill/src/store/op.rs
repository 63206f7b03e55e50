//! The operations of a store as values, so that a double can count, record and fail each of them.

use bywash_core::{Error, ErrorKind};

/// One method of [`Store`](super::Store).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreOp {
    /// `make_dir_all`
    MakeDirAll,
    /// `open_dir`
    OpenDir,
    /// `open_subdir`
    OpenSubdir,
    /// `filesystem`
    Filesystem,
    /// `list`
    List,
    /// `make_dir`
    MakeDir,
    /// `create_unnamed`
    CreateUnnamed,
    /// `create_new`
    CreateNew,
    /// `open`
    Open,
    /// `len`
    Len,
    /// `read_at`
    ReadAt,
    /// `write_at`
    WriteAt,
    /// `sync_data`
    SyncData,
    /// `sync_dir`
    SyncDir,
    /// `link_unnamed`
    LinkUnnamed,
    /// `rename_noreplace`
    RenameNoreplace,
    /// `hard_link`
    HardLink,
    /// `is_linked`
    IsLinked,
    /// `remove`
    Remove,
    /// `remove_dir`
    RemoveDir,
    /// `try_lock`
    TryLock,
}

impl StoreOp {
    /// Every operation once, in the order of the trait.
    pub const ALL: [Self; 21] = [
        Self::MakeDirAll,
        Self::OpenDir,
        Self::OpenSubdir,
        Self::Filesystem,
        Self::List,
        Self::MakeDir,
        Self::CreateUnnamed,
        Self::CreateNew,
        Self::Open,
        Self::Len,
        Self::ReadAt,
        Self::WriteAt,
        Self::SyncData,
        Self::SyncDir,
        Self::LinkUnnamed,
        Self::RenameNoreplace,
        Self::HardLink,
        Self::IsLinked,
        Self::Remove,
        Self::RemoveDir,
        Self::TryLock,
    ];

    /// Whether it takes a name away; when it fails, something may stay until the next sweep.
    pub const fn is_removal(self) -> bool {
        matches!(self, Self::Remove | Self::RemoveDir)
    }

    /// The error of this operation failing with `errno`; needs no memory.
    #[cold]
    pub const fn error(self, errno: i32) -> Error {
        Error::new(kind_of(errno), self.message()).with_os_error(errno)
    }

    const fn message(self) -> &'static str {
        match self {
            Self::MakeDirAll | Self::MakeDir => "a directory could not be created",
            Self::OpenDir | Self::OpenSubdir => "a directory could not be opened",
            Self::Filesystem => "the filesystem of a directory could not be told",
            Self::List => "a directory could not be listed",
            Self::CreateUnnamed | Self::CreateNew => "a file could not be created",
            Self::Open => "a file could not be opened",
            Self::Len => "the length of a file could not be read",
            Self::ReadAt => "a file could not be read",
            Self::WriteAt => "a file could not be written",
            Self::SyncData => "a file could not be synced to its disk",
            Self::SyncDir => "a directory could not be synced to its disk",
            Self::LinkUnnamed | Self::RenameNoreplace | Self::HardLink => {
                "a finished file could not be given its name"
            }
            Self::IsLinked => "a file could not be looked up",
            Self::Remove => "a file could not be removed",
            Self::RemoveDir => "a directory could not be removed",
            Self::TryLock => "a file could not be locked",
        }
    }
}

/// What a caller can do about an error number.
const fn kind_of(errno: i32) -> ErrorKind {
    use rustix::io::Errno;
    const NO_SPACE: i32 = Errno::NOSPC.raw_os_error();
    const DISK_QUOTA: i32 = Errno::DQUOT.raw_os_error();
    const NO_ENTRY: i32 = Errno::NOENT.raw_os_error();
    const NOT_SUPPORTED: i32 = Errno::OPNOTSUPP.raw_os_error();
    const NO_CALL: i32 = Errno::NOSYS.raw_os_error();
    const FILES_PROCESS: i32 = Errno::MFILE.raw_os_error();
    const FILES_SYSTEM: i32 = Errno::NFILE.raw_os_error();
    match errno {
        NO_SPACE | DISK_QUOTA => ErrorKind::NoSpace,
        NO_ENTRY => ErrorKind::NotFound,
        NOT_SUPPORTED | NO_CALL => ErrorKind::Unsupported,
        FILES_PROCESS | FILES_SYSTEM => ErrorKind::Unavailable,
        _ => ErrorKind::Io,
    }
}
