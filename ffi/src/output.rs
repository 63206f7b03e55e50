//! Map outputs and reading them.

#![expect(unsafe_code, reason = "pointers come from C")]

use std::ffi::c_char;
use std::mem::offset_of;
use std::ptr;
use std::sync::Arc;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use bywash::{
    AttemptId, ChargeMode, Error, ErrorKind, Figure, MapId, MapOutput, OutputDir, PushedOutput,
    Result,
};

use crate::call;
use crate::context::{Task, bywash_context, bywash_task};
use crate::error::bywash_error;
use crate::handle::{self, Opaque};
use crate::input;
use crate::status::Source;
use crate::stream;

/// A map output: committed, opened, or sent to a sink. Any thread at any time.
#[derive(Debug)]
pub struct bywash_output(());

impl Opaque for bywash_output {
    type Value = OutputOf;
}

/// An output and the task that is charged for its index.
#[derive(Debug)]
pub(crate) struct OutputOf {
    output: Output,
    task: Task,
}

#[derive(Debug)]
pub(crate) enum Output {
    Committed(MapOutput),
    Pushed(PushedOutput),
}

impl Output {
    pub(crate) fn of(self, task: &Task) -> OutputOf {
        OutputOf { output: self, task: task.clone() }
    }

    fn attempt(&self) -> AttemptId {
        match self {
            Self::Committed(output) => output.attempt(),
            Self::Pushed(output) => output.attempt(),
        }
    }

    fn partitions(&self) -> u32 {
        match self {
            Self::Committed(output) => output.partitions(),
            Self::Pushed(output) => output.partitions(),
        }
    }
}

/// What is known of one partition.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct bywash_partition {
    /// `sizeof(bywash_partition)` as the caller was compiled.
    pub struct_size: u32,
    /// CRC-32C of the stored bytes.
    pub crc32c: u32,
    /// Stored bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// Opens the committed output of `map` in the directory `dir`; its index, 20 bytes a partition, is charged
/// to `task`.
///
/// Errors: `NOT_FOUND`; `CORRUPT`; `MEMORY_LIMIT`.
///
/// # Safety
/// `task` is a live handle; `dir` is NUL-terminated; `out` points to a place for a pointer; `error_out`
/// too, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_output_open(
    task: *const bywash_task,
    dir: *const c_char,
    map: u64,
    out: *mut *mut bywash_output,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(out, ptr::null_mut());
        call::on_reading(Source::MapOutput, task, error_out, |handle| {
            let out = out.present()?;
            let path = input::path(dir, "dir")?;
            let task = handle.value();
            let store = Arc::clone(&task.context.store);
            // Whoever reports the failure needs to know which map it was.
            let named = |error: Error| match error.figure(Figure::Map) {
                Some(_) => error,
                None => error.with(Figure::Map, map),
            };
            let dir = OutputDir::open_existing(store, &path).map_err(named)?;
            let output = MapOutput::open(&dir, MapId(map), &task.memory).map_err(named)?;
            out.set(handle::into_raw(Output::Committed(output).of(task), handle.mark()));
            Ok(())
        })
    }
}

/// Removes the committed output of `map` in the directory `dir`, so that a new attempt can commit another:
/// for damage that a reader found. With `attempt`, an output of another attempt stays: who reports a
/// failure twice does not lose the output that was made since, so long as no number of an attempt is used
/// twice for a map. NULL: whoever's it is. None there, or no such directory, is fine.
///
/// The output is there, whole, or gone, also where this fails. Outputs and streams that are open read on.
/// Blocks on the disk.
///
/// Errors: those of the system; `UNAVAILABLE` while another removes it and does not get done.
///
/// # Safety
/// `context` is a live handle; `dir` is NUL-terminated; `attempt` is NULL or points to a number;
/// `error_out` is NULL or points to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_output_remove(
    context: *const bywash_context,
    dir: *const c_char,
    map: u64,
    attempt: *const u64,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        call::on(context, error_out, |handle| {
            let path = input::path(dir, "dir")?;
            let attempt = (!attempt.is_null()).then(|| AttemptId(attempt.read_unaligned()));
            let named = |error: Error| error.with(Figure::Map, map);
            let context = handle.value();
            let sync = context.settings.output_sync;
            match OutputDir::open_existing_to_remove(Arc::clone(&context.store), &path, sync) {
                Ok(dir) => dir.remove_output(MapId(map), attempt).map(drop).map_err(named),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) => Err(named(error)),
            }
        })
    }
}

/// The attempt whose output it is: where another one had committed before, `bywash_writer_finish` gives
/// that one's.
///
/// # Safety
/// `output` is a live handle; `attempt_out` points to a place for a number; `error_out` is NULL or points
/// to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_output_attempt(
    output: *const bywash_output,
    attempt_out: *mut u64,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(attempt_out, 0);
        call::on(output, error_out, |handle| {
            let out = out.present()?;
            out.set(handle.value().output.attempt().0);
            Ok(())
        })
    }
}

/// The number of partitions.
///
/// # Safety
/// `output` is a live handle; `partitions_out` points to a place for a number; `error_out` is NULL or
/// points to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_output_partitions(
    output: *const bywash_output,
    partitions_out: *mut u32,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(partitions_out, 0);
        call::on(output, error_out, |handle| {
            let out = out.present()?;
            out.set(handle.value().output.partitions());
            Ok(())
        })
    }
}

/// Length, rows and checksum of one partition. Set `partition_out->struct_size` before the call.
///
/// # Safety
/// `output` is a live handle; `partition_out` points to `struct_size` bytes; `error_out` is NULL or points
/// to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_output_partition(
    output: *const bywash_output,
    partition: u32,
    partition_out: *mut bywash_partition,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let place = empty_partition(partition_out);
        call::on(output, error_out, |handle| {
            let struct_size = place?;
            let output = &handle.value().output;
            check_partition(output, partition)?;
            let (bytes, rows, crc32c) = match output {
                Output::Committed(output) => {
                    (output.bytes(partition), output.rows(partition), output.crc32c(partition))
                }
                Output::Pushed(output) => {
                    (output.bytes(partition), output.rows(partition), output.crc32c(partition))
                }
            };
            partition_out.write(bywash_partition { struct_size, crc32c, bytes, rows });
            Ok(())
        })
    }
}

/// Reads one partition of an output as a stream of batches into `stream_out`, which the caller provides
/// and releases. Its memory is charged to `task` (NULL: the one the output was
/// made in); batches stay charged until they are released, and valid
/// whatever else is freed. Every byte is checked before it is believed.
///
/// Errors: `INVALID_ARGUMENT` for a partition that does not exist; `INVALID_STATE` for an output that was
/// sent to a sink. What the stream fails with later is in `bywash_stream_error`; after a failure, begin the
/// partition again with a new stream, and drop the batches of this one.
///
/// # Safety
/// `output` is a live handle, `task` too or NULL; `stream_out` points to a place for an `ArrowArrayStream`;
/// `error_out` is NULL or points to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_output_read(
    output: *const bywash_output,
    task: *const bywash_task,
    partition: u32,
    stream_out: *mut FFI_ArrowArrayStream,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(stream_out, FFI_ArrowArrayStream::empty());
        call::on_reading(Source::MapOutput, output, error_out, |handle| {
            let out = out.present()?;
            let task =
                if task.is_null() { &handle.value().task } else { handle::get(task)?.value() };
            let output = &handle.value().output;
            check_partition(output, partition)?;
            let Output::Committed(output) = output else {
                return Err(WAS_SENT);
            };
            let charge = task.context.settings.charge;
            let reader = output.read(partition, &task.memory, charge)?;
            let is_charged = charge != ChargeMode::Detached;
            let schemas = is_charged.then(|| task.memory.consumer("stream-schema"));
            out.set(stream::export(reader, schemas, handle.mark()));
            Ok(())
        })
    }
}

/// Frees an output; NULL is fine. Streams made of it go on.
///
/// # Safety
/// `output` is NULL or a live handle that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_output_free(output: *mut bywash_output) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(output) }
}

/// Empties the place for a partition; its size as the caller was compiled.
///
/// # Safety
/// `place` is NULL or points to `struct_size` bytes.
unsafe fn empty_partition(place: *mut bywash_partition) -> Result<u32> {
    if place.is_null() {
        return Err(Error::invalid("the place for a partition is NULL"));
    }
    // SAFETY: every such struct begins with its size; the caller's promise.
    let struct_size = unsafe { place.cast::<u32>().read_unaligned() };
    let whole = offset_of!(bywash_partition, rows) + size_of::<u64>();
    if (struct_size as usize) < whole || !place.is_aligned() {
        return Err(Error::invalid("struct_size is wrong; set it to sizeof(bywash_partition)")
            .with(Figure::Found, struct_size));
    }
    // SAFETY: it has all fields.
    unsafe { place.write(bywash_partition { struct_size, crc32c: 0, bytes: 0, rows: 0 }) };
    Ok(struct_size)
}

fn check_partition(output: &Output, partition: u32) -> Result<()> {
    if partition < output.partitions() {
        return Ok(());
    }
    Err(Error::invalid("there is no such partition")
        .with(Figure::Partition, partition)
        .with(Figure::Partitions, output.partitions()))
}

const WAS_SENT: Error = Error::new(
    ErrorKind::InvalidState,
    "this output was sent to a sink; the service has its bytes",
);
