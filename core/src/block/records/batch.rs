//! What reading records gives.

use std::fmt;
use std::sync::Arc;

use crate::cast::to_u32;
use crate::memory::BlockOwner;

/// Records one after another in memory that is charged as the reader was told to.
#[derive(Clone)]
pub struct Records {
    owner: Arc<BlockOwner>,
    len: usize,
    /// Where the bytes begin; the offsets lie at 0.
    data_start: usize,
}

impl Records {
    pub(super) const fn new(owner: Arc<BlockOwner>, len: usize, data_start: usize) -> Self {
        Self { owner, len, data_start }
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where each record begins in [`Records::bytes`], and where the last one ends: one more than
    /// records, rising from 0.
    pub fn offsets(&self) -> &[u32] {
        let bytes = self.owner.bytes().get(..(self.len + 1) * size_of::<u32>());
        bytemuck::cast_slice(bytes.unwrap_or_default())
    }

    /// The bytes of all records, one after another.
    pub fn bytes(&self) -> &[u8] {
        self.owner.bytes().get(self.data_start..).unwrap_or_default()
    }

    /// A record's bytes; nothing if there are not so many.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let (&start, &end) = (self.offsets().get(index)?, self.offsets().get(index + 1)?);
        self.bytes().get(start as usize..end as usize)
    }

    /// All records in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let bytes = self.bytes();
        self.offsets()
            .windows(2)
            .map(move |pair| bytes.get(pair[0] as usize..pair[1] as usize).unwrap_or_default())
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("len", &self.len)
            .field("bytes", &to_u32(self.bytes().len()))
            .finish_non_exhaustive()
    }
}
