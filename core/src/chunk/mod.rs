//! Rows on their way to disk: staged as they come, then sorted by partition.
//!
//! Rows are copied column by column into [`Staging`]; full, it is sorted with one counting sort over
//! the partition ids and one gather per column into a [`SortedChunk`]. While the chunk is small
//! enough for one column of it to sit in cache, the gather runs at cache speed, however many
//! partitions there are.

mod counting_sort;
mod gather;
mod key_sort;
mod sorted;
mod staging;

pub use counting_sort::CountingSort;
pub use key_sort::KeySort;
pub use sorted::SortedChunk;
pub use staging::{Fit, Staging, StagingSize};
