//! Fillers before blocks: skipped where they are right, refused where they are not.

use bywash::Codec;
use bywash_core::block::{FILLER_BYTES_MAX, FILLER_MAGIC};
use bywash_spill::index_offset;
use bywash_tests::map_files::MapFiles;

use crate::outputs::{CODECS, chained, mixed};
use crate::subject::{Demand, Subject};

fn filler(len: usize) -> Vec<u8> {
    let mut bytes = FILLER_MAGIC.to_le_bytes().to_vec();
    bytes.extend(u32::try_from(len).unwrap().to_le_bytes());
    bytes.resize(len, 0);
    bytes
}

/// Puts `bytes` into the data at `at`; what follows moves, and the index with it.
fn insert(files: &mut MapFiles, at: usize, bytes: &[u8]) {
    files.data.splice(at..at, bytes.iter().copied());
    for entry in 1..=files.partitions() {
        let offset = files.segment_offset(entry);
        // A filler belongs to the segment of the block after it.
        if offset > at as u64 {
            files.set_segment_offset(entry, offset + bytes.len() as u64);
        }
    }
    let len = files.data.len() as u64;
    files.index[index_offset::DATA_BYTES..][..8].copy_from_slice(&len.to_le_bytes());
    files.repair();
}

/// As a later writer may do it: every block on a multiple of 64.
fn aligned(subject: &Subject) -> MapFiles {
    let mut files = subject.files.clone();
    for block in 0..files.blocks().len() {
        let start = files.blocks()[block].start;
        let len = start.next_multiple_of(64) - start;
        if len > 0 {
            insert(&mut files, start, &filler(len));
        }
        assert!(files.blocks()[block].start.is_multiple_of(64));
    }
    files
}

#[test]
fn fillers_before_blocks_are_skipped() {
    for codec in CODECS {
        for subject in [mixed(codec), chained(codec)] {
            let files = aligned(&subject);
            assert!(files.data.len() > subject.files.data.len());
            let error = subject.check_files(&files, Demand::RightUntilError, &"aligned");
            assert!(error.is_none(), "{}", error.unwrap());
        }
    }
}

#[test]
fn every_length_and_two_in_a_row_are_skipped() {
    let subject = mixed(Codec::Lz4);
    for len in (8..=FILLER_BYTES_MAX).step_by(8) {
        let mut files = subject.files.clone();
        insert(&mut files, 0, &[filler(len), filler(8)].concat());
        let error = subject.check_files(&files, Demand::RightUntilError, &len);
        assert!(error.is_none(), "{len}: {}", error.unwrap());
    }
}

#[test]
fn a_filler_of_another_kind_is_damage() {
    let subject = mixed(Codec::Lz4);
    let second = subject.files.blocks()[1].start;
    let end = subject.files.data.len();
    let mut not_zero = filler(16);
    not_zero[15] = 1;
    let mut too_long = filler(64);
    too_long[4] = 64;
    for (at, bytes, what) in [
        (0, not_zero, "not zero"),
        (second, too_long, "too long"),
        (second, filler(8)[..4].to_vec(), "cut"),
    ] {
        let mut files = subject.files.clone();
        insert(&mut files, at, &bytes);
        let error = subject.check_files(&files, Demand::NothingWrong, &what);
        assert!(error.is_some(), "{what}");
    }
    // After the last block.
    let mut files = subject.files.clone();
    insert(&mut files, end, &filler(8));
    files.set_segment_offset(files.partitions(), end as u64 + 8);
    files.repair();
    let error = subject.check_files(&files, Demand::NothingWrong, &"at the end");
    assert!(error.is_some());
}
