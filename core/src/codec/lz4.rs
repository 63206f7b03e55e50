//! LZ4 block format with a hash table that is charged once and reused.

use std::fmt;

use lz4_flex::block::{self, CompressTable};

use crate::Result;
use crate::memory::{Consumer, Reservation};

pub(super) struct Compressor {
    table: CompressTable,
    _reservation: Reservation,
}

impl Compressor {
    /// The table of 4,096 entries of 32 bits.
    pub(super) const BYTES: u64 = 4096 * 4;

    pub(super) fn try_new(consumer: &Consumer) -> Result<Self> {
        let mut reservation = consumer.reserve(Self::BYTES)?;
        reservation.set_live(Self::BYTES);
        Ok(Self { table: CompressTable::large(), _reservation: reservation })
    }

    pub(super) fn compress(&mut self, source: &[u8], target: &mut [u8]) -> Option<usize> {
        block::compress_into_with_table(source, target, &mut self.table).ok()
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lz4")
    }
}

pub(super) fn compressed_bytes_max(len: usize) -> usize {
    block::get_maximum_output_size(len)
}

pub(super) fn decompress(source: &[u8], target: &mut [u8]) -> Option<usize> {
    block::decompress_into(source, target).ok()
}
