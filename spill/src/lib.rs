//! Bytes to disk and back for the Bywash shuffle engine.

mod names;
mod output_dir;
mod quota;
mod session;
mod spill_dirs;
mod store;
mod sweep;

pub use names::{Token, index_name};
pub use output_dir::{OutputDir, OutputFile, OutputOptions, SyncPolicy};
pub use spill_dirs::{DirIndex, DirMask, SpillDirs, SpillFile, SpillOptions};
pub use store::{
    Access, FsStore, Lock, Name, Publish, Store, StoreDir, StoreFile, StoreOp, read_exact_at,
    write_all_at,
};
pub use sweep::{IndexNames, SweepMode, SweepReport, sweep_outputs, sweep_sessions};
