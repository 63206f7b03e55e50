//! Pointers at their limits, and records in tiny arenas and groups against a naive oracle.

use proptest::prelude::*;

use super::memory::{Appended, RecordMemory, RecordSizing};
use super::pointer::Pointer;
use super::{ARENA_BYTES_MAX, RecordInput};
use crate::block::{HEADER_BYTES, Header, RecordDecoder, RecordEncoder};
use crate::cast::to_usize;
use crate::codec::Codec;
use crate::memory::{Area, ChargeMode, Consumer, MemoryLedger};
use crate::port::BlockSink;
use crate::{ErrorKind, Result};

#[test]
fn a_pointer_holds_the_largest_partition_start_and_length() {
    for partition in [0, 1, (1 << 24) - 1] {
        for start in [0, 1, ARENA_BYTES_MAX - 1] {
            for length in [0, 1, 65_534] {
                let pointer = Pointer::of_word(Pointer::new(partition, start, length).word());
                assert_eq!((pointer.partition(), pointer.start()), (partition, start));
                assert_eq!(pointer.length(), Some(length as usize));
            }
            for length in [65_535, 65_536, u32::MAX] {
                let pointer = Pointer::new(partition, start, length);
                assert_eq!((pointer.partition(), pointer.start()), (partition, start));
                assert_eq!(pointer.length(), None, "it stands before the record");
            }
        }
    }
}

#[test]
fn more_partitions_than_a_pointer_tells_apart_are_refused_when_made() {
    let consumer = consumer();
    let sizing = RecordSizing { arena_bytes: 4096, group_records: 8 };
    assert!(RecordMemory::try_new(&consumer, sizing, 1 << 24).is_ok());
    let error = RecordMemory::try_new(&consumer, sizing, (1 << 24) + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn what_is_kept_is_used_again_and_what_is_given_back_is_not_charged() {
    let ledger = MemoryLedger::unlimited();
    let consumer = ledger.admit(1, 0).unwrap()[0].consumer("records");
    let sizing = RecordSizing { arena_bytes: 4096, group_records: 64 };
    let mut memory = RecordMemory::try_new(&consumer, sizing, 3).unwrap();
    let made = ledger.granted();
    assert_eq!(made, RecordMemory::bytes_for(sizing, 3).unwrap());
    let records: Vec<(u32, Vec<u8>)> = (0..200).map(|i| (i % 3, vec![7; 100])).collect();
    let mut rows = [0; 3];
    fill(&mut memory, &consumer, &records, &mut rows);
    let held = ledger.granted();
    // 37 records and their pointers fill an arena.
    assert_eq!((held - made, memory.reclaimable()), (5 * 4096, 5 * 4096));
    memory.recycle();
    assert_eq!((ledger.granted(), memory.records()), (held, 0));
    fill(&mut memory, &consumer, &records, &mut rows);
    assert_eq!(ledger.granted(), held, "nothing was asked for");
    assert_eq!(rows, [2 * 67, 2 * 67, 2 * 66]);
    memory.recycle();
    memory.release_unused();
    assert_eq!((ledger.granted(), memory.reclaimable()), (made, 0));
}

proptest! {
    #[test]
    fn records_come_in_order_of_partition_then_arrival(
        partitions in 1u32..40,
        records in prop::collection::vec((any::<u32>(), length()), 0..300),
        group_records in 1usize..40,
        recycle in any::<bool>(),
    ) {
        let records: Vec<(u32, Vec<u8>)> = (0u64..)
            .zip(&records)
            .map(|(number, &(partition, length))| {
                let bytes = number.to_le_bytes().into_iter().cycle().take(length);
                (partition % partitions, bytes.collect())
            })
            .collect();
        let consumer = consumer();
        let sizing = RecordSizing { arena_bytes: 4096, group_records };
        let mut memory = RecordMemory::try_new(&consumer, sizing, partitions).unwrap();
        let mut rows = vec![0; partitions as usize];
        if recycle {
            fill(&mut memory, &consumer, &records, &mut rows);
            memory.recycle();
            rows.fill(0);
        }
        fill(&mut memory, &consumer, &records, &mut rows);
        prop_assert_eq!(memory.records(), records.len() as u64);
        let mut encoder = RecordEncoder::try_new(&consumer, Codec::None, 1024).unwrap();
        // Twice: a run that fails in one directory is written again in another.
        for _ in 0..2 {
            memory.rewind();
            for partition in 0..partitions {
                let mut sink = Blocks::default();
                let found = memory.flush_partition(partition, &mut encoder, &mut sink).unwrap();
                let of_it = records.iter().filter(|(of, _)| *of == partition);
                let expected: Vec<&Vec<u8>> = of_it.map(|(_, bytes)| bytes).collect();
                prop_assert_eq!(found, expected.len() as u64);
                prop_assert_eq!(rows[partition as usize], found);
                let decoded = decode(&consumer, partition, &sink.bytes);
                prop_assert_eq!(decoded.iter().collect::<Vec<_>>(), expected);
            }
        }
    }
}

/// Short ones, some larger than a block, some than an arena, some than a pointer's length field.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        20 => 0usize..60,
        5 => Just(24usize),
        2 => 900usize..1100,
        2 => 4000usize..4200,
        1 => 65_530usize..65_540,
    ]
}

fn consumer() -> Consumer {
    MemoryLedger::unlimited().admit(1, 0).unwrap()[0].consumer("records")
}

/// As a writer without a limit does it, with half of the records adjoining.
fn fill(
    memory: &mut RecordMemory,
    consumer: &Consumer,
    records: &[(u32, Vec<u8>)],
    rows: &mut [u64],
) {
    let (mut base, mut offsets) = (Vec::new(), Vec::new());
    for (number, (_, record)) in records.iter().enumerate() {
        if number > records.len() / 2 {
            base.push(0xee);
        }
        offsets.push(base.len() as u64);
        base.extend(record);
    }
    let lengths: Vec<u32> =
        records.iter().map(|(_, record)| u32::try_from(record.len()).unwrap()).collect();
    let partitions: Vec<u32> = records.iter().map(|(partition, _)| *partition).collect();
    let input =
        RecordInput { base: &base, offsets: &offsets, lengths: &lengths, partitions: &partitions };
    let mut from = 0;
    while from < records.len() {
        match memory.append(&input, from) {
            Appended::Records(taken, _) => from += taken,
            Appended::GroupFull => {
                memory.close_group(rows).unwrap();
                memory.make_room_if_free().unwrap();
            }
            Appended::ArenaFull => {
                memory.close_group(rows).unwrap();
                memory.make_room_if_free().unwrap();
                if !memory.next_arena() {
                    let area = Area::try_new(consumer, memory.arena_bytes()).unwrap();
                    memory.add_arena(area).unwrap();
                }
            }
            Appended::Oversized => {
                memory.close_group(rows).unwrap();
                memory.make_room_if_free().unwrap();
                let area = RecordMemory::bytes_alone(lengths[from]);
                let area = Area::try_new(consumer, area).unwrap();
                memory.append_alone(area, &input, from, rows).unwrap();
                from += 1;
            }
        }
    }
    memory.close_group(rows).unwrap();
    memory.make_room_if_free().unwrap();
}

fn decode(consumer: &Consumer, partition: u32, mut segment: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = RecordDecoder::new(consumer.clone(), ChargeMode::Ledger);
    let mut found = Vec::new();
    while let Some(first) = segment.first_chunk::<HEADER_BYTES>() {
        let header = Header::decode(first).unwrap();
        assert_eq!(header.partition, partition);
        let body = &segment[HEADER_BYTES..HEADER_BYTES + header.body_bytes as usize];
        if let Some(records) = decoder.decode(&header, body).unwrap() {
            found.extend(records.iter().map(<[u8]>::to_vec));
        }
        segment = &segment[to_usize(header.block_bytes())..];
    }
    assert!(segment.is_empty() && !decoder.is_inside_chain());
    found
}

#[derive(Default)]
struct Blocks {
    bytes: Vec<u8>,
    space: Vec<u8>,
}

impl BlockSink for Blocks {
    fn space(&mut self, len: usize) -> Result<&mut [u8]> {
        self.space.clear();
        self.space.resize(len, 0xa5);
        Ok(&mut self.space)
    }

    fn advance(&mut self, len: usize) {
        self.bytes.extend_from_slice(&self.space[..len]);
    }
}
