//! Opaque records of 104 bytes: two integers, and a payload of 84 bytes that compresses by half, with
//! its length.
//!
//! They come from a pool of 2^20, over and over, as the harness of Spark's writers takes its rows from
//! one: no block sees a record twice.

use std::sync::Arc;

use arrow_array::{ArrayRef, FixedSizeBinaryArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use bywash::{
    AttemptId, MapId, OutputDir, PartitionSink, RecordSpec, RecordWriter, SpillDirs, TaskMemory,
};
use bywash_tests::seed::Rng;

use crate::clock::Clock;
use crate::failure::{Result, fail};
use crate::shuffle::TaskRun;
use crate::source::Source;

/// Bytes of a record.
const RECORD_BYTES: usize = 104;
/// Records that differ.
const POOL_RECORDS: usize = 1 << 20;
/// What half of a payload is: one of so many phrases.
const PHRASES: usize = 64;
const HALF_BYTES: usize = 42;

/// How records are shuffled.
pub(crate) struct RecordPlan {
    pub(crate) spec: RecordSpec,
    /// Push segments to a sink that only counts them.
    pub(crate) into_sink: bool,
    /// Offsets and lengths of the records of a batch.
    places: (Vec<u64>, Vec<u32>),
    /// The partition of every record.
    partitions: Vec<u32>,
}

impl RecordPlan {
    pub(crate) fn new(
        spec: RecordSpec,
        into_sink: bool,
        batch: usize,
        partitions: Vec<u32>,
    ) -> Self {
        let offsets = (0..batch as u64).map(|record| record * RECORD_BYTES as u64).collect();
        let length = u32::try_from(RECORD_BYTES).unwrap_or(u32::MAX);
        let lengths = vec![length; batch];
        Self { spec, into_sink, places: (offsets, lengths), partitions }
    }

    /// Shuffles every `tasks`-th batch, from the `index`-th.
    pub(crate) fn task(
        &self,
        (index, tasks): (usize, usize),
        source: &Source,
        memory: &TaskMemory,
        spill: &Arc<SpillDirs>,
        out: &Arc<OutputDir>,
    ) -> Result<TaskRun> {
        let (mut seen, mut before, mut rows) = (0usize, 0usize, 0u64);
        let clock = Clock::start();
        let map = MapId(u64::try_from(index).map_err(fail)?);
        let mut writer =
            RecordWriter::new(&self.spec, memory, spill, out, map, AttemptId(0)).map_err(fail)?;
        let (offsets, lengths) = &self.places;
        source.for_each(|batch| {
            let records = batch.num_rows();
            let partitions = &self.partitions[before..before + records];
            before += records;
            seen += 1;
            if (seen - 1) % tasks != index {
                return Ok(());
            }
            let column = batch.column(0).to_data();
            let start = column.offset() * RECORD_BYTES;
            let base = &column.buffers()[0][start..start + records * RECORD_BYTES];
            rows += u64::try_from(records).map_err(fail)?;
            writer.write(base, &offsets[..records], &lengths[..records], partitions).map_err(fail)
        })?;
        let counters = writer.canceller();
        let (found, bytes) = if self.into_sink {
            let mut sink = Count(0);
            let pushed = writer.finish_into(&mut sink).map_err(fail)?;
            (pushed.total_rows(), sink.0)
        } else {
            let output = writer.finish().map_err(fail)?;
            (output.total_rows(), output.total_bytes())
        };
        let cpu = clock.elapsed().cpu;
        if found != rows {
            return Err("the map output has another number of records".into());
        }
        Ok(TaskRun { cpu, rows, bytes, progress: counters.progress() })
    }
}

/// Counts what it is sent.
struct Count(u64);

impl PartitionSink for Count {
    fn write(&mut self, _partition: u32, bytes: &[u8]) -> bywash::Result<()> {
        self.0 += bytes.len() as u64;
        Ok(())
    }
}

/// `rows` records in batches of `batch_rows`, from the pool.
pub(crate) fn source(rows: usize, batch_rows: usize) -> Result<Source> {
    let width = i32::try_from(RECORD_BYTES).map_err(fail)?;
    let field = Field::new("record", DataType::FixedSizeBinary(width), false);
    let schema = Arc::new(Schema::new(vec![field]));
    let pool = pool(rows.min(POOL_RECORDS));
    let pool = FixedSizeBinaryArray::new(width, pool.into(), None);
    let pool: ArrayRef = Arc::new(pool);
    let pool = RecordBatch::try_new(Arc::clone(&schema), vec![pool]).map_err(fail)?;
    let (mut batches, mut left, mut at) = (Vec::new(), rows, 0);
    while left > 0 {
        let records = batch_rows.min(left).min(pool.num_rows() - at);
        batches.push(pool.slice(at, records));
        left -= records;
        at = (at + records) % pool.num_rows();
    }
    Ok(Source::Decoded { schema, batches })
}

fn pool(records: usize) -> Vec<u8> {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut rng = Rng::new(7);
    let mut text =
        |bytes: usize| -> Vec<u8> { (0..bytes).map(|_| BASE64[rng.index(BASE64.len())]).collect() };
    let phrases: Vec<Vec<u8>> = (0..PHRASES).map(|_| text(HALF_BYTES)).collect();
    let mut pool = Vec::with_capacity(records * RECORD_BYTES);
    for record in 0..records as u64 {
        pool.extend((record.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1).to_le_bytes());
        pool.extend(record.to_le_bytes());
        pool.extend(84u32.to_le_bytes());
        pool.extend(text(HALF_BYTES));
        let phrase = (record.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 58) as usize;
        pool.extend(&phrases[phrase]);
    }
    pool
}
