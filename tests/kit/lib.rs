//! The kit of the cross-crate suites.

pub mod faults;
