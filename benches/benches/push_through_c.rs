//! What it costs to push batches through the C interface instead of calling Rust.
//!
//! `cargo bench -p bywash-benches --bench push_through_c`. Both ways write the same batches of 8,192
//! rows of lineitem with partition ids into memory, batch by batch in turns, so that whatever else the
//! machine does meets both; the figure is the ratio of all the processor time. The array is the host's,
//! which keeps it: importing, checking and giving it back is part of the push, what the host's own
//! release costs is not.

#![expect(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    reason = "calls of the C interface, one after the other as C makes them"
)]
#![expect(clippy::print_stdout, reason = "the figure")]

use std::ptr::null_mut;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::{Array, RecordBatch, StructArray};
use bywash::{
    AttemptId, FsStore, MapId, MemoryLedger, Partitioning, ShuffleSpec, ShuffleWriter, SpillDirs,
    SpillOptions, Store, default_spill_dirs,
};
use bywash_cli::failure::{Failure, Result};
use bywash_cli::lineitem;
use bywash_ffi::{
    BYWASH_OK, bywash_context, bywash_context_new, bywash_options_free, bywash_options_new,
    bywash_options_set, bywash_shuffle, bywash_shuffle_new, bywash_task, bywash_task_free,
    bywash_task_new, bywash_writer, bywash_writer_free, bywash_writer_new, bywash_writer_push,
};
use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<()> {
    // What cargo test passes to a bench: a look whether it works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let (turns, pushes) = if is_test { (1, 4) } else { (201, 60) };
    let batch = lineitem::batches(0.02, 1, 1, ROWS).next();
    let batch = batch.ok_or_else(|| Failure::new("lineitem is empty"))??;
    let ids: Vec<u32> = (0..PARTITIONS).cycle().step_by(7).take(batch.num_rows()).collect();
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let dirs = default_spill_dirs(&store)?.dirs;
    let rust = Rust::new(&batch, &store, &dirs)?;
    let c = C::new(&batch, &dirs)?;
    let data = FFI_ArrowArray::new(&StructArray::from(batch.clone()).into_data());
    let mut ratios = Vec::new();
    let mut totals = [Duration::ZERO; 2];
    for turn in 0..turns {
        let (mut rust, mut c) = (rust.writer()?, c.writer()?);
        let mut times = [Duration::ZERO; 2];
        for push in 0..pushes {
            // Who comes first changes, too.
            for way in if (push + turn) % 2 == 0 { [0, 1] } else { [1, 0] } {
                times[way] +=
                    if way == 0 { rust.push(&batch, &ids)? } else { c.push(&data, &ids)? };
            }
        }
        totals[0] += times[0];
        totals[1] += times[1];
        ratios.push(times[1].as_secs_f64() / times[0].as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    let each = |total: Duration| total.as_secs_f64() * 1e6 / f64::from(turns * pushes);
    println!(
        "{} rows a push, {} columns: {:.1} us from Rust, {:.1} us through C: {:+.2} % in {turns} turns \
         of {pushes} pushes (of turns, the quartiles are {:+.2} and {:+.2} %)",
        batch.num_rows(),
        batch.num_columns(),
        each(totals[0]),
        each(totals[1]),
        percent(totals[1].as_secs_f64() / totals[0].as_secs_f64()),
        percent(ratios[ratios.len() / 4]),
        percent(ratios[ratios.len() * 3 / 4]),
    );
    Ok(())
}

fn percent(ratio: f64) -> f64 {
    (ratio - 1.0) * 100.0
}

struct Rust {
    spec: ShuffleSpec,
    ledger: MemoryLedger,
    spill_dirs: Arc<SpillDirs>,
}

impl Rust {
    fn new(
        batch: &RecordBatch,
        store: &Arc<dyn Store>,
        dirs: &[std::path::PathBuf],
    ) -> Result<Self> {
        let spec = ShuffleSpec::new(batch.schema(), PARTITIONS, Partitioning::Ids)?;
        let spill_dirs = SpillDirs::open(Arc::clone(store), dirs, SpillOptions::default())?;
        Ok(Self { spec, ledger: MemoryLedger::unlimited(), spill_dirs })
    }

    fn writer(&self) -> Result<RustWriter> {
        let task = self.ledger.admit(1, 0)?.remove(0);
        let (map, attempt) = (MapId(0), AttemptId(0));
        let writer = ShuffleWriter::for_sink(&self.spec, &task, &self.spill_dirs, map, attempt)?;
        Ok(RustWriter { writer })
    }
}

struct RustWriter {
    writer: ShuffleWriter,
}

impl RustWriter {
    fn push(&mut self, batch: &RecordBatch, ids: &[u32]) -> Result<Duration> {
        let batch = batch.clone();
        let began = cpu_time();
        self.writer.write_with_ids(&batch, ids)?;
        drop(batch);
        Ok(cpu_time().saturating_sub(began))
    }
}

/// Handles that live as long as the process.
struct C {
    context: *mut bywash_context,
    shuffle: *mut bywash_shuffle,
}

impl C {
    fn new(batch: &RecordBatch, dirs: &[std::path::PathBuf]) -> Result<Self> {
        let mut schema = FFI_ArrowSchema::try_from(batch.schema().as_ref())
            .map_err(|error| Failure::new(error.to_string()))?;
        let dirs: Vec<_> = dirs.iter().map(|dir| dir.to_string_lossy().into_owned()).collect();
        let dirs = std::ffi::CString::new(dirs.join(":")).map_err(|_| Failure::new("a NUL"))?;
        let (mut options, mut context, mut shuffle) = (null_mut(), null_mut(), null_mut());
        // SAFETY: places for results, live handles, strings with a NUL.
        unsafe {
            worked(bywash_options_new(&raw mut options, null_mut()))?;
            let set = |key: &std::ffi::CStr, value: &std::ffi::CStr| {
                worked(bywash_options_set(options, key.as_ptr(), value.as_ptr(), null_mut()))
            };
            set(c"spill.dirs", &dirs)?;
            worked(bywash_context_new(options, std::ptr::null(), &raw mut context, null_mut()))?;
            worked(bywash_shuffle_new(
                &raw mut schema,
                PARTITIONS,
                std::ptr::null(),
                0,
                std::ptr::null(),
                &raw mut shuffle,
                null_mut(),
            ))?;
            bywash_options_free(options);
        }
        Ok(Self { context, shuffle })
    }

    fn writer(&self) -> Result<CWriter> {
        let mut c = CWriter { task: null_mut(), writer: null_mut() };
        // SAFETY: places for results, live handles.
        unsafe {
            worked(bywash_task_new(self.context, 0, &raw mut c.task, null_mut()))?;
            worked(bywash_writer_new(
                self.shuffle,
                c.task,
                std::ptr::null(),
                0,
                0,
                &raw mut c.writer,
                null_mut(),
            ))?;
        }
        Ok(c)
    }
}

struct CWriter {
    task: *mut bywash_task,
    writer: *mut bywash_writer,
}

impl CWriter {
    fn push(&mut self, kept: &FFI_ArrowArray, ids: &[u32]) -> Result<Duration> {
        let mut array = lent(kept);
        let (ids, len) = (ids.as_ptr(), ids.len());
        let began = cpu_time();
        // SAFETY: a live writer, an array of its schema, as many ids as rows.
        let code = unsafe { bywash_writer_push(self.writer, &raw mut array, ids, len, null_mut()) };
        let took = cpu_time().saturating_sub(began);
        worked(code).map(|()| took)
    }
}

impl Drop for CWriter {
    fn drop(&mut self) {
        // SAFETY: live handles, used no more.
        unsafe {
            bywash_writer_free(self.writer);
            bywash_task_free(self.task);
        }
    }
}

/// The array as a host lends it that keeps what is in it: releasing costs nothing.
fn lent(kept: &FFI_ArrowArray) -> FFI_ArrowArray {
    unsafe extern "C" fn nothing(array: *mut FFI_ArrowArray) {
        // SAFETY: the struct of the C data interface; NULL marks it as released.
        unsafe { array.cast::<usize>().add(RELEASE).write(0) }
    }
    let release: unsafe extern "C" fn(*mut FFI_ArrowArray) = nothing;
    let mut array = std::mem::MaybeUninit::<FFI_ArrowArray>::uninit();
    // SAFETY: a copy whose release does not touch what it was copied from, and outlives nothing.
    unsafe {
        array.as_mut_ptr().copy_from_nonoverlapping(kept, 1);
        array
            .as_mut_ptr()
            .cast::<unsafe extern "C" fn(*mut FFI_ArrowArray)>()
            .add(RELEASE)
            .write(release);
        array.assume_init()
    }
}

/// The word of `ArrowArray` that has its release callback.
const RELEASE: usize = 8;

/// Of this thread: whoever else runs meanwhile does not count.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

fn worked(code: i32) -> Result<()> {
    match code {
        BYWASH_OK => Ok(()),
        code => Err(Failure::new(format!("status {code}"))),
    }
}

const ROWS: usize = 8192;
const PARTITIONS: u32 = 200;
