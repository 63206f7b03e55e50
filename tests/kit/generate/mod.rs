//! Random schemas and batches over every type the engine takes.
//!
//! A [`Plan`] holds plain numbers; the data follow from them and the seed alone, so a failing case
//! is repeated and made smaller by its numbers. Arrays are built by hand from buffers, so that what
//! the format leaves open is used: bits and values under nulls are garbage, ranges under null slots
//! are not empty, offsets do not begin at 0, slices begin inside a byte of the validity bitmap.

mod column;
mod plan;
mod types;

pub use column::{Texture, column};
pub use plan::{ColumnPlan, Plan};
pub use types::{all_types, random_type};
