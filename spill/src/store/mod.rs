//! Raw file operations, the one seam between this crate and the filesystem.
//!
//! Owns: the [`Store`] trait, its handles, names and outcomes, and [`FsStore`], the real one.
//! Does not own: quotas, choice of directory, layout, retries.
//!
//! Invariants: every name is relative to an open directory; no operation replaces or follows what
//! is there; files are made with mode 0600, directories with 0700; but for the five operations of
//! set-up none allocates, also when it fails; an interrupted call is repeated inside.

mod exact;
#[cfg(target_os = "linux")]
mod fs;
mod handle;
mod name;
mod op;

use std::fmt::Debug;
use std::path::Path;

use bywash_core::Result;
use bywash_node::Filesystem;

pub(crate) use exact::create_new_or_nothing;
pub use exact::{read_exact_at, write_all_at};
#[cfg(target_os = "linux")]
pub use fs::FsStore;
pub use handle::{Access, Lock, Publish, StoreDir, StoreFile};
pub use name::Name;
pub use op::StoreOp;

/// File operations by directory handle. All block; every error names the directory.
///
/// Common errors: `NoSpace` (the filesystem or the user's disk quota is full), `NotFound`,
/// `Unsupported` (the filesystem cannot do this), `Unavailable` (no descriptor is free), else `Io`.
pub trait Store: Send + Sync + Debug {
    /// Creates a directory and its missing parents; one that is there is fine. Set-up.
    fn make_dir_all(&self, path: &Path) -> Result<()>;

    /// Opens a directory. Set-up.
    fn open_dir(&self, path: &Path) -> Result<StoreDir>;

    /// Opens a directory in `dir`, never through a symbolic link. Set-up.
    fn open_subdir(&self, dir: &StoreDir, name: &Name) -> Result<StoreDir>;

    /// What `dir` is on, as the open directory itself tells it. Set-up.
    fn filesystem(&self, dir: &StoreDir) -> Result<Filesystem>;

    /// Calls `visit` for each entry of `dir` whose name is a [`Name`], and stops at its error.
    /// `visit` may remove entries. Set-up.
    fn list(&self, dir: &StoreDir, visit: &mut dyn FnMut(&Name) -> Result<()>) -> Result<()>;

    /// Creates a directory of mode 0700 in `dir`.
    fn make_dir(&self, dir: &StoreDir, name: &Name) -> Result<Publish>;

    /// Creates a file without a name; `Unsupported` where the filesystem has none.
    fn create_unnamed(&self, dir: &StoreDir) -> Result<StoreFile>;

    /// Creates a file; `None` when something has the name.
    fn create_new(&self, dir: &StoreDir, name: &Name) -> Result<Option<StoreFile>>;

    /// Opens a file, never through a symbolic link; `NotFound` when there is none.
    fn open(&self, dir: &StoreDir, name: &Name, access: Access) -> Result<StoreFile>;

    /// The length of a file in bytes.
    fn len(&self, file: &StoreFile) -> Result<u64>;

    /// Reads at an offset; may read less than asked, 0 only at the end of the file.
    fn read_at(&self, file: &StoreFile, bytes: &mut [u8], offset: u64) -> Result<usize>;

    /// Writes at an offset; may write less than asked.
    fn write_at(&self, file: &StoreFile, bytes: &[u8], offset: u64) -> Result<usize>;

    /// Waits until the bytes and length of a file are on its disk.
    fn sync_data(&self, file: &StoreFile) -> Result<()>;

    /// Waits until the names in a directory are on its disk.
    fn sync_dir(&self, dir: &StoreDir) -> Result<()>;

    /// Gives an unnamed file a name; `Unsupported` where the system cannot.
    fn link_unnamed(&self, file: &StoreFile, dir: &StoreDir, name: &Name) -> Result<Publish>;

    /// Moves a file to a name that must be free; `Unsupported` where the filesystem cannot promise
    /// that.
    fn rename_noreplace(
        &self,
        from_dir: &StoreDir,
        from: &Name,
        to_dir: &StoreDir,
        to: &Name,
    ) -> Result<Publish>;

    /// Gives a file a second name; `Unsupported` where the filesystem has no links.
    fn hard_link(
        &self,
        from_dir: &StoreDir,
        from: &Name,
        to_dir: &StoreDir,
        to: &Name,
    ) -> Result<Publish>;

    /// Whether `name` is this very file (by device and inode) now.
    fn is_linked(&self, file: &StoreFile, dir: &StoreDir, name: &Name) -> Result<bool>;

    /// Removes a name of a file; `NotFound` when there is none.
    fn remove(&self, dir: &StoreDir, name: &Name) -> Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &StoreDir, name: &Name) -> Result<()>;

    /// Locks a file for this open file alone, without waiting, until it is closed.
    fn try_lock(&self, file: &StoreFile) -> Result<Lock>;
}
