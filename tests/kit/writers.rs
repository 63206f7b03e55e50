//! Writers of an integer and a text column on plain directories, for suites about memory and figures.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use bywash::{
    AttemptId, FsStore, MapId, Partitioning, ShuffleSpec, ShuffleWriter, SpillOptions, Store,
    TaskMemory,
};

use crate::dirs::Dirs;

/// Directories to write to, and what is written: integers and texts in 7 partitions.
#[derive(Debug)]
pub struct Writers {
    /// Where it goes.
    pub dirs: Dirs,
    /// What the writers write.
    pub spec: ShuffleSpec,
}

impl Writers {
    /// On the disk's filesystem.
    pub fn new() -> Self {
        Self::on(Arc::new(FsStore::new()))
    }

    /// On a store of one's own.
    pub fn on(store: Arc<dyn Store>) -> Self {
        let schema = Arc::new(Schema::new(vec![
            Field::new("key", DataType::Int64, false),
            Field::new("text", DataType::Utf8, true),
        ]));
        let spec = ShuffleSpec::new(schema, 7, Partitioning::Hash(vec![0])).expect("a spec");
        Self { dirs: Dirs::with_store(store, SpillOptions::default()), spec }
    }

    /// A writer of map output `map`.
    pub fn writer(&self, task: &TaskMemory, map: u64) -> ShuffleWriter {
        self.try_writer(task, map).expect("a writer")
    }

    /// As [`Writers::writer`].
    ///
    /// # Errors
    /// The library's.
    pub fn try_writer(&self, task: &TaskMemory, map: u64) -> bywash::Result<ShuffleWriter> {
        let Dirs { spill, out, .. } = &self.dirs;
        ShuffleWriter::new(&self.spec, task, spill, out, MapId(map), AttemptId(0))
    }

    /// So many rows without text.
    pub fn rows(&self, count: i64) -> RecordBatch {
        let texts = (0..count).map(|_| None::<&str>).collect();
        self.batch(Int64Array::from_iter_values(0..count), texts)
    }

    /// One row with a text of so many bytes.
    pub fn long_row(&self, bytes: usize) -> RecordBatch {
        self.batch(Int64Array::from(vec![1]), StringArray::from(vec!["x".repeat(bytes)]))
    }

    fn batch(&self, keys: Int64Array, texts: StringArray) -> RecordBatch {
        let columns: Vec<ArrayRef> = vec![Arc::new(keys), Arc::new(texts)];
        RecordBatch::try_new(Arc::clone(self.spec.schema()), columns).expect("a batch")
    }
}

impl Default for Writers {
    fn default() -> Self {
        Self::new()
    }
}
