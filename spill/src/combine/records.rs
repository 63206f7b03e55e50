//! What a combiner takes and gives: keys and values as slices of bytes.

use bywash_core::{Error, Figure, Result};

/// Records of one call: a key and a value each.
#[derive(Debug, Clone, Copy)]
pub struct KeyValues<'a> {
    keys: Slices<'a>,
    values: Slices<'a>,
    rows: usize,
}

/// Many byte strings, wherever they lie.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Slices<'a> {
    /// All of one width, one after the other. A width of 0 has no rows of its own: it goes with any
    /// number.
    Fixed {
        /// The bytes.
        bytes: &'a [u8],
        /// Bytes of each.
        width: usize,
    },
    /// As in an Arrow binary array: one more offset than there are strings.
    Offsets {
        /// The bytes that offsets point into.
        bytes: &'a [u8],
        /// Where each begins, and where the last ends.
        offsets: &'a [i32],
    },
    /// Each on its own.
    Each(&'a [&'a [u8]]),
}

impl<'a> KeyValues<'a> {
    /// Keys and as many values.
    ///
    /// # Errors
    /// `InvalidArgument` for different numbers of them, bytes that are not a multiple of the width,
    /// or offsets that fall or point outside their bytes.
    pub fn try_new(keys: Slices<'a>, values: Slices<'a>) -> Result<Self> {
        let rows = match (keys.rows()?, values.rows()?) {
            (Some(keys), Some(values)) if keys != values => {
                return Err(Error::invalid("there must be a value for each key")
                    .with(Figure::Expected, keys)
                    .with(Figure::Found, values));
            }
            (Some(rows), _) | (None, Some(rows)) => rows,
            (None, None) => {
                return Err(Error::invalid(
                    "keys and values of no width say no number of records; give offsets",
                ));
            }
        };
        Ok(Self { keys, values, rows })
    }

    /// Records.
    pub const fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The key of a record.
    pub fn key(&self, row: usize) -> &'a [u8] {
        self.keys.get(row)
    }

    /// The value of a record.
    pub fn value(&self, row: usize) -> &'a [u8] {
        self.values.get(row)
    }
}

impl<'a> Slices<'a> {
    /// Their number, if they have one.
    fn rows(self) -> Result<Option<usize>> {
        match self {
            Self::Fixed { bytes: [], width: 0 } => Ok(None),
            Self::Fixed { bytes, width } if width > 0 && bytes.len().is_multiple_of(width) => {
                Ok(Some(bytes.len() / width))
            }
            Self::Fixed { bytes, width } => {
                Err(Error::invalid("the bytes are not a multiple of the width")
                    .with(Figure::Length, bytes.len())
                    .with(Figure::Expected, width))
            }
            Self::Offsets { bytes, offsets } => {
                let (first, last) = match offsets {
                    [] => return Ok(Some(0)),
                    [first, .., last] => (*first, *last),
                    [only] => (*only, *only),
                };
                let last = usize::try_from(last).ok().filter(|last| *last <= bytes.len());
                if first < 0 || last.is_none() || !offsets.is_sorted() {
                    return Err(Error::invalid("offsets fall or point outside their bytes"));
                }
                Ok(Some(offsets.len() - 1))
            }
            Self::Each(each) => Ok(Some(each.len())),
        }
    }

    /// One of them. The offsets were checked.
    fn get(self, row: usize) -> &'a [u8] {
        match self {
            Self::Fixed { bytes, width } => &bytes[row * width..(row + 1) * width],
            Self::Offsets { bytes, offsets } => {
                let at = |row: usize| usize::try_from(offsets[row]).unwrap_or(0);
                &bytes[at(row)..at(row + 1)]
            }
            Self::Each(each) => each[row],
        }
    }
}
