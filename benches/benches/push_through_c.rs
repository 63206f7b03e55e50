//! What it costs to push batches through the C interface instead of calling Rust.
//!
//! `cargo bench -p bywash-benches --bench push_through_c`. Both ways write the same batches of 8,192
//! rows of lineitem with partition ids into memory, in turns, so that whatever else the machine does
//! meets both; the figure is the median of the ratios of neighbouring turns. The arrays are exported
//! before the time is taken, as a host has them; importing, checking and releasing them is part of
//! the push.

#![expect(
    unsafe_code,
    clippy::multiple_unsafe_ops_per_block,
    reason = "calls of the C interface, one after the other as C makes them"
)]
#![expect(clippy::print_stdout, reason = "the figure")]

use std::ptr::null_mut;
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    bywash_options_set, bywash_shuffle, bywash_shuffle_new, bywash_task_free, bywash_task_new,
    bywash_writer_free, bywash_writer_new, bywash_writer_push,
};

fn main() -> Result<()> {
    // What cargo test passes to a bench: a look whether it works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let (turns, pushes) = if is_test { (1, 4) } else { (41, 200) };
    let batch = lineitem::batches(0.02, 1, 1, ROWS).next();
    let batch = batch.ok_or_else(|| Failure::new("lineitem is empty"))??;
    let ids: Vec<u32> = (0..PARTITIONS).cycle().step_by(7).take(batch.num_rows()).collect();
    let store: Arc<dyn Store> = Arc::new(FsStore::new());
    let dirs = default_spill_dirs(&store)?.dirs;
    let rust = Rust::new(&batch, &store, &dirs)?;
    let c = C::new(&batch, &dirs)?;
    let mut ratios = Vec::new();
    let mut totals = [Duration::ZERO; 2];
    for turn in 0..turns {
        // Who comes first changes, too.
        let (through_rust, through_c) = if turn % 2 == 0 {
            let first = rust.turn(&batch, &ids, pushes)?;
            (first, c.turn(&batch, &ids, pushes)?)
        } else {
            let first = c.turn(&batch, &ids, pushes)?;
            (rust.turn(&batch, &ids, pushes)?, first)
        };
        totals[0] += through_rust;
        totals[1] += through_c;
        ratios.push(through_c.as_secs_f64() / through_rust.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    let each = |total: Duration| total.as_secs_f64() * 1e6 / f64::from(turns * pushes);
    println!(
        "{} rows a push, {} columns: {:.1} us from Rust, {:.1} us through C; {:+.2} % (median of {} \
         turns of {pushes} pushes; quartiles {:+.2} and {:+.2} %)",
        batch.num_rows(),
        batch.num_columns(),
        each(totals[0]),
        each(totals[1]),
        percent(ratios[ratios.len() / 2]),
        turns,
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

    fn turn(&self, batch: &RecordBatch, ids: &[u32], pushes: u32) -> Result<Duration> {
        let task = self.ledger.admit(1, 0)?.remove(0);
        let (map, attempt) = (MapId(0), AttemptId(0));
        let mut writer =
            ShuffleWriter::for_sink(&self.spec, &task, &self.spill_dirs, map, attempt)?;
        let batches: Vec<_> = (0..pushes).map(|_| batch.clone()).collect();
        let began = Instant::now();
        for batch in batches {
            writer.write_with_ids(&batch, ids)?;
        }
        Ok(began.elapsed())
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

    fn turn(&self, batch: &RecordBatch, ids: &[u32], pushes: u32) -> Result<Duration> {
        let (mut task, mut writer) = (null_mut(), null_mut());
        // SAFETY: places for results, live handles.
        unsafe {
            worked(bywash_task_new(self.context, 0, &raw mut task, null_mut()))?;
            worked(bywash_writer_new(
                self.shuffle,
                task,
                std::ptr::null(),
                0,
                0,
                &raw mut writer,
                null_mut(),
            ))?;
        }
        let data = StructArray::from(batch.clone()).into_data();
        let mut arrays: Vec<_> = (0..pushes).map(|_| FFI_ArrowArray::new(&data)).collect();
        let began = Instant::now();
        for array in &mut arrays {
            // SAFETY: a live writer, an array of its schema, as many ids as rows.
            let code =
                unsafe { bywash_writer_push(writer, array, ids.as_ptr(), ids.len(), null_mut()) };
            worked(code)?;
        }
        let took = began.elapsed();
        // SAFETY: live handles, used no more.
        unsafe {
            bywash_writer_free(writer);
            bywash_task_free(task);
        }
        Ok(took)
    }
}

fn worked(code: i32) -> Result<()> {
    match code {
        BYWASH_OK => Ok(()),
        code => Err(Failure::new(format!("status {code}"))),
    }
}

const ROWS: usize = 8192;
const PARTITIONS: u32 = 200;
