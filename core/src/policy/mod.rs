//! Decisions as pure functions, so that they can be read, tested and changed in one place.

mod combine;
mod merge;
mod record_sizing;
mod sizing;
mod sort_sizing;

pub use combine::{CombineSizing, combine_sizing, minimum_combine_sizing, tiny_combine_sizing};
pub use merge::{least_neighbours, runs_to_merge};
pub use record_sizing::{RecordWriterSizing, minimum_record_sizing, record_sizing};
pub use sizing::{Sizing, minimum_sizing, sizing};
pub use sort_sizing::{SortSizing, minimum_sort_sizing, sort_sizing};
