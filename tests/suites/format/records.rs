//! The golden files of records, as those of columns: read by today's reader, and written byte for byte by
//! today's writer.

use std::path::PathBuf;
use std::sync::Arc;

use bywash::{
    AttemptId, ChargeMode, Codec, ErrorKind, FsStore, MapId, MapOutput, MemoryLedger, OutputDir,
    OutputOptions, RecordOutput, RecordSpec, RecordWriter, SpillDirs, SpillOptions, Store,
};
use bywash_core::block::{
    FLAG_FIRST, HEADER_BYTES, Header, KIND_RECORDS, RECORD_PREFIX_BYTES, RECORDS_FINGERPRINT,
    record_prefix_offset,
};
use bywash_tests::map_files::MapFiles;
use bywash_tests::records::{RecordCall, RecordOracle};

use crate::document::{example, root};

const MAP: MapId = MapId(7);
const ATTEMPT: AttemptId = AttemptId(3);

struct Sample {
    name: &'static str,
    codec: Codec,
    partitions: u32,
    calls: Vec<RecordCall>,
    /// Widths of lengths that its blocks have.
    widths: &'static [u8],
    /// Whether its bytes depend on this library alone, and not on a version of a codec's.
    reproducible: bool,
}

fn samples() -> Vec<Sample> {
    let example: [(u32, &[u8]); 5] =
        [(0, b"ant"), (1, b""), (0, b"bee"), (1, b"worm"), (1, b"fly")];
    let long = b"all work and no play ".repeat(24_000);
    let medium = b"makes a dull record ".repeat(40);
    // Every width, blocks of two frames, nothing but empty records, and chains between others.
    let mixed = (0..12_000u32).flat_map(|row| {
        let text = &medium[..(row % 19) as usize];
        let many = [(0, &b"same"[..]), (1, text), (3, b"")];
        let few = [(2, &medium[..(row % 700) as usize]), (4, &long[..70_000 + row as usize])];
        many.into_iter().chain(few.into_iter().filter(move |_| row % 2500 == 3))
    });
    let mixed = [RecordCall::of(mixed)];
    let chained =
        [RecordCall::of([(0, &b"before"[..]), (0, &long[..]), (0, b"after"), (1, &long)])];
    let widths = &[0, 1, 2, 4];
    vec![
        sample("records-none", Codec::None, &[RecordCall::of(example)], &[0, 1]),
        sample("records-lz4", Codec::Lz4, &mixed, widths),
        sample("records-zstd", Codec::ZSTD, &mixed, widths),
        sample("records-chain-lz4", Codec::Lz4, &chained, &[]),
    ]
}

fn sample(name: &'static str, codec: Codec, calls: &[RecordCall], widths: &'static [u8]) -> Sample {
    let partitions = calls.iter().flat_map(|call| &call.partitions).max().unwrap() + 1;
    let calls = calls.to_vec();
    Sample { name, codec, partitions, calls, widths, reproducible: codec != Codec::ZSTD }
}

fn golden_dir(sample: &Sample) -> PathBuf {
    root().join("tests/golden/v1").join(sample.name)
}

/// What today's writer makes of a sample, under the fixed token.
fn write(sample: &Sample) -> MapFiles {
    let dir = bywash_tests::dirs::on_disk();
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let spills = [dir.path().join("spill")];
    let spill = SpillDirs::open(Arc::clone(&store), &spills, SpillOptions::default()).unwrap();
    let path = dir.path().join("out");
    let out = OutputDir::open(store, &path, OutputOptions::default()).unwrap();
    let spec = RecordSpec::new(sample.partitions).unwrap().with_codec(sample.codec);
    // Its blocks hold records whose lengths have four bytes.
    let task = MemoryLedger::new(64 << 20).admit(1, 0).unwrap().remove(0);
    let mut writer = RecordWriter::new(&spec, &task, &spill, &out, MAP, ATTEMPT).unwrap();
    for call in &sample.calls {
        call.write(&mut writer).unwrap();
    }
    writer.finish().unwrap();
    MapFiles::load(&path).unwrap().with_fixed_token()
}

#[test]
fn todays_writer_writes_the_golden_records() {
    for sample in samples().iter().filter(|sample| sample.reproducible) {
        let golden = MapFiles::load(&golden_dir(sample)).unwrap();
        assert_eq!(write(sample), golden, "{}", sample.name);
    }
}

#[test]
fn todays_reader_reads_the_golden_records() {
    let task = MemoryLedger::new(16 << 20).admit(1, 0).unwrap().remove(0);
    for sample in samples() {
        let dir = golden_dir(&sample);
        let out = OutputDir::open_existing(Arc::new(FsStore::new()), &dir).unwrap();
        let output = RecordOutput::open(&out, MAP, &task).unwrap();
        assert_eq!((output.attempt(), output.partitions()), (ATTEMPT, sample.partitions));
        RecordOracle::new(&sample.calls).check(&output, &task, ChargeMode::Ledger).unwrap();
        // Whoever wants columns is told what this is.
        let error = MapOutput::open(&out, MAP, &task).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("RecordOutput"), "{error}");
    }
    let columns = root().join("tests/golden/v1/example");
    let out = OutputDir::open_existing(Arc::new(FsStore::new()), &columns).unwrap();
    let error = RecordOutput::open(&out, MAP, &task).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("MapOutput"), "{error}");
}

/// Widths, frames and chains are there to be read: the files must have them.
#[test]
fn the_golden_records_have_what_they_are_for() {
    for sample in samples() {
        let files = MapFiles::load(&golden_dir(&sample)).unwrap();
        assert_eq!((files.schema_name.as_str(), files.schema.len()), ("", 0));
        let (mut widths, mut chained) = (Vec::new(), false);
        for block in files.blocks() {
            let bytes = &files.data[block];
            let header = Header::decode(bytes.first_chunk().unwrap()).unwrap();
            assert_eq!((header.kind, header.fingerprint), (KIND_RECORDS, RECORDS_FINGERPRINT));
            chained |= header.flags == FLAG_FIRST;
            if header.flags == 0 {
                let prefix = &bytes[HEADER_BYTES..HEADER_BYTES + RECORD_PREFIX_BYTES];
                widths.push(prefix[record_prefix_offset::WIDTH]);
            }
        }
        for width in sample.widths {
            assert!(widths.contains(width), "{} has no width {width}", sample.name);
        }
        assert!(chained || sample.name != "records-chain-lz4");
    }
}

#[test]
fn the_worked_example_of_records_is_the_golden_one() {
    let golden = MapFiles::load(&golden_dir(&samples()[0])).unwrap();
    assert_eq!(example("records"), golden.data);
}

#[test]
#[ignore = "writes the golden files; run once for a new format version"]
fn write_the_golden_records() {
    for sample in samples() {
        write(&sample).store(&golden_dir(&sample)).unwrap();
    }
}
