//! What a shuffle writes: schema, partitions, placement, codec.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use bywash_core::codec::Codec;
use bywash_core::column::{Layout, decode_schema, encode_schema};
use bywash_core::partition::SparkHash;
use bywash_core::{Error, ErrorKind, Figure, Result};

use crate::map_output::SCHEMA_BYTES_MAX;
use crate::writer::{Columns, WorkingSet};

/// Partitions a shuffle may have: Spark's 24 bits.
pub const PARTITIONS_MAX: u32 = 1 << 24;

/// How rows find their partition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Partitioning {
    /// Spark's Murmur3 over these columns, by index, then the floor modulus
    /// (docs/PARTITIONING.md).
    Hash(Vec<usize>),
    /// The caller gives a partition id with each row.
    Ids,
}

/// The shape of a shuffle; cheap to clone.
#[derive(Debug, Clone)]
pub struct ShuffleSpec {
    layout: Arc<Layout>,
    encoded_schema: Arc<[u8]>,
    partitions: u32,
    hash: Option<Arc<SparkHash>>,
    codec: Codec,
}

impl ShuffleSpec {
    /// A shuffle of rows of `schema` into `partitions`, compressed with LZ4.
    ///
    /// # Errors
    /// `Unsupported`, naming the column, for a type that cannot be shuffled or hashed, and for a
    /// schema that no reader would take: a type with impossible parameters, too many columns or
    /// metadata; `InvalidArgument` for no partitions, too many, or a hash column that is not there.
    pub fn new(schema: SchemaRef, partitions: u32, partitioning: Partitioning) -> Result<Self> {
        if partitions == 0 || partitions > PARTITIONS_MAX {
            return Err(Error::invalid("the number of partitions is 1 to 16777216")
                .with(Figure::Partitions, partitions));
        }
        let hash = match partitioning {
            Partitioning::Hash(columns) => Some(Arc::new(SparkHash::try_new(&schema, &columns)?)),
            Partitioning::Ids => None,
        };
        // The layout first: its refusal names the column.
        let layout = Arc::new(Layout::try_new(schema)?);
        let encoded_schema: Arc<[u8]> = encode_schema(layout.schema())?.into();
        check_readable(&encoded_schema)?;
        Ok(Self { layout, encoded_schema, partitions, hash, codec: Codec::default() })
    }

    /// The same shuffle with another codec.
    #[must_use]
    pub const fn with_codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// The schema.
    pub fn schema(&self) -> &SchemaRef {
        self.layout.schema()
    }

    /// The number of partitions.
    pub const fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The codec.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Identifies the schema in blocks and file names.
    pub fn fingerprint(&self) -> u64 {
        self.layout.fingerprint()
    }

    pub(crate) const fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub(crate) const fn encoded_schema(&self) -> &Arc<[u8]> {
        &self.encoded_schema
    }

    pub(crate) const fn hash(&self) -> Option<&Arc<SparkHash>> {
        self.hash.as_ref()
    }
}

/// What is written must be read: the limits of a schema file hold before the first row, not only
/// when an output is committed or, later, opened.
fn check_readable(encoded: &[u8]) -> Result<()> {
    if encoded.len() as u64 > SCHEMA_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "a schema's encoding is above 16 MiB; drop metadata",
        )
        .with(Figure::Length, encoded.len()));
    }
    decode_schema(encoded).map(drop).map_err(|_| {
        Error::new(
            ErrorKind::Unsupported,
            "a schema has a type with impossible parameters (a precision, a unit), or more than \
             1048576 columns or metadata entries",
        )
    })
}

/// The least capacity of a ledger whose `tasks` tasks write this shuffle at once, in bytes.
///
/// A ledger of exactly this works, whatever the rows; with one byte less a task is not admitted or
/// its writer is not made. It is `tasks` times the sum of a writer's fixed parts at their smallest:
///
/// ```text
///   20 P + 8              offsets, rows and checksums of P partitions
/// + 4 P                   counters of the counting sort
/// + 2 chunks              staged rows, and the same rows sorted (about 512 KiB each, or a row each)
/// + 12 rows of a chunk    ids, permutation, segments
/// + codec                 16 KiB for lz4, Zstandard's context for its level
/// + block and write buffer  64 KiB and 128 KiB, or what a block of incompressible rows needs
/// + 65 KiB and lists      windows of up to 65 runs
/// ```
///
/// each mapped part rounded up to whole pages, from 4 MiB up to whole 2 MiB.
///
/// # Errors
/// `InvalidArgument` for no tasks or a codec level out of range.
pub fn minimum_budget(spec: &ShuffleSpec, tasks: usize) -> Result<u64> {
    if tasks == 0 {
        return Err(Error::invalid("the number of tasks is at least 1"));
    }
    let each = WorkingSet::<Columns>::minimum_bytes(spec)?;
    each.checked_mul(tasks as u64).ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, "so many tasks need more memory than can be counted")
            .with(Figure::Requested, each)
    })
}

/// The most tasks that can write this shuffle at once in a ledger of `budget` bytes: the inverse of
/// [`minimum_budget`]. 0 if not even one can.
///
/// # Errors
/// `InvalidArgument` for a codec level out of range.
pub fn max_tasks(budget: u64, spec: &ShuffleSpec) -> Result<usize> {
    let each = WorkingSet::<Columns>::minimum_bytes(spec)?;
    Ok(usize::try_from(budget / each).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    fn spec(partitions: u32, codec: Codec) -> ShuffleSpec {
        let fields = [("a", DataType::Int64), ("b", DataType::Utf8)];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type, true));
        let schema = Arc::new(Schema::new(fields.to_vec()));
        ShuffleSpec::new(schema, partitions, Partitioning::Ids).unwrap().with_codec(codec)
    }

    #[test]
    fn max_tasks_is_the_inverse_of_the_minimum_budget() {
        for (partitions, codec) in
            [(1, Codec::None), (200, Codec::Lz4), (100_000, Codec::Zstd { level: 3 })]
        {
            let spec = spec(partitions, codec);
            for tasks in [1, 2, 3, 7, 64, 1000, 123_456] {
                let budget = minimum_budget(&spec, tasks).unwrap();
                assert_eq!(max_tasks(budget, &spec).unwrap(), tasks);
                assert_eq!(max_tasks(budget - 1, &spec).unwrap(), tasks - 1);
                assert_eq!(max_tasks(budget + 1, &spec).unwrap(), tasks);
            }
            assert_eq!(max_tasks(0, &spec).unwrap(), 0);
            let all = max_tasks(u64::MAX, &spec).unwrap();
            assert!(minimum_budget(&spec, all).is_ok());
            assert!(minimum_budget(&spec, all + 1).is_err());
        }
    }

    #[test]
    fn a_level_out_of_range_is_refused() {
        let spec = spec(1, Codec::Zstd { level: 99 });
        assert_eq!(max_tasks(1 << 30, &spec).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
