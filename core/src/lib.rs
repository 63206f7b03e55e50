//! Mechanism of the Bywash shuffle engine, without an operating system.
//!
//! This crate performs no I/O, reads no clock or environment and starts no thread; the one thing it
//! takes from the system is anonymous memory, and that only after the ledger granted it.

pub mod block;
pub mod cast;
pub mod chunk;
pub mod codec;
pub mod column;
pub mod combine;
mod copy;
mod error;
mod id;
pub mod key;
pub mod memory;
pub mod merge;
pub mod partition;
pub mod policy;
pub mod port;
mod prefetch;
pub mod radix;
pub mod record;
mod sync;

pub use error::{Error, ErrorKind, Figure, Result};
pub use id::{AttemptId, MapId};
