//! Writing one map output.

#![expect(unsafe_code, reason = "pointers come from C")]

use std::ffi::c_char;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use arrow_array::ffi::FFI_ArrowArray;
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use bywash::{AttemptId, Canceller, Error, ErrorKind, MapId, Result, ShuffleWriter};

use crate::call;
use crate::context::{Task, bywash_task};
use crate::error::{bywash_error, give_string};
use crate::handle::{self, IN_USE, Opaque};
use crate::input;
use crate::json;
use crate::output::{Output, bywash_output};
use crate::shuffle::{Shuffle, bywash_shuffle};
use crate::sink::{HostSink, bywash_sink};
use crate::stream::pull;

/// Writes one map output. Calls come one at a time, from any thread; a second one at once answers
/// `INVALID_STATE`. Cancelling and statistics are fine at any time.
#[derive(Debug)]
pub struct bywash_writer(());

impl Opaque for bywash_writer {
    type Value = Writer;
}

#[derive(Debug)]
pub(crate) struct Writer {
    /// Tried, never waited for; `None` once it is finished or given up.
    engine: Mutex<Option<ShuffleWriter>>,
    /// A stream failed in the middle: what it had brought must not be committed.
    given_up: AtomicBool,
    commits: bool,
    canceller: Canceller,
    shuffle: Shuffle,
    task: Task,
}

impl Writer {
    fn lock(&self) -> Result<MutexGuard<'_, Option<ShuffleWriter>>> {
        match self.engine.try_lock() {
            Ok(writer) => Ok(writer),
            Err(TryLockError::WouldBlock) => Err(IN_USE),
            // The handle is poisoned before anybody sees this.
            Err(TryLockError::Poisoned(_)) => Err(PANICKED),
        }
    }

    /// Imports `array` and writes it; the caller holds the lock.
    ///
    /// # Safety
    /// As [`input::Moved::into_batch`].
    unsafe fn push(
        &self,
        engine: &mut Option<ShuffleWriter>,
        array: input::Moved<FFI_ArrowArray>,
        ids: &[u32],
    ) -> Result<()> {
        let engine = engine.as_mut().ok_or_else(|| self.gone())?;
        // SAFETY: the caller's promise.
        let batch = unsafe {
            let Shuffle { spec, validate } = &self.shuffle;
            array.into_batch(spec.schema(), *validate, &self.task.memory)
        }?;
        match (batch.num_rows(), ids) {
            (0, []) => engine.check_open(),
            (_, []) => engine.write(&batch),
            (_, ids) => engine.write_with_ids(&batch, ids),
        }
    }

    fn take(&self) -> Result<ShuffleWriter> {
        self.lock()?.take().ok_or_else(|| self.gone())
    }

    /// Nobody knows how much of a stream that failed was written: the writer ends.
    fn give_up(&self, engine: &mut Option<ShuffleWriter>) {
        self.given_up.store(true, Ordering::Release);
        *engine = None;
    }

    fn gone(&self) -> Error {
        if self.given_up.load(Ordering::Acquire) { STREAM_FAILED } else { FINISHED }
    }
}

/// Makes a writer of map `map`, attempt `attempt`, in `task`; its working set is reserved at once. No number of
/// an attempt may be used twice for a map (in Spark: `taskAttemptId`, for `attemptNumber` begins anew). The
/// output goes to the directory `output_dir`, made if it is missing; NULL for a writer that finishes into
/// a sink. The first writer of a context in a directory opens and sweeps it (blocks on the disk); the context
/// keeps the last 8 open, each with a subdirectory `.bywash-*`, until it is freed.
///
/// Errors: `MEMORY_LIMIT` if the task's share is below `bywash_shuffle_minimum_budget`;
/// `INVALID_ARGUMENT` for a context without spill directories.
///
/// # Safety
/// `shuffle` and `task` are live handles; `output_dir` is NULL or NUL-terminated; `out` points to a place
/// for a pointer; `error_out` too, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_writer_new(
    shuffle: *const bywash_shuffle,
    task: *const bywash_task,
    output_dir: *const c_char,
    map: u64,
    attempt: u64,
    out: *mut *mut bywash_writer,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(out, ptr::null_mut());
        call::on(task, error_out, |handle| {
            let out = out.present()?;
            let shuffle = handle::get(shuffle)?.value().clone();
            let task = handle.value().clone();
            let context = &task.context;
            let spill_dirs = context.spill_dirs()?;
            let (map, attempt) = (MapId(map), AttemptId(attempt));
            let writer = if output_dir.is_null() {
                ShuffleWriter::for_sink(&shuffle.spec, &task.memory, spill_dirs, map, attempt)?
            } else {
                let path = input::path(output_dir, "output_dir")?;
                let dir = context.output_dirs.get(&path)?;
                ShuffleWriter::new(&shuffle.spec, &task.memory, spill_dirs, &dir, map, attempt)?
            };
            let canceller = writer.canceller();
            let writer = Writer {
                engine: Mutex::new(Some(writer)),
                given_up: AtomicBool::new(false),
                commits: !output_dir.is_null(),
                canceller,
                shuffle,
                task,
            };
            out.set(handle::into_raw(writer, handle.mark()));
            Ok(())
        })
    }
}

/// Writes the rows of `array`, a struct of the shuffle's columns, consumed whatever comes of it. `ids` has
/// a partition id for each row, or is (NULL, 0) for a shuffle that hashes. Rows are copied before this
/// returns; it may spill, and so block on the disk and on the host's memory. Of buffers that are not aligned to
/// their type the rows are copied first, into memory that is charged to the task meanwhile.
///
/// Errors: `INVALID_ARGUMENT` for an array that does not fit, `MEMORY_LIMIT` for rows that had to be copied:
/// nothing is taken and the writer goes on; after any other the writer is of no more use.
///
/// # Safety
/// `writer` is a live handle; `array` points to a valid `ArrowArray` of the shuffle's schema; `ids` to
/// `ids_len` numbers; `error_out` is NULL or points to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_writer_push(
    writer: *mut bywash_writer,
    array: *mut FFI_ArrowArray,
    ids: *const u32,
    ids_len: usize,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises; the array is consumed also where the handle is refused.
    unsafe {
        let array = input::Moved::array(array);
        call::on(writer.cast_const(), error_out, |handle| {
            let ids = input::slice(ids, ids_len)?;
            let writer = handle.value();
            writer.push(&mut *writer.lock()?, array, ids)
        })
    }
}

/// Writes all batches of `stream`, of the shuffle's schema, for a shuffle that hashes. The stream is
/// consumed whatever comes of it.
///
/// Errors: as `bywash_writer_push`; `IO` with the stream's message where the stream fails. After its first
/// batch was taken, any error ends the writer (`POISONED`): a part of a stream is never committed.
///
/// # Safety
/// `writer` is a live handle; `stream` points to a valid `ArrowArrayStream`; `error_out` is NULL or points
/// to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_writer_push_stream(
    writer: *mut bywash_writer,
    stream: *mut FFI_ArrowArrayStream,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises; the stream is consumed also where the handle is refused.
    unsafe {
        let stream = pull::Pulled::take(stream);
        call::on(writer.cast_const(), error_out, |handle| {
            let writer = handle.value();
            let mut stream = stream?;
            let mut engine = writer.lock()?;
            stream.check_schema(writer.shuffle.spec.schema())?;
            let mut taken = false;
            let outcome = (|| {
                while let Some(array) = stream.next()? {
                    writer.push(&mut engine, input::Moved::of(array), &[])?;
                    taken = true;
                }
                Ok(())
            })();
            if taken && outcome.is_err() {
                writer.give_up(&mut engine);
            }
            outcome
        })
    }
}

/// Makes the writer's next step fail with `CANCELLED`, also one that waits for memory or finishes. Any
/// thread, at any time; returns at once.
///
/// # Safety
/// `writer` is a live handle; `error_out` is NULL or points to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_writer_cancel(
    writer: *const bywash_writer,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        call::on(writer, error_out, |handle| {
            handle.value().canceller.cancel();
            Ok(())
        })
    }
}

/// Merges everything and commits the map output; if another attempt of the map has committed before, its
/// output is what `out` receives. The writer is of no more use, whatever comes of it; free it. One made
/// without `output_dir` answers `INVALID_STATE` and can still be finished into a sink.
///
/// Errors: nothing is visible then, but for an error of the last sync, or of giving the output its name where
/// nobody can tell whether it has it: then it may be there, whole, and the next attempt is handed it.
///
/// # Safety
/// `writer` is a live handle; `out` points to a place for a pointer; `error_out` too, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_writer_finish(
    writer: *mut bywash_writer,
    out: *mut *mut bywash_output,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(out, ptr::null_mut());
        call::on(writer.cast_const(), error_out, |handle| {
            let out = out.present()?;
            if !handle.value().commits {
                return Err(MADE_FOR_A_SINK);
            }
            let output = Output::Committed(handle.value().take()?.finish()?);
            out.set(handle::into_raw(output.of(&handle.value().task), handle.mark()));
            Ok(())
        })
    }
}

/// Merges everything and sends each partition's segment to `sink`. `out` receives what was sent: lengths,
/// rows and checksums; it cannot be read. The writer is of no more use, whatever comes of it; free it.
///
/// # Safety
/// `writer` is a live handle; `sink` points to a table; `out` points to a place for a pointer;
/// `error_out` too, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_writer_finish_into(
    writer: *mut bywash_writer,
    sink: *const bywash_sink,
    out: *mut *mut bywash_output,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(out, ptr::null_mut());
        call::on(writer.cast_const(), error_out, |handle| {
            let out = out.present()?;
            let mut sink = HostSink::read(sink)?;
            let output = Output::Pushed(handle.value().take()?.finish_into(&mut sink)?);
            out.set(handle::into_raw(output.of(&handle.value().task), handle.mark()));
            Ok(())
        })
    }
}

/// What the writer has done so far, as a JSON object; any thread, at any time. Free the string with
/// `bywash_string_free`.
///
/// # Safety
/// `writer` is a live handle; `json_out` points to a place for a pointer; `error_out` too, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_writer_statistics(
    writer: *const bywash_writer,
    json_out: *mut *mut c_char,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(json_out, ptr::null_mut());
        call::on(writer, error_out, |handle| {
            let out = out.present()?;
            out.set(give_string(&json::progress(&handle.value().canceller.progress())));
            Ok(())
        })
    }
}

/// Frees a writer; NULL is fine. One that was not finished leaves nothing behind.
///
/// # Safety
/// `writer` is NULL or a live handle that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_writer_free(writer: *mut bywash_writer) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(writer) }
}

const FINISHED: Error = Error::new(ErrorKind::InvalidState, "this writer is finished");
const MADE_FOR_A_SINK: Error = Error::new(
    ErrorKind::InvalidState,
    "this writer was made without an output directory; finish it into a sink",
);
const STREAM_FAILED: Error = Error::new(
    ErrorKind::Poisoned,
    "a stream failed after some of its batches were taken; retry the task with a new attempt",
);
const PANICKED: Error = Error::new(ErrorKind::Poisoned, "an earlier call on this writer panicked");
