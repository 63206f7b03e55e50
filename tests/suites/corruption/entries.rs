//! Index entries that were moved, swapped or replaced.

use crate::outputs::{CODECS, chained, mixed};
use crate::records;
use crate::subject::{Demand, Subject};

#[test]
fn entries_moved_to_another_block() {
    for codec in CODECS {
        move_entries(&mixed(codec));
        move_entries(&chained(codec));
        move_entries(&records::mixed(codec));
        move_entries(&records::chained(codec));
    }
}

fn move_entries(subject: &Subject) {
    let right = &subject.files;
    let mut boundaries: Vec<u64> = right.blocks().iter().map(|b| b.start as u64).collect();
    boundaries.push(right.data.len() as u64);
    assert!(boundaries.len() > 3, "several blocks");
    for entry in 0..=right.partitions() {
        for &boundary in &boundaries {
            if boundary == right.segment_offset(entry) {
                continue;
            }
            let mut files = right.clone();
            files.set_segment_offset(entry, boundary);
            let what = format!("entry {entry} moved to {boundary}");
            expect_error(subject, &files, &what);
            files.repair_index();
            expect_error(subject, &files, &format!("{what}, index checksum repaired"));
            files.repair();
            expect_error(subject, &files, &format!("{what}, all checksums repaired"));
        }
    }
    // Two entries at once, so that a segment is exchanged for another one.
    for from in 0..boundaries.len() {
        for to in from..boundaries.len() {
            let mut files = right.clone();
            for entry in 1..right.partitions() {
                let boundary = if entry == 1 { from } else { to };
                files.set_segment_offset(entry, boundaries[boundary]);
            }
            if files.index == right.index {
                continue;
            }
            files.repair();
            let what = format!("segments cut at {from} and {to}");
            expect_error(subject, &files, &what);
        }
    }
}

fn expect_error(subject: &Subject, files: &bywash_tests::map_files::MapFiles, what: &str) {
    let error = subject.check_files(files, Demand::NothingWrong, &what);
    assert!(error.is_some(), "{what} is not noticed");
}
