//! The real store, with a place to stop at every operation and a note of every spill file.

use std::path::Path;

use bywash::{FsStore, Result, Store};
use bywash_node::Filesystem;
use bywash_spill::{Access, Lock, Name, Publish, StoreDir, StoreFile};

use crate::gate::GATE;
use crate::spills;

/// Passes everything on.
#[derive(Debug)]
pub(crate) struct StoppingStore {
    inner: FsStore,
    /// Whether files created here are spills.
    holds_spills: bool,
}

impl StoppingStore {
    pub(crate) fn new(holds_spills: bool) -> Self {
        Self { inner: FsStore::new(), holds_spills }
    }

    fn creates(&self) -> &FsStore {
        if self.holds_spills {
            spills::note_begin();
        }
        self.passes()
    }

    fn passes(&self) -> &FsStore {
        GATE.pass(0);
        &self.inner
    }
}

/// Methods that only pass on.
macro_rules! passed_on {
    ($(fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty;)*) => {
        $(fn $name(&self, $($argument: $type),*) -> Result<$result> {
            self.passes().$name($($argument),*)
        })*
    };
}

impl Store for StoppingStore {
    fn create_unnamed(&self, dir: &StoreDir) -> Result<StoreFile> {
        self.creates().create_unnamed(dir)
    }

    fn create_new(&self, dir: &StoreDir, name: &Name) -> Result<Option<StoreFile>> {
        self.creates().create_new(dir, name)
    }

    passed_on! {
        fn make_dir_all(path: &Path) -> ();
        fn open_dir(path: &Path) -> StoreDir;
        fn open_subdir(dir: &StoreDir, name: &Name) -> StoreDir;
        fn filesystem(dir: &StoreDir) -> Filesystem;
        fn list(dir: &StoreDir, visit: &mut dyn FnMut(&Name) -> Result<()>) -> ();
        fn make_dir(dir: &StoreDir, name: &Name) -> Publish;
        fn open(dir: &StoreDir, name: &Name, access: Access) -> StoreFile;
        fn len(file: &StoreFile) -> u64;
        fn read_at(file: &StoreFile, bytes: &mut [u8], offset: u64) -> usize;
        fn write_at(file: &StoreFile, bytes: &[u8], offset: u64) -> usize;
        fn sync_data(file: &StoreFile) -> ();
        fn sync_dir(dir: &StoreDir) -> ();
        fn link_unnamed(file: &StoreFile, dir: &StoreDir, name: &Name) -> Publish;
        fn rename_noreplace(from_dir: &StoreDir, from: &Name, to_dir: &StoreDir, to: &Name)
            -> Publish;
        fn hard_link(from_dir: &StoreDir, from: &Name, to_dir: &StoreDir, to: &Name) -> Publish;
        fn is_linked(file: &StoreFile, dir: &StoreDir, name: &Name) -> bool;
        fn remove(dir: &StoreDir, name: &Name) -> ();
        fn remove_dir(dir: &StoreDir, name: &Name) -> ();
        fn try_lock(file: &StoreFile) -> Lock;
    }
}
