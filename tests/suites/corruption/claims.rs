//! What a checksum vouches for is not believed either: extreme values in every place, with all
//! checksums repaired, and lengths that only a liar would write.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, LargeBinaryArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use bywash::{Codec, ErrorKind, Figure};
use bywash_core::block::{HEADER_BYTES, offset};
use bywash_core::column::encode_schema;
use bywash_spill::{SCHEMA_HEADER_BYTES, index_offset, schema_offset};
use bywash_tests::map_files::MapFiles;

use crate::outputs::{CODECS, chained, framed, mixed};
use crate::records;
use crate::subject::{Demand, Part, Subject};

const EXTREMES: [u64; 9] =
    [0, 0x7f, 0xff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 40, 1 << 60, u64::MAX];

#[test]
fn extreme_values_in_every_place_of_mixed_blocks() {
    for codec in CODECS {
        extremes_in_data(&mixed(codec));
    }
}

#[test]
fn extreme_values_in_every_place_of_a_chain() {
    for codec in CODECS {
        extremes_in_data(&chained(codec));
    }
}

#[test]
fn extreme_values_in_every_place_of_a_block_of_several_frames() {
    extremes_in_data(&framed(Codec::ZSTD));
}

#[test]
fn extreme_values_in_every_place_of_records() {
    for codec in CODECS {
        extremes_in_data(&records::mixed(codec));
        extremes_in_data(&records::chained(codec));
    }
    extremes_in_data(&records::framed(Codec::ZSTD));
}

fn extremes_in_data(subject: &Subject) {
    let blocks = subject.files.blocks();
    for place in 0..subject.files.data.len() {
        for width in [1, 2, 4, 8] {
            for value in EXTREMES {
                let value = &value.to_le_bytes()[..width];
                let Some(target) = subject.files.data.get(place..place + width) else {
                    continue;
                };
                // Each byte pattern once: those that a narrower width has written are skipped.
                if target == value || (width > 1 && value[width / 2..].iter().all(|&b| b == 0)) {
                    continue;
                }
                let mut files = subject.files.clone();
                files.data[place..place + width].copy_from_slice(value);
                files.repair_blocks(&blocks);
                let what = format!("data {place}: {value:x?}");
                subject.check_files(&files, Demand::WithinBounds, &what);
            }
        }
    }
}

#[test]
fn extreme_values_in_every_place_of_an_index_and_a_schema() {
    extremes_beside_data(&mixed(Codec::Lz4));
    extremes_beside_data(&records::mixed(Codec::Lz4));
}

fn extremes_beside_data(subject: &Subject) {
    for &part in &subject.parts()[1..] {
        for place in 0..subject.bytes(part).len() {
            for width in [1, 4, 8] {
                for value in EXTREMES {
                    let value = &value.to_le_bytes()[..width];
                    let mut files = subject.files.clone();
                    let bytes = match part {
                        Part::Index => &mut files.index,
                        _ => &mut files.schema,
                    };
                    let Some(target) = bytes.get_mut(place..place + width) else {
                        continue;
                    };
                    target.copy_from_slice(value);
                    match part {
                        Part::Index => files.repair_index(),
                        _ => files.repair_schema(),
                    }
                    let what = format!("{part:?} {place}: {value:x?}");
                    subject.check_files(&files, Demand::NothingWrong, &what);
                }
            }
        }
    }
}

/// A row of 4 GiB, 2^40 or 2^60 bytes that a chain of a few hundred bytes claims to hold: refused by
/// the ledger, by name, and never allocated.
#[test]
fn a_chain_that_claims_a_huge_row_is_refused_by_the_ledger() {
    let columns: [(DataType, ArrayRef, u64); 2] = [
        (DataType::LargeBinary, Arc::new(LargeBinaryArray::from_iter_values([vec![1; 500]])), 8),
        (DataType::Utf8, Arc::new(StringArray::from_iter_values(["a".repeat(500)])), 4),
    ];
    for (data_type, column, length_bytes) in columns {
        let wide = data_type == DataType::LargeBinary;
        let schema = Arc::new(Schema::new(vec![Field::new("c", data_type, false)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        let partitions = [vec![batch.clone()]];
        let files = MapFiles::build(&schema, Codec::None, 200, &partitions).unwrap();
        let subject = Subject::new(files, vec![batch], 1 << 20);
        let blocks = subject.files.blocks();
        assert!(blocks.len() > 2, "a chain");
        for row in [2 << 20, i32::MAX as u64, 4 << 30, 1 << 40, 1 << 60, u64::MAX - 8] {
            let mut files = subject.files.clone();
            for block in &blocks {
                let at = block.start + offset::CHAIN_BYTES;
                files.data[at..at + 8].copy_from_slice(&(row + length_bytes).to_le_bytes());
            }
            // The prefix of the first block: a byte of validity bits, then the row's data length.
            let at = HEADER_BYTES + 1;
            files.data[at..at + 8].copy_from_slice(&row.to_le_bytes());
            files.repair_blocks(&blocks);
            let what = format!("a row of {row}");
            let error = subject.check_files(&files, Demand::NothingWrong, &what).unwrap();
            let addressable = row < 1 << 62;
            if addressable && (wide || i32::try_from(row).is_ok()) {
                assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{what}: {error}");
                assert_eq!(error.figure(Figure::RowBytes), Some(row + length_bytes));
            }
        }
    }
}

/// As of a row: a record has no more than 4 GiB.
#[test]
fn a_chain_that_claims_a_huge_record_is_refused_by_the_ledger() {
    let subject = records::chained(Codec::None);
    let blocks = subject.files.blocks();
    for record in [2 << 20, u64::from(u32::MAX), 1 << 32, 1 << 40, u64::MAX - 8] {
        let mut files = subject.files.clone();
        for block in &blocks {
            let at = block.start + offset::CHAIN_BYTES;
            if files.data[at..at + 8] != [0; 8] {
                files.data[at..at + 8].copy_from_slice(&record.to_le_bytes());
            }
        }
        files.repair_blocks(&blocks);
        let what = format!("a record of {record}");
        let error = subject.check_files(&files, Demand::NothingWrong, &what).unwrap();
        if u32::try_from(record).is_ok() {
            assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{what}: {error}");
            assert_eq!(error.figure(Figure::RowBytes), Some(record));
        } else {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error}");
        }
    }
}

/// Rows of no bytes may be as many as a header can say.
#[test]
fn four_billion_rows_of_nothing_take_no_memory() {
    for data_type in [DataType::Null, DataType::FixedSizeBinary(0)] {
        let schema = Arc::new(Schema::new(vec![Field::new("c", data_type.clone(), true)]));
        let batch = RecordBatch::try_new(
            Arc::clone(&schema),
            vec![arrow_array::new_empty_array(&data_type)],
        )
        .unwrap();
        let files = MapFiles::build(&schema, Codec::Lz4, 1 << 10, &[vec![]]).unwrap();
        let mut subject = Subject::new(files, vec![batch], 1 << 20);
        let layout = bywash_core::column::Layout::try_new(schema).unwrap();
        let header = bywash_core::block::Header {
            kind: bywash_core::block::KIND_COLUMNS,
            flags: 0,
            partition: 0,
            rows: u32::MAX,
            body_bytes: u32::try_from(layout.prefix_bytes(false)).unwrap(),
            raw_bytes: 0,
            fingerprint: layout.fingerprint(),
            chain_offset: 0,
            chain_bytes: 0,
            body_crc: 0,
        };
        let mut block = header.encode().to_vec();
        block.resize(usize::try_from(header.block_bytes()).unwrap(), 0);
        // A frame that holds the empty values of the one column that has a buffer.
        if data_type != DataType::Null {
            let frame = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            let body = header.body_bytes + 12;
            block.truncate(HEADER_BYTES + 1);
            block.extend(frame);
            block[offset::BODY_BYTES..][..4].copy_from_slice(&body.to_le_bytes());
            block.resize(block.len().next_multiple_of(8), 0);
        }
        let files = &mut subject.files;
        files.data = block;
        let len = files.data.len() as u64;
        files.set_segment_offset(1, len);
        let rows = u64::from(u32::MAX).to_le_bytes();
        files.index[index_offset::DATA_BYTES..][..8].copy_from_slice(&len.to_le_bytes());
        files.index[index_offset::ROWS..][..8].copy_from_slice(&rows);
        let rows_at = files.index.len() - 4 - 4 - 8;
        files.index[rows_at..][..8].copy_from_slice(&rows);
        files.repair();
        let files = files.clone();
        let error = subject.check_files(&files, Demand::WithinBounds, &data_type);
        assert!(error.is_none(), "{data_type}: {}", error.unwrap());
    }
}

/// Files as long as their headers claim, so that only the ledger stands in the way.
#[test]
fn an_index_or_schema_of_any_length_is_charged_before_it_is_read() {
    let mut subject = mixed(Codec::None);
    let partitions = 1u32 << 24;
    subject.files.index[index_offset::PARTITIONS..][..4].copy_from_slice(&partitions.to_le_bytes());
    let len = 128 + (u64::from(partitions) + 1) * 8 + u64::from(partitions) * 12 + 4;
    let schema_bytes = 16u32 << 20;
    subject.files.schema[schema_offset::LENGTH..][..4].copy_from_slice(&schema_bytes.to_le_bytes());
    for (part, len) in
        [(Part::Index, len), (Part::Schema, SCHEMA_HEADER_BYTES as u64 + u64::from(schema_bytes))]
    {
        let other = mixed(Codec::None);
        other.put(part, subject.bytes(part));
        let what = format!("{part:?} of {len} bytes");
        let error = other.check_with_len(part, len, &what).unwrap();
        assert_eq!(error.kind(), ErrorKind::MemoryLimit, "{what}");
    }
}

/// A schema takes far more memory decoded than encoded; all of that is granted before.
#[test]
fn decoding_a_schema_stays_within_what_was_granted() {
    let narrow = |index: usize| Field::new(format!("{index:x}"), DataType::Int8, true);
    let noted = |index: usize| {
        let metadata = (0..20).map(|key| (format!("{key:x}"), String::new()));
        narrow(index).with_metadata(metadata.collect::<HashMap<_, _>>())
    };
    let schemas = [
        Schema::new((0..3000).map(narrow).collect::<Vec<_>>()),
        Schema::new((0..300).map(noted).collect::<Vec<_>>()),
        Schema::new(vec![narrow(0)]).with_metadata(
            [("k".to_owned(), "v".repeat(100_000))].into_iter().collect::<HashMap<_, _>>(),
        ),
    ];
    for schema in schemas {
        let subject = mixed(Codec::None);
        let encoded = encode_schema(&schema).unwrap();
        let mut files = subject.files.clone();
        files.schema.truncate(SCHEMA_HEADER_BYTES);
        files.schema.extend(&encoded);
        let len = u32::try_from(encoded.len()).unwrap();
        files.schema[schema_offset::LENGTH..][..4].copy_from_slice(&len.to_le_bytes());
        files.repair_schema();
        // Another schema than the index names, so it is an error in the end; but it is decoded.
        let subject = Subject::new(subject.files, subject.expected, 8 << 20);
        let error = subject.check_files(&files, Demand::NothingWrong, &"a large schema");
        assert_eq!(error.unwrap().kind(), ErrorKind::Corrupt);
    }
}
