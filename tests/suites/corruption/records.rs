//! Small outputs of records: several partitions (one of them empty), several blocks, lengths of every
//! width, chains, frames of one buffer.

use bywash::Codec;
use bywash_tests::map_files::MapFiles;

use crate::subject::Subject;

/// Blocks of equal and of different lengths, of empty records, of one record.
pub(crate) fn mixed(codec: Codec) -> Subject {
    let text = |len: usize| b"some words of text, ".iter().copied().cycle().take(len).collect();
    let equal: Vec<Vec<u8>> = (0..5).map(|_| text(9)).collect();
    let short: Vec<Vec<u8>> = (0..6).map(|record| text(record * 7 % 23)).collect();
    let wide: Vec<Vec<u8>> = (0..3).map(|record| text(5 + record * 150)).collect();
    let empty = vec![Vec::new(); 4];
    let one = vec![text(1)];
    subject(codec, 64 << 10, &[vec![equal, short], vec![], vec![empty, one, wide]])
}

/// A chain of blocks between two ordinary ones.
pub(crate) fn chained(codec: Codec) -> Subject {
    let record = |byte: u8, len: usize| vec![vec![byte; len]];
    let first = vec![record(1, 5), record(2, 250), record(3, 0)];
    subject(codec, 100, &[first, vec![record(4, 300)]])
}

/// One block whose buffers have a frame each.
pub(crate) fn framed(codec: Codec) -> Subject {
    let records = (0..300).map(|record| vec![7; 100 + record]).collect();
    subject(codec, 256 << 10, &[vec![records]])
}

fn subject(codec: Codec, raw_bytes: usize, partitions: &[Vec<Vec<Vec<u8>>>]) -> Subject {
    let files = MapFiles::build_records(codec, raw_bytes, partitions).unwrap();
    let expected: Vec<Vec<Vec<u8>>> = partitions.iter().map(|blocks| blocks.concat()).collect();
    Subject::new(files, expected, 1 << 20)
}
