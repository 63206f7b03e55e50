//! Locks and atomics of the memory account: the standard ones, or those of a model checker.

pub(crate) use std::sync::{Arc, Mutex, Weak};

pub(crate) mod atomic {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
}
