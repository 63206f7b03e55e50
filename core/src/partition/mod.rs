//! Which partition a row belongs to.
//!
//! Owns the ranges of a distributed sort (`range`), and the placement by hash, which is Spark's: Murmur3 over the hash columns with seed 42, then
//! the floor modulus. What each Arrow type hashes as is the table in `docs/PARTITIONING.md`.
//! Placement is a promise to data already written, so nothing here may change a result.

mod column;
mod fold;
mod murmur3;
#[cfg(test)]
mod oracle;
mod pmod;
mod range;
mod spark_hash;
mod value;

pub use pmod::pmod;
pub use range::{BOUND_BYTES, RangeBounds, RangeSample};
pub use spark_hash::SparkHash;
