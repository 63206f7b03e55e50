//! Order-preserving keys of rows.
//!
//! A [`SortKey`] says by which columns rows are ordered. It turns a row into bytes whose order, byte
//! by byte, is the order of the rows, so that sorting, merging and range bounds compare bytes:
//!
//! ```text
//! column 1: | marker, if nullable | value, complemented if descending |  column 2: ...
//! marker    1 for a value; 0 for a null that comes first, 2 for one that comes last
//! integer, decimal, date, time, timestamp, duration   big-endian, sign bit flipped if signed
//! float     big-endian bits, all flipped if negative, else the sign bit
//! boolean   a byte, 0 or 1
//! fixed-size binary     its bytes
//! string, binary        its bytes with 0 as 0 255, then 0 0
//! ```
//!
//! The value of a null is zeros, or nothing where values have any length. Where nulls go does not
//! depend on the direction. All NaN are equal and above everything, -0.0 equals 0.0, as in Spark and
//! DuckDB. Columns without values are in no key.
//!
//! The first 16 bytes of a key, as a number, are its *prefix*: what sorting and merging look at first.
//! Prefixes are ordered as their rows or equal, and a [`SortKey::is_decisive`] one is the whole key.
//! In a prefix the bytes of a string are not escaped, and nothing follows them.

mod bytes;
mod compare;
mod kind;
mod part;
mod pieces;
mod prefix;
mod rows;
#[cfg(test)]
mod tests;

use twox_hash::XxHash3_64;

use crate::cast::to_u32;
use crate::column::{Layout, Physical};
use crate::{Error, ErrorKind, Figure, Result};
use kind::Kind;

pub use part::{PrefixPart, PrefixSpan};
pub use pieces::KeyPieces;
pub use prefix::{PREFIX_BYTES, Prefix};
pub use rows::{ChunkRows, KeyRows, ViewRows};

/// How one column orders rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SortColumn {
    /// The column's index in the schema.
    pub column: usize,
    /// Whether larger values come first.
    pub descending: bool,
    /// Whether nulls come after all values, whatever the direction.
    pub nulls_last: bool,
}

impl SortColumn {
    /// Ascending, nulls first: Spark's default.
    pub const fn ascending(column: usize) -> Self {
        Self { column, descending: false, nulls_last: false }
    }

    /// Descending, nulls last: Spark's default for that direction.
    pub const fn descending(column: usize) -> Self {
        Self { column, descending: true, nulls_last: true }
    }
}

/// By which columns rows are ordered, the most significant first.
#[derive(Debug, Clone)]
pub struct SortKey {
    columns: Box<[KeyColumn]>,
    is_decisive: bool,
    fingerprint: u64,
}

/// A column of a key, its type worked out.
#[derive(Debug, Clone, Copy)]
struct KeyColumn {
    node: usize,
    physical: Physical,
    kind: Kind,
    is_nullable: bool,
    descending: bool,
    /// The marker of a null.
    null_marker: u8,
}

/// The marker of a value in a nullable column.
const VALUE_MARKER: u8 = 1;

impl SortKey {
    /// A key of rows of `layout`. Without columns all rows are equal.
    ///
    /// # Errors
    /// `InvalidArgument` for a column that is not there; `Unsupported` for one whose type has no
    /// order: intervals of days, or of months, days and nanoseconds.
    pub fn try_new(layout: &Layout, columns: &[SortColumn]) -> Result<Self> {
        let columns = columns.iter().map(|column| key_column(layout, *column));
        let mut columns: Vec<KeyColumn> = columns.collect::<Result<_>>()?;
        columns.retain(|column| column.physical != Physical::Null);
        let width = columns.iter().try_fold(0usize, |bytes, column| {
            Some(bytes + usize::from(column.is_nullable) + column.fixed_width()?)
        });
        let is_decisive = width.is_some_and(|width| width <= PREFIX_BYTES);
        let fingerprint = fingerprint(&columns);
        Ok(Self { columns: columns.into(), is_decisive, fingerprint })
    }

    /// What keys of one form have in common, and others but by chance have not: kinds, widths,
    /// directions, places of nulls. Which columns they are made of, and their names, are not in it. Never 0.
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Whether rows with equal prefixes have equal keys.
    pub const fn is_decisive(&self) -> bool {
        self.is_decisive
    }

    /// Whether all rows are equal.
    pub const fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}

impl KeyColumn {
    /// Bytes of a value, unless they are of any length.
    fn fixed_width(&self) -> Option<usize> {
        match self.physical {
            Physical::Null => Some(0),
            Physical::Bool => Some(1),
            Physical::Fixed { width } => Some(width as usize),
            Physical::Variable { .. } => None,
        }
    }
}

fn fingerprint(columns: &[KeyColumn]) -> u64 {
    let bytes: Vec<u8> = columns
        .iter()
        .flat_map(|column| {
            let width = column.fixed_width().map_or(0, |width| to_u32(width) + 1);
            let [a, b, c, d] = width.to_le_bytes();
            let flags = u8::from(column.is_nullable) | u8::from(column.descending) << 1;
            [column.kind as u8, flags, column.null_marker, a, b, c, d]
        })
        .collect();
    XxHash3_64::oneshot(&bytes).max(1)
}

fn key_column(layout: &Layout, wanted: SortColumn) -> Result<KeyColumn> {
    let SortColumn { column, descending, nulls_last } = wanted;
    let node = layout.nodes().get(column).ok_or_else(|| {
        Error::invalid("a sort column is not below the number of columns")
            .with(Figure::Column, column)
            .with(Figure::Expected, layout.nodes().len())
    })?;
    let field = layout.schema().field(column);
    let kind = kind::kind(field.data_type()).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "values of this type have no order to sort by; cast it")
            .with(Figure::Column, column)
            .with_detail(format!("{} {}", field.name(), field.data_type()))
    })?;
    Ok(KeyColumn {
        node: column,
        physical: node.physical,
        kind,
        is_nullable: node.nullable,
        descending,
        null_marker: if nulls_last { 2 } else { 0 },
    })
}
