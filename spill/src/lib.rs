//! Bytes to disk and back for the Bywash shuffle engine.

mod store;

pub use store::{
    Access, FsStore, Lock, Name, Publish, Store, StoreDir, StoreFile, StoreOp, read_exact_at,
    write_all_at,
};
