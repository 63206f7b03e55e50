//! A finish into a sink sends the very bytes a file would hold, and the checksums are those of the bytes.

use std::collections::BTreeMap;

use bywash::{AttemptId, Codec, Error, ErrorKind, MapId, PartitionSink, RecordWriter, Result};
use bywash_tests::case::IdShape;
use bywash_tests::map_files::MapFiles;
use bywash_tests::records::{Lengths, RecordCall, RecordCase};

use crate::{ledger_of, writer};

#[derive(Default)]
struct Collect {
    segments: BTreeMap<u32, Vec<u8>>,
    last: u32,
    fail_after: Option<usize>,
}

impl PartitionSink for Collect {
    fn write(&mut self, partition: u32, bytes: &[u8]) -> Result<()> {
        if let Some(left) = &mut self.fail_after {
            *left = left
                .checked_sub(1)
                .ok_or(Error::new(ErrorKind::Unavailable, "the service is gone"))?;
        }
        assert!(!bytes.is_empty() && partition >= self.last, "in ascending order");
        self.last = partition;
        self.segments.entry(partition).or_default().extend_from_slice(bytes);
        Ok(())
    }
}

fn fill(mut writer: RecordWriter, calls: &[RecordCall], spill_every: usize) -> RecordWriter {
    for (index, call) in calls.iter().enumerate() {
        call.write(&mut writer).unwrap();
        if spill_every > 0 && index % spill_every == 0 {
            writer.spill().unwrap();
        }
    }
    writer
}

/// writeChecksumFileWithoutSpill, writeChecksumFileWithSpill: file and sink, with and without runs.
#[test]
fn a_sink_is_sent_what_a_file_would_hold() {
    for (codec, budget, spill_every) in [
        (Codec::Lz4, 64 << 20, 0),
        (Codec::None, 4 << 20, 3),
        (Codec::ZSTD, 1 << 20, 0),
        (Codec::None, 1 << 20, 1),
    ] {
        let case = RecordCase {
            codec,
            partitions: 41,
            shape: IdShape::Skewed,
            ..RecordCase::plain(Lengths::OneIn(300, 300_000), &[9000, 1, 0, 4000, 11_000])
        };
        let (calls, dirs) = (case.input(), case.dirs());
        let (ledger, task) = ledger_of(budget);
        let output = fill(writer(&case.spec(), &task, &dirs), &calls, spill_every);
        let output = output.finish().unwrap();
        let data = MapFiles::load(&dirs.out_path()).unwrap().data;

        let made = RecordWriter::for_sink(&case.spec(), &task, &dirs.spill, MapId(3), AttemptId(4));
        let mut sink = Collect::default();
        let pushed = fill(made.unwrap(), &calls, spill_every).finish_into(&mut sink).unwrap();
        assert_eq!((pushed.map(), pushed.attempt()), (MapId(3), AttemptId(4)));
        assert_eq!(pushed.total_rows(), output.total_rows());
        assert_eq!(pushed.total_bytes(), output.total_bytes());
        let mut start = 0;
        for partition in 0..case.partitions {
            let end = start + usize::try_from(output.bytes(partition)).unwrap();
            let expected = &data[start..end];
            let sent = sink.segments.get(&partition);
            assert_eq!(sent.map_or(&[][..], Vec::as_slice), expected, "partition {partition}");
            assert_eq!(pushed.bytes(partition), expected.len() as u64);
            assert_eq!(pushed.rows(partition), output.rows(partition));
            assert_eq!(pushed.crc32c(partition), crc32c::crc32c(expected));
            assert_eq!(output.crc32c(partition), crc32c::crc32c(expected));
            start = end;
        }
        assert_eq!(start, data.len());
        drop((pushed, output));
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    }
}

#[test]
fn a_sink_that_fails_ends_the_writer() {
    let case = RecordCase::plain(Lengths::Fixed(500), &[3000, 3000]);
    let (calls, dirs) = (case.input(), case.dirs());
    let (ledger, task) = ledger_of(16 << 20);
    let make = || {
        RecordWriter::for_sink(&case.spec(), &task, &dirs.spill, MapId(0), AttemptId(0)).unwrap()
    };
    for calls_before in 0..5 {
        let mut sink = Collect { fail_after: Some(calls_before), ..Collect::default() };
        let error = fill(make(), &calls, 1).finish_into(&mut sink).unwrap_err();
        assert_eq!(error.message(), "the service is gone");
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
        assert_eq!(dirs.spill.used_bytes(), 0);
    }
    assert_eq!(make().finish().unwrap_err().kind(), ErrorKind::InvalidState);
    assert!(dirs.out_files().is_empty());
}
