//! What filesystem a directory is really on.
//!
//! Owns: the filesystem of an open directory by the kernel's own answer, so that symbolic links and
//! bind mounts are seen through; whether its bytes end in memory, also under an overlay or on a
//! block device that is memory; the mount's place, source and options for messages. Does not own:
//! what follows from it.
//!
//! /proc/self/mountinfo and /sys are looked at under a root path. What they say was written by
//! others: lengths and depths are bounded, and what cannot be read is not known, never an error.

mod block_device;
mod filesystem;
mod kind;
mod table;

pub use filesystem::{Filesystem, InMemory};
pub use kind::FilesystemKind;
pub use table::Mount;
