//! The index of a map output, beside a data and a schema file that are right.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bywash::{ChargeMode, Codec, ErrorKind, FsStore, MapId, MapOutput, MemoryLedger, OutputDir};
use bywash_tests::map_files::MapFiles;

/// The ledger of a case.
const CAPACITY: u64 = 1 << 20;

struct Place {
    dir: tempfile::TempDir,
    out: Arc<OutputDir>,
    files: MapFiles,
}

thread_local! {
    static PLACE: Place = place();
}

/// Opens and reads a map output with this index. The first byte says whether its checksum is made
/// right before. An index that opens agrees with itself; reading its partitions gives the rows it
/// says, or an error.
pub fn index_decode(data: &[u8]) -> bool {
    let Some((&choice, index)) = data.split_first() else {
        return false;
    };
    PLACE.with(|place| {
        let mut files = place.files.clone();
        files.index = index.to_vec();
        if choice != 0 && files.index.len() >= 4 {
            files.repair_index();
        }
        let path = place.dir.path().join(&files.index_name);
        std::fs::write(path, &files.index).unwrap_or_else(|error| panic!("{error}"));
        let ledger = MemoryLedger::new(CAPACITY);
        let outcome = read(&ledger, &place.out);
        if let Err(error) = &outcome {
            assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
        }
        assert!(ledger.peak_granted() <= CAPACITY, "more was granted than there is");
        assert_eq!(ledger.live(), 0, "something is still held");
        outcome.is_ok()
    })
}

fn read(ledger: &MemoryLedger, out: &Arc<OutputDir>) -> bywash::Result<()> {
    let task = ledger.admit(1, 0)?.remove(0);
    let output = MapOutput::open(out, MapId(7), &task)?;
    let partitions = 0..output.partitions();
    let rows: u64 = partitions.clone().map(|p| output.rows(p)).sum();
    let bytes: u64 = partitions.clone().map(|p| output.bytes(p)).sum();
    assert_eq!(rows, output.total_rows(), "the rows do not add up");
    assert_eq!(bytes, output.total_bytes(), "the bytes do not add up");
    for partition in partitions {
        let mut rows = 0;
        for batch in output.read(partition, &task, ChargeMode::Ledger)? {
            rows += batch?.num_rows() as u64;
        }
        assert_eq!(rows, output.rows(partition), "other rows than the index says");
    }
    Ok(())
}

/// The index that is right, for the corpus.
pub fn right_index() -> Vec<u8> {
    PLACE.with(|place| place.files.index.clone())
}

fn place() -> Place {
    let build = || -> Result<Place, Box<dyn std::error::Error>> {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int32, false)]));
        let batch = |values: Vec<i32>| {
            let column: ArrayRef = Arc::new(Int32Array::from(values));
            RecordBatch::try_new(Arc::clone(&schema), vec![column])
        };
        let partitions = [
            vec![batch(vec![1, 2])?, batch(vec![3])?],
            vec![],
            vec![batch(vec![4])?],
            vec![batch(vec![5, 6, 7])?],
        ];
        let files = MapFiles::build(&schema, Codec::None, 1 << 10, &partitions)?;
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
        files.store(dir.path())?;
        let out = OutputDir::open_existing(Arc::new(FsStore::new()), dir.path())?;
        Ok(Place { dir, out, files })
    };
    build().unwrap_or_else(|error| panic!("{error}"))
}
