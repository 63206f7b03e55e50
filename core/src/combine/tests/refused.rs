//! Tables that moved their entries together and got no memory all the same.

use std::collections::BTreeMap;

use super::{SIZE, contents, table};
use crate::combine::{AccumulatorSize, Input, KeyHash, Merge, Put, Table};
use crate::{Error, Result};

/// Accumulators of the length that the last value says, of bytes that are the first value's.
#[derive(Debug, Clone, Copy)]
struct Resize;

impl Resize {
    fn value(byte: u8, len: u16) -> [u8; 3] {
        let [low, high] = len.to_le_bytes();
        [byte, low, high]
    }

    fn len(value: &[u8]) -> usize {
        value.get(1..3).map_or(0, |len| usize::from(u16::from_le_bytes([len[0], len[1]])))
    }
}

impl Merge for Resize {
    fn size(&self) -> AccumulatorSize {
        AccumulatorSize::Variable
    }

    fn created_bytes_max(&self, value: &[u8]) -> usize {
        Self::len(value)
    }

    fn create(&mut self, value: &[u8], accumulator: &mut [u8]) -> Result<usize> {
        accumulator[..Self::len(value)].fill(value[0]);
        Ok(Self::len(value))
    }

    fn merged_bytes_max(&self, _: &[u8], value: &[u8]) -> usize {
        Self::len(value)
    }

    fn merge(&mut self, accumulator: &mut [u8], _: usize, value: &[u8]) -> Result<usize> {
        let byte = accumulator[0];
        accumulator[..Self::len(value)].fill(byte);
        Ok(Self::len(value))
    }

    fn merge_accumulators(&mut self, _: &mut [u8], _: usize, _: &[u8]) -> Result<usize> {
        Err(Error::invalid("never"))
    }
}

/// An entry grows when the memory that moving others together gave back is not granted again: its
/// room with half to spare is refused, the room it needs is there.
fn grows_after_a_refused_spare(hash: KeyHash) {
    let (ledger, _consumer, mut table) = table(1 << 20, &Resize, hash);
    let floor = Table::bytes_for(SIZE);
    let mut lengths = BTreeMap::new();
    let mut put = |table: &mut Table, key: u8, len: u16| {
        let put = table.put(&[key], Input::Value(&Resize::value(key, len)), &mut Resize).unwrap();
        assert_eq!(put, Put::Done, "{key} of {len}");
        lengths.insert(vec![key], vec![key; usize::from(len)]);
    };
    (0..15).for_each(|key| put(&mut table, key, 499));
    put(&mut table, 100, 100);
    put(&mut table, 101, 115);
    // Out of the shared areas: more than half of these is dead.
    (0..8).for_each(|key| put(&mut table, key, 600));
    ledger.set_capacity(floor);
    put(&mut table, 100, 200);
    assert_eq!(contents(&table), lengths);
}

#[test]
fn an_entry_is_found_again_after_a_refused_allocation_moved_it() {
    (0..300).for_each(|seed| grows_after_a_refused_spare(KeyHash::with_seed(seed)));
    grows_after_a_refused_spare(KeyHash::constant());
}
