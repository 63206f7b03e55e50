//! A sort of far more rows than the budget or the page cache holds: `deep scale [--cases ROWS]`.
//!
//! 100 bytes a row, made as they are taken: an int64 of which each value comes about four times, the
//! row's number, and 84 bytes of which about a third compresses. They are sorted by the first at
//! 64 MiB, and what a sink is sent is checked as it comes: strictly ascending in key and number, so
//! equal rows stay in their order, and of the same sum of hashes of whole rows as went in.

use std::sync::Arc;
use std::time::Instant;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, BinaryArray, Int64Array, RecordBatch};
use arrow_buffer::{Buffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bywash::{
    Codec, MemoryLedger, SortColumn, SortSpec, Sorter, SpillDirs, SpillOptions, default_spill_dirs,
    minimum_sort_budget,
};
use bywash_tests::block_stream::BlockStream;
use bywash_tests::resident::{Resident, trim_heap};

const BUDGET: u64 = 64 << 20;
/// What the library may have beside its budget, with one thread (P2), and the rows of the harness.
const OVERHEAD: u64 = (17 << 20) + HARNESS;
const HARNESS: u64 = 8 << 20;
/// The most on disk, in bytes.
const DISK_MAX: u64 = 60_000_000_000;
/// So many rows must take more than one pass.
const ROWS_MULTI_PASS: u64 = 100_000_000;
const BATCH_ROWS: u64 = 8192;
const PAYLOAD_BYTES: usize = 84;
const NOISE_BYTES: usize = PAYLOAD_BYTES / 2;
/// Bytes between two looks at what is resident.
const LOOK_EVERY: u64 = 64 << 20;

/// Sorts `rows` rows; an error if anything is not as promised.
pub(crate) fn run(rows: u64, seed: u64) -> Result<(), String> {
    let store: Arc<dyn bywash::Store> = Arc::new(bywash::FsStore::new());
    let place = default_spill_dirs(&store).map_err(text)?.dirs;
    let options = SpillOptions { quota_total: Some(DISK_MAX), ..SpillOptions::default() };
    let spills = SpillDirs::open(store, &place, options).map_err(text)?;

    let schema = schema();
    let spec = SortSpec::new(Arc::clone(&schema), &[SortColumn::ascending(0)]).map_err(text)?;
    let spec = spec.with_codec(Codec::Lz4);
    let ledger = MemoryLedger::new(BUDGET);
    let minimum = minimum_sort_budget(&spec, 1).map_err(text)?;
    let task = ledger.admit(1, minimum).map_err(text)?.remove(0);

    trim_heap();
    let resident = Resident::open().map_err(text)?;
    let before = resident.bytes().map_err(text)?;
    let mut peak = before;
    let started = Instant::now();
    let (mut sum, mut bytes, mut looked) = (0u64, 0u64, 0);
    let mut sorter = Sorter::new(&spec, &task, &spills).map_err(text)?;
    let generator = Generator::new(seed, rows);
    for start in (0..rows).step_by(usize::try_from(BATCH_ROWS).map_err(text)?) {
        let batch = generator.batch(&schema, start..rows.min(start + BATCH_ROWS))?;
        sum = sum.wrapping_add(hashes(&batch));
        bytes += batch.num_rows() as u64 * (16 + PAYLOAD_BYTES as u64);
        sorter.write(&batch).map_err(text)?;
        if bytes - looked > LOOK_EVERY {
            looked = bytes;
            peak = peak.max(resident.bytes().map_err(text)?);
        }
    }
    let filled = started.elapsed();
    let canceller = sorter.canceller();
    let mut found = Found::default();
    looked = 0;
    let mut stream = BlockStream::new(schema, |batch| {
        found.take(&batch);
        if found.rows - looked > LOOK_EVERY / 100 {
            looked = found.rows;
            // What cannot be read is no proof.
            peak = peak.max(resident.bytes().unwrap_or(u64::MAX));
        }
    })
    .map_err(text)?;
    let (sent, stored) = sorter.finish_into(&mut stream).map_err(text)?;
    stream.finish().map_err(text)?;
    let progress = canceller.progress();
    let peak = peak - before;

    println!(
        "scale: {rows} rows, {:.1} GB at {} MiB: filled in {:.0} s, all in {:.0} s",
        gigabytes(bytes),
        BUDGET >> 20,
        filled.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
    println!(
        "  {} runs, {} merges of runs, {} passes, last fan-in {}; disk written {:.1} GB, disk peak {:.1} GB, sent {:.1} GB",
        progress.runs,
        progress.write.run_merges,
        progress.passes,
        progress.fan_in,
        gigabytes(progress.write.spilled_bytes),
        gigabytes(spills.peak_used_bytes()),
        gigabytes(stored)
    );
    println!(
        "  granted at most {} of {BUDGET} bytes, resident at most {} KiB more than before; digest {:016x}",
        ledger.peak_granted(),
        peak >> 10,
        found.sum
    );
    drop(task);

    let checks = [
        (found.rows == rows && sent == rows, "rows were lost or came twice"),
        (found.sum == sum, "rows were changed"),
        (found.disordered == 0, "rows came out of order"),
        (ledger.peak_granted() <= BUDGET, "more than the budget was granted"),
        ((ledger.granted(), ledger.live()) == (0, 0), "memory is still granted"),
        (peak <= BUDGET + OVERHEAD, "more was resident than promised"),
        (spills.used_bytes() == 0, "spill files are left"),
        (rows < ROWS_MULTI_PASS || progress.passes > 1, "it took one pass: too few rows to tell"),
    ];
    match checks.iter().find(|(holds, _)| !holds) {
        Some((_, broken)) => Err(format!("scale: {broken}")),
        None => Ok(()),
    }
}

fn schema() -> SchemaRef {
    let fields = [("k", DataType::Int64), ("n", DataType::Int64), ("p", DataType::Binary)];
    let fields = fields.map(|(name, data_type)| Field::new(name, data_type, false));
    Arc::new(Schema::new(fields.to_vec()))
}

/// Rows by their number.
struct Generator {
    seed: u64,
    keys: u64,
    phrases: Vec<[u8; NOISE_BYTES]>,
}

impl Generator {
    fn new(seed: u64, rows: u64) -> Self {
        let phrase = |index: u64| {
            let mut phrase = [0; NOISE_BYTES];
            fill(&mut phrase, mix(seed ^ index.wrapping_mul(77)));
            phrase
        };
        Self { seed, keys: (rows / 4).max(1), phrases: (0..64).map(phrase).collect() }
    }

    fn batch(&self, schema: &SchemaRef, rows: std::ops::Range<u64>) -> Result<RecordBatch, String> {
        let count = usize::try_from(rows.end - rows.start).map_err(text)?;
        let mut keys = Vec::with_capacity(count);
        let mut data = vec![0; count * PAYLOAD_BYTES];
        for (row, payload) in rows.clone().zip(data.chunks_exact_mut(PAYLOAD_BYTES)) {
            let random = mix(self.seed ^ row);
            keys.push((random % self.keys).cast_signed() - (self.keys / 2).cast_signed());
            let (noise, phrase) = payload.split_at_mut(NOISE_BYTES);
            fill(noise, random);
            phrase.copy_from_slice(&self.phrases[usize::from((random >> 58).to_le_bytes()[0])]);
        }
        let numbers = rows.map(u64::cast_signed);
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(PAYLOAD_BYTES, count));
        let payload = BinaryArray::try_new(offsets, Buffer::from_vec(data), None).map_err(text)?;
        let columns: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(keys)),
            Arc::new(Int64Array::from_iter_values(numbers)),
            Arc::new(payload),
        ];
        RecordBatch::try_new(Arc::clone(schema), columns.to_vec()).map_err(text)
    }
}

/// Characters of base64, ten of a random word at a time.
fn fill(bytes: &mut [u8], mut random: u64) {
    const CHARACTERS: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for part in bytes.chunks_mut(10) {
        random = mix(random);
        for (place, byte) in part.iter_mut().enumerate() {
            *byte = CHARACTERS[usize::from((random >> (6 * place)).to_le_bytes()[0] % 64)];
        }
    }
}

/// What came out so far.
#[derive(Debug, Default)]
struct Found {
    rows: u64,
    sum: u64,
    disordered: u64,
    last: Option<(i64, i64)>,
}

impl Found {
    fn take(&mut self, batch: &RecordBatch) {
        self.rows += batch.num_rows() as u64;
        self.sum = self.sum.wrapping_add(hashes(batch));
        let keys = batch.column(0).as_primitive::<Int64Type>().values();
        let numbers = batch.column(1).as_primitive::<Int64Type>().values();
        for row in keys.iter().copied().zip(numbers.iter().copied()) {
            self.disordered += u64::from(self.last.is_some_and(|last| last >= row));
            self.last = Some(row);
        }
    }
}

/// The sum of a hash of every row, of all its bytes.
fn hashes(batch: &RecordBatch) -> u64 {
    let keys = batch.column(0).as_primitive::<Int64Type>().values();
    let numbers = batch.column(1).as_primitive::<Int64Type>().values();
    let payloads = batch.column(2).as_binary::<i32>();
    let mut sum = 0u64;
    for (row, (key, number)) in keys.iter().zip(numbers).enumerate() {
        let mut hash = mix(key.cast_unsigned()).wrapping_add(number.cast_unsigned());
        let payload = payloads.value(row);
        let (words, rest) = payload.as_chunks::<8>();
        for word in words {
            hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash = hash.rotate_left(29);
        }
        for byte in rest {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        sum = sum.wrapping_add(mix(hash));
    }
    sum
}

/// The finisher of SplitMix64.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// In units of 100 MB, so that nothing is lost on the way to a float.
fn gigabytes(bytes: u64) -> f64 {
    u32::try_from(bytes / 100_000_000).map_or(f64::INFINITY, f64::from) / 10.0
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
