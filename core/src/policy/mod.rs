//! Decisions as pure functions, so that they can be read, tested and changed in one place.

mod merge;
mod record_sizing;
mod sizing;

pub use merge::runs_to_merge;
pub use record_sizing::{RecordWriterSizing, minimum_record_sizing, record_sizing};
pub use sizing::{Sizing, minimum_sizing, sizing};
