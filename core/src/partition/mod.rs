//! Which partition a row belongs to.
//!
//! Owns the placement by hash, which is Spark's: Murmur3 over the hash columns with seed 42, then
//! the floor modulus. What each Arrow type hashes as is the table in `docs/PARTITIONING.md`.
//! Placement is a promise to data already written, so nothing here may change a result.

mod column;
mod fold;
mod murmur3;
#[cfg(test)]
mod oracle;
mod pmod;
mod spark_hash;
mod value;

pub use pmod::pmod;
pub use spark_hash::SparkHash;
