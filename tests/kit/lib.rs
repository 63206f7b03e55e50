//! The kit of the cross-crate suites.

pub mod blocks;
pub mod faults;
pub mod map_files;
