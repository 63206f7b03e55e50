//! Decisions as pure functions, so that they can be read, tested and changed in one place.

mod combine;
mod merge;
mod sizing;

pub use combine::{CombineSizing, combine_sizing, minimum_combine_sizing, tiny_combine_sizing};
pub use merge::runs_to_merge;
pub use sizing::{Sizing, minimum_sizing, sizing};
