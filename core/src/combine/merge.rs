//! What becomes of records with equal keys.

use crate::{Error, Figure, Result};

/// How much room an accumulator takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccumulatorSize {
    /// Always so many bytes, changed in place.
    Fixed(u32),
    /// Any length. One that outgrows its room moves, with half of its length to spare.
    Variable,
}

impl AccumulatorSize {
    /// Whether an accumulator may have this length.
    ///
    /// # Errors
    /// `InvalidArgument` if it may not.
    pub fn check(self, len: usize) -> Result<()> {
        match self {
            Self::Fixed(bytes) if bytes as usize != len => {
                Err(BAD_LENGTH.with(Figure::Found, len).with(Figure::Expected, bytes))
            }
            Self::Fixed(_) | Self::Variable => Ok(()),
        }
    }
}

/// A merge function over bytes.
///
/// It must not matter how values are grouped nor in which order they come (associative and
/// commutative): spills merge accumulators of parts of the input. A length that is returned counts
/// from the start of the slice given and may not be above its end. An error, or a panic, leaves the
/// accumulator in no known state: whoever called it must give up the whole combine, and does.
///
/// Called while the combiner's lock is held: it must not call the combiner, nor ask its ledger for
/// memory.
pub trait Merge {
    /// The size of every accumulator.
    fn size(&self) -> AccumulatorSize;

    /// The most bytes [`Merge::create`] writes for this value; asked for variable sizes only.
    fn created_bytes_max(&self, value: &[u8]) -> usize {
        value.len()
    }

    /// Writes the accumulator of one value; returns its length.
    ///
    /// # Errors
    /// Why the value cannot be taken.
    fn create(&mut self, value: &[u8], accumulator: &mut [u8]) -> Result<usize>;

    /// The most bytes [`Merge::merge`] leaves; asked for variable sizes only.
    fn merged_bytes_max(&self, accumulator: &[u8], value: &[u8]) -> usize {
        accumulator.len().saturating_add(value.len())
    }

    /// Adds a value to the accumulator in the first `len` bytes of `accumulator`; returns its new
    /// length.
    ///
    /// # Errors
    /// Why the value cannot be taken.
    fn merge(&mut self, accumulator: &mut [u8], len: usize, value: &[u8]) -> Result<usize>;

    /// The most bytes [`Merge::merge_accumulators`] leaves; asked for variable sizes only.
    fn joined_bytes_max(&self, accumulator: &[u8], other: &[u8]) -> usize {
        accumulator.len().saturating_add(other.len())
    }

    /// Adds another accumulator to the one in the first `len` bytes of `accumulator`; returns its
    /// new length.
    ///
    /// # Errors
    /// Why they cannot be joined.
    fn merge_accumulators(
        &mut self,
        accumulator: &mut [u8],
        len: usize,
        other: &[u8],
    ) -> Result<usize>;
}

impl<M: Merge + ?Sized> Merge for Box<M> {
    fn size(&self) -> AccumulatorSize {
        (**self).size()
    }

    fn created_bytes_max(&self, value: &[u8]) -> usize {
        (**self).created_bytes_max(value)
    }

    fn create(&mut self, value: &[u8], accumulator: &mut [u8]) -> Result<usize> {
        (**self).create(value, accumulator)
    }

    fn merged_bytes_max(&self, accumulator: &[u8], value: &[u8]) -> usize {
        (**self).merged_bytes_max(accumulator, value)
    }

    fn merge(&mut self, accumulator: &mut [u8], len: usize, value: &[u8]) -> Result<usize> {
        (**self).merge(accumulator, len, value)
    }

    fn joined_bytes_max(&self, accumulator: &[u8], other: &[u8]) -> usize {
        (**self).joined_bytes_max(accumulator, other)
    }

    fn merge_accumulators(
        &mut self,
        accumulator: &mut [u8],
        len: usize,
        other: &[u8],
    ) -> Result<usize> {
        (**self).merge_accumulators(accumulator, len, other)
    }
}

/// How many records a key has: 8 bytes, little-endian. Values may be anything.
#[derive(Debug, Clone, Copy, Default)]
pub struct Count;

impl Merge for Count {
    fn size(&self) -> AccumulatorSize {
        AccumulatorSize::Fixed(8)
    }

    fn create(&mut self, _value: &[u8], accumulator: &mut [u8]) -> Result<usize> {
        accumulator.copy_from_slice(&1u64.to_le_bytes());
        Ok(8)
    }

    fn merge(&mut self, accumulator: &mut [u8], len: usize, _value: &[u8]) -> Result<usize> {
        let count = word(accumulator).wrapping_add(1);
        accumulator.copy_from_slice(&count.to_le_bytes());
        Ok(len)
    }

    fn merge_accumulators(
        &mut self,
        accumulator: &mut [u8],
        len: usize,
        other: &[u8],
    ) -> Result<usize> {
        let count = word(accumulator).wrapping_add(word(other));
        accumulator.copy_from_slice(&count.to_le_bytes());
        Ok(len)
    }
}

/// The sum of values that are 8 bytes each, a little-endian `i64`, and how many there were: the
/// accumulator is an `i64` and a `u64`. A sum that does not fit is an error; that of
/// [`Aggregate::Sum`](super::columns::Aggregate::Sum) has 128 bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct CountingSum;

impl Merge for CountingSum {
    fn size(&self) -> AccumulatorSize {
        AccumulatorSize::Fixed(16)
    }

    fn create(&mut self, value: &[u8], accumulator: &mut [u8]) -> Result<usize> {
        if value.len() != 8 {
            return Err(Error::invalid("a value to be summed is 8 bytes long")
                .with(Figure::Length, value.len()));
        }
        accumulator[..8].copy_from_slice(value);
        accumulator[8..16].copy_from_slice(&1u64.to_le_bytes());
        Ok(16)
    }

    fn merge(&mut self, accumulator: &mut [u8], len: usize, value: &[u8]) -> Result<usize> {
        let mut other = [0; 16];
        self.create(value, &mut other)?;
        self.merge_accumulators(accumulator, len, &other)
    }

    fn merge_accumulators(
        &mut self,
        accumulator: &mut [u8],
        len: usize,
        other: &[u8],
    ) -> Result<usize> {
        let sum = word(accumulator).cast_signed().checked_add(word(other).cast_signed());
        let sum = sum.ok_or(SUM_TOO_LARGE)?;
        let count = word(&accumulator[8..]).wrapping_add(word(&other[8..]));
        accumulator[..8].copy_from_slice(&sum.to_le_bytes());
        accumulator[8..16].copy_from_slice(&count.to_le_bytes());
        Ok(len)
    }
}

/// All values of a key, one after the other, as they come: not commutative, so their order is only
/// known for a key whose records met in one table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Concat;

impl Merge for Concat {
    fn size(&self) -> AccumulatorSize {
        AccumulatorSize::Variable
    }

    fn create(&mut self, value: &[u8], accumulator: &mut [u8]) -> Result<usize> {
        accumulator[..value.len()].copy_from_slice(value);
        Ok(value.len())
    }

    fn merge(&mut self, accumulator: &mut [u8], len: usize, value: &[u8]) -> Result<usize> {
        accumulator[len..len + value.len()].copy_from_slice(value);
        Ok(len + value.len())
    }

    fn merge_accumulators(
        &mut self,
        accumulator: &mut [u8],
        len: usize,
        other: &[u8],
    ) -> Result<usize> {
        self.merge(accumulator, len, other)
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |word| u64::from_le_bytes(*word))
}

const SUM_TOO_LARGE: Error = Error::invalid(
    "a sum does not fit 64 bits; group columns by Aggregate::Sum, which has 128, or give a merge \
     function with a wider accumulator",
);
const BAD_LENGTH: Error = Error::invalid("an accumulator has another length than all have");
