//! A caller's array seen as plain slices.

use std::ops::Range;

use arrow_array::Array;
use arrow_buffer::{NullBuffer, bit_util};
use arrow_data::ArrayData;

use super::Physical;
use crate::cast::to_usize;
use crate::{Error, Result};

/// One array's buffers, with the array's offset already applied where that is possible.
#[derive(Debug)]
pub struct ColumnView {
    data: ArrayData,
    physical: Physical,
    nulls: Option<NullBuffer>,
}

/// A view's values.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// No values.
    Null,
    /// Bits, beginning at a bit offset.
    Bits {
        /// The bytes that hold the bits.
        bytes: &'a [u8],
        /// The bit of row 0.
        offset: usize,
    },
    /// `width` bytes a row.
    Fixed(&'a [u8]),
    /// 32-bit offsets, one more than rows, and the data they point into.
    Narrow(&'a [i32], &'a [u8]),
    /// 64-bit offsets, one more than rows, and the data they point into.
    Wide(&'a [i64], &'a [u8]),
}

impl ColumnView {
    /// Looks at an array whose type has the shape `physical`.
    pub fn new(array: &dyn Array, physical: Physical) -> Self {
        // A null array has no bitmap, and its node no buffers.
        let nulls = match physical {
            Physical::Null => None,
            _ => array.nulls().filter(|nulls| nulls.null_count() > 0).cloned(),
        };
        Self { data: array.to_data(), physical, nulls }
    }

    /// The validity bitmap, if any row is null.
    pub const fn nulls(&self) -> Option<&NullBuffer> {
        self.nulls.as_ref()
    }

    /// The values as slices.
    pub fn values(&self) -> Values<'_> {
        let (offset, len) = (self.data.offset(), self.data.len());
        match self.physical {
            Physical::Null => Values::Null,
            Physical::Bool => Values::Bits { bytes: self.buffer(0), offset },
            Physical::Fixed { width } => {
                let width = width as usize;
                Values::Fixed(&self.buffer(0)[offset * width..(offset + len) * width])
            }
            // An empty array may come without any offset.
            Physical::Variable { .. } if len == 0 => Values::Narrow(&[0], &[]),
            Physical::Variable { wide: false } => {
                let offsets = self.data.buffers()[0].typed_data::<i32>();
                Values::Narrow(&offsets[offset..=offset + len], self.buffer(1))
            }
            Physical::Variable { wide: true } => {
                let offsets = self.data.buffers()[0].typed_data::<i64>();
                Values::Wide(&offsets[offset..=offset + len], self.buffer(1))
            }
        }
    }

    /// Bytes of one fixed value.
    pub const fn width(&self) -> usize {
        match self.physical {
            Physical::Fixed { width } => width as usize,
            _ => 0,
        }
    }

    /// Bytes of a row's variable data; garbage under a null counts as nothing.
    ///
    /// # Errors
    /// `InvalidArgument` if the offsets point outside the data.
    pub fn data_range(&self, row: usize) -> Result<Range<usize>> {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return Ok(0..0);
        }
        self.values().data_range(row)
    }

    fn buffer(&self, index: usize) -> &[u8] {
        self.data.buffers().get(index).map_or(&[], |buffer| buffer.as_slice())
    }
}

impl Values<'_> {
    /// Where a row's variable data lies, null or not.
    ///
    /// # Errors
    /// `InvalidArgument` if the offsets point outside the data.
    pub fn data_range(&self, row: usize) -> Result<Range<usize>> {
        let (start, end, len) = match self {
            Self::Narrow(offsets, data) => {
                (i64::from(offsets[row]), i64::from(offsets[row + 1]), data.len())
            }
            Self::Wide(offsets, data) => (offsets[row], offsets[row + 1], data.len()),
            _ => return Ok(0..0),
        };
        match (u64::try_from(start), u64::try_from(end)) {
            (Ok(start), Ok(end)) if start <= end && end <= len as u64 => {
                Ok(to_usize(start)..to_usize(end))
            }
            _ => Err(Error::invalid("a column's offsets point outside its data")),
        }
    }

    /// The bit of a row of [`Values::Bits`].
    pub fn bit(&self, row: usize) -> bool {
        match self {
            Self::Bits { bytes, offset } => bit_util::get_bit(bytes, offset + row),
            _ => false,
        }
    }
}
