//! The files of `tests/golden/v1`: read by today's reader, and written byte for byte by today's
//! writer, but for the random token in a data file's name and the index's checksum over it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{RecordBatch, UInt64Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use bywash::{
    AttemptId, ChargeMode, FsStore, MapId, MapOutput, MemoryLedger, OutputDir, OutputOptions,
    Partitioning, ShuffleSpec, ShuffleWriter, SpillDirs, SpillOptions, Store, minimum_budget,
};
use bywash_tests::map_files::{MapFiles, TOKEN};

use crate::document::{example, root};
use crate::rows::{Sample, samples};

const MAP: MapId = MapId(7);
const ATTEMPT: AttemptId = AttemptId(3);

fn golden_dir(sample: &Sample) -> PathBuf {
    root().join("tests/golden/v1").join(sample.name)
}

/// What today's writer makes of a sample, under the fixed token.
fn write(sample: &Sample) -> MapFiles {
    let dir = bywash_tests::dirs::on_disk();
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let spill =
        SpillDirs::open(Arc::clone(&store), &[dir.path().join("spill")], SpillOptions::default())
            .unwrap();
    let path = dir.path().join("out");
    let out = OutputDir::open(store, &path, OutputOptions::default()).unwrap();
    let schema = sample.batch.schema();
    let spec = ShuffleSpec::new(schema, sample.partitions, Partitioning::Ids).unwrap();
    let spec = spec.with_codec(sample.codec);
    let budget = minimum_budget(&spec, 1).unwrap();
    let task = MemoryLedger::new(budget).admit(1, budget).unwrap().remove(0);
    let mut writer = ShuffleWriter::new(&spec, &task, &spill, &out, MAP, ATTEMPT).unwrap();
    writer.write_with_ids(&sample.batch, &sample.ids).unwrap();
    let output = writer.finish().unwrap();
    let files = MapFiles::load(&path).unwrap();
    assert_eq!(output.data_file_name(), files.data_name);
    files.with_fixed_token()
}

#[test]
fn todays_writer_writes_the_golden_files() {
    for sample in samples().iter().filter(|sample| sample.reproducible) {
        let golden = MapFiles::load(&golden_dir(sample)).unwrap();
        assert!(golden.data_name.contains(TOKEN), "{}", sample.name);
        assert_eq!(write(sample), golden, "{}", sample.name);
    }
}

#[test]
fn todays_reader_reads_the_golden_files() {
    for sample in samples() {
        assert_right(&golden_dir(&sample), &sample);
    }
}

fn assert_right(dir: &Path, sample: &Sample) {
    let task = MemoryLedger::new(16 << 20).admit(1, 0).unwrap().remove(0);
    let out = OutputDir::open_existing(Arc::new(FsStore::new()), dir).unwrap();
    let output = MapOutput::open(&out, MAP, &task).unwrap();
    assert_eq!(output.attempt(), ATTEMPT, "{}", sample.name);
    assert_eq!(*output.schema(), sample.batch.schema(), "{}", sample.name);
    assert_eq!(output.partitions(), sample.partitions, "{}", sample.name);
    for partition in 0..sample.partitions {
        let reader = output.read(partition, &task, ChargeMode::Ledger).unwrap();
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        let found = concat_batches(&sample.batch.schema(), &batches).unwrap();
        let rows = (0..).zip(&sample.ids);
        let rows = rows.filter_map(|(row, id)| (*id == partition).then_some(row));
        let rows = UInt64Array::from_iter_values(rows);
        let expected = take_record_batch(&sample.batch, &rows).unwrap();
        assert_eq!(found, expected, "{} {partition}", sample.name);
    }
}

/// Chains and frames are there to be read: the files must have them.
#[test]
fn the_golden_files_have_what_they_are_for() {
    use bywash_core::block::{FLAG_FIRST, HEADER_BYTES, Header, offset};
    for sample in samples() {
        let files = MapFiles::load(&golden_dir(&sample)).unwrap();
        let headers: Vec<Header> = files
            .blocks()
            .iter()
            .map(|block| {
                let header = files.data[block.start..].first_chunk::<HEADER_BYTES>();
                Header::decode(header.unwrap()).unwrap()
            })
            .collect();
        let chained = headers.iter().any(|header| header.flags == FLAG_FIRST);
        assert_eq!(chained, sample.name.starts_with("chain"), "{}", sample.name);
        if sample.name.starts_with("frames") {
            assert!(headers.len() > 2, "{}", sample.name);
            // The first frame of the first block holds a part of it only.
            let prefix = 1 + 4;
            let at = HEADER_BYTES + prefix + 4;
            let raw = u32::from_le_bytes(files.data[at..at + 4].try_into().unwrap());
            assert!(raw < headers[0].raw_bytes, "{}", sample.name);
        }
        assert!(files.data.len() > offset::HEADER_CRC, "{}", sample.name);
    }
}

#[test]
fn the_worked_example_of_the_document_is_the_golden_one() {
    let sample = samples().remove(0);
    let golden = MapFiles::load(&golden_dir(&sample)).unwrap();
    assert_eq!(example("data"), golden.data);
    assert_eq!(example("index"), golden.index);
    assert_eq!(example("schema"), golden.schema);
    let document = std::fs::read_to_string(root().join("docs/FORMAT.md")).unwrap();
    for name in [&golden.data_name, &golden.index_name, &golden.schema_name] {
        assert!(document.contains(name.as_str()), "the document names {name}");
    }
}

/// Writes the files of a new version; those of a version that was released never change.
#[test]
#[ignore = "writes the golden files; run once for a new format version"]
fn write_the_golden_files() {
    for sample in samples() {
        let dir = golden_dir(&sample);
        assert!(!dir.exists(), "{} is there", dir.display());
        write(&sample).store(&dir).unwrap();
    }
}
