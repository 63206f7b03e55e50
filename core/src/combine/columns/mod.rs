//! Group keys and aggregates of Arrow columns as bytes, and back.
//!
//! [`GroupKeys`] turns the group columns of a row into one key whose bytes are equal where SQL groups
//! rows together; [`Aggregates`] turns its value columns into accumulators and merges them;
//! [`GroupRows`] turns both back into a batch.

mod aggregate;
mod group_key;
mod kind;
mod room;
mod rows;

use crate::Error;

pub use aggregate::{Aggregate, Aggregates};
pub use group_key::GroupKeys;
pub use room::BatchRoom;
pub use rows::GroupRows;

const DAMAGED: Error = Error::corrupt("a group is not what was written");
