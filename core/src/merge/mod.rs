//! Merging sorted rows: which of many lanes comes next.

mod tree;

pub use tree::{Entry, LoserTree};
