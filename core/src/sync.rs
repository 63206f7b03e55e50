//! Locks and atomics of the memory account: the standard ones, or those of a model checker that
//! tries out how threads may interleave (`--cfg shuttle`, `core/tests/interleavings.rs`).

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Arc, Mutex, Weak};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Arc, Mutex, Weak};

pub(crate) mod atomic {
    #[cfg(shuttle)]
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
    #[cfg(not(shuttle))]
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
}
