//! A finish into a sink sends, partition by partition, the very bytes that a finish into a directory
//! writes; when the sink fails, so does the finish, and nothing is left.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use arrow_schema::DataType;
use bywash::{
    AttemptId, Codec, Error, ErrorKind, MapId, MemoryLedger, PartitionSink, PushedOutput, Result,
    ShuffleWriter, minimum_budget,
};
use bywash_tests::case::{Charge, IdShape, Input, Placement, ShuffleCase, admit};
use bywash_tests::generate::{ColumnPlan, Plan};
use bywash_tests::map_files::MapFiles;
use bywash_tests::seed::run_seed;

#[test]
fn a_sink_is_sent_what_a_file_would_hold() {
    for (codec, budget_above_minimum, spill_every) in [
        (Codec::Lz4, 64 << 20, 0),
        (Codec::None, 4 << 20, 3),
        (Codec::Zstd { level: 1 }, 0, 0),
        (Codec::None, 0, 1),
    ] {
        let case = case(codec);
        let (input, dirs) = (case.input(), case.dirs());
        let minimum = minimum_budget(&input.spec, 1).unwrap();
        let ledger = MemoryLedger::new(minimum + budget_above_minimum);
        let task = admit(&ledger, minimum).unwrap();
        let (map, attempt) = (MapId(3), AttemptId(4));

        let writer = ShuffleWriter::new(&input.spec, &task, &dirs.spill, &dirs.out, map, attempt);
        let output = fill(writer.unwrap(), &input, spill_every).finish().unwrap();
        let (rows, bytes) = (output.total_rows(), output.total_bytes());
        drop(output);
        let files = MapFiles::load(&dirs.out_path()).unwrap();

        let writer = ShuffleWriter::for_sink(&input.spec, &task, &dirs.spill, map, attempt);
        let mut sink = Collect::default();
        let pushed = fill(writer.unwrap(), &input, spill_every).finish_into(&mut sink).unwrap();

        // What is left is an index: a spill would give nothing.
        assert!(ledger.holders().iter().all(|holder| holder.reclaimable == 0));
        assert_eq!((pushed.map(), pushed.attempt()), (map, attempt));
        assert_eq!((pushed.total_rows(), pushed.total_bytes()), (rows, bytes));
        assert_eq!(pushed.partitions(), case.partitions);
        let data = &files.data;
        for partition in 0..case.partitions {
            let at = |index: u32| usize::try_from(files.segment_offset(index as usize)).unwrap();
            let expected = &data[at(partition)..at(partition + 1)];
            check(&pushed, partition, sink.segments.get(&partition), expected);
        }
        drop(pushed);
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
    }
}

fn check(pushed: &PushedOutput, partition: u32, sent: Option<&Vec<u8>>, expected: &[u8]) {
    // An empty segment is never sent.
    assert_eq!(sent.map_or(&[][..], Vec::as_slice), expected, "partition {partition}");
    assert_eq!(sent.is_none(), expected.is_empty());
    assert_eq!(pushed.bytes(partition), expected.len() as u64);
    assert_eq!(pushed.crc32c(partition), crc32c::crc32c(expected));
    assert_eq!(pushed.rows(partition) == 0, expected.is_empty());
}

#[test]
fn a_sink_that_fails_ends_the_writer() {
    let case = case(Codec::Lz4);
    let (input, dirs) = (case.input(), case.dirs());
    let ledger = MemoryLedger::new(minimum_budget(&input.spec, 1).unwrap() + (16 << 20));
    let task = admit(&ledger, 0).unwrap();
    for calls in 0..5 {
        let writer =
            ShuffleWriter::for_sink(&input.spec, &task, &dirs.spill, MapId(0), AttemptId(0));
        let mut sink = Collect { fail_after: Some(calls), ..Collect::default() };
        let error = fill(writer.unwrap(), &input, 2).finish_into(&mut sink).unwrap_err();
        assert_eq!(
            (error.kind(), error.message()),
            (ErrorKind::Unavailable, "the service is gone")
        );
        assert_eq!((ledger.granted(), ledger.live()), (0, 0));
        assert_eq!(dirs.spill.used_bytes(), 0);
    }
    // Without a directory there is nothing to commit to.
    let writer = ShuffleWriter::for_sink(&input.spec, &task, &dirs.spill, MapId(0), AttemptId(0));
    assert_eq!(writer.unwrap().finish().unwrap_err().kind(), ErrorKind::InvalidState);
    assert!(dirs.out_files().is_empty());
}

fn fill(mut writer: ShuffleWriter, input: &Input, spill_every: usize) -> ShuffleWriter {
    for (index, (batch, ids)) in input.batches.iter().zip(&input.ids).enumerate() {
        writer.write_with_ids(batch, ids).unwrap();
        if spill_every > 0 && index % spill_every == 0 {
            writer.spill().unwrap();
        }
    }
    writer
}

/// Keeps what it is sent, and checks the order it comes in.
#[derive(Debug, Default)]
struct Collect {
    segments: BTreeMap<u32, Vec<u8>>,
    last: u32,
    calls: usize,
    fail_after: Option<usize>,
}

impl PartitionSink for Collect {
    fn write(&mut self, partition: u32, bytes: &[u8]) -> Result<()> {
        if self.fail_after == Some(self.calls) {
            return Err(Error::new(ErrorKind::Unavailable, "the service is gone"));
        }
        self.calls += 1;
        assert!(!bytes.is_empty());
        assert!(partition >= self.last, "{partition} after {}", self.last);
        self.last = partition;
        self.segments.entry(partition).or_default().extend_from_slice(bytes);
        Ok(())
    }
}

fn case(codec: Codec) -> ShuffleCase {
    let types = [DataType::Int64, DataType::Utf8, DataType::Boolean];
    let columns = (0..).zip(types).map(|(label, t)| ColumnPlan::plain(t, label));
    ShuffleCase {
        plan: Plan {
            seed: run_seed(),
            columns: columns.collect(),
            batch_rows: vec![20_000, 1, 0, 8192, 25_000],
            metadata: false,
        },
        partitions: 41,
        placement: Placement::Ids(IdShape::Skewed),
        codec,
        budget_above_minimum: 0,
        spill_percent: 0,
        named: false,
        charge: Charge::Ledger,
    }
}
