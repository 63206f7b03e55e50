//! One use of every function, through the C interface.

#![expect(unused_unsafe, reason = "what a macro of calls is given may be safe")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "a call, and one more if it failed")]

use std::ffi::{CStr, CString, c_char, c_void};
use std::fs;
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{Array, Int64Array, RecordBatch, RecordBatchIterator, StructArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bywash_ffi::*;

/// The host of a session.
#[derive(Debug, Default)]
struct Lender {
    lent: AtomicI64,
    lines: AtomicU64,
    ends: AtomicU64,
}

/// What is freed at the end, whatever happened before.
struct Handles {
    options: *mut bywash_options,
    context: *mut bywash_context,
    task: *mut bywash_task,
    shuffle: *mut bywash_shuffle,
    writers: [*mut bywash_writer; 2],
    outputs: [*mut bywash_output; 3],
    stream: FFI_ArrowArrayStream,
}

impl Drop for Handles {
    fn drop(&mut self) {
        // SAFETY: NULL or live; used no more.
        unsafe {
            bywash_options_free(self.options);
            bywash_context_free(self.context);
            self.outputs.iter().for_each(|output| bywash_output_free(*output));
            bywash_task_free(self.task);
            self.writers.iter().for_each(|writer| bywash_writer_free(*writer));
            bywash_shuffle_free(self.shuffle);
        }
    }
}

impl Handles {
    /// A panic poisons the handle of its call, and no other.
    fn check_others(&self, context: *const bywash_context, after: &str) {
        let (mut count, mut json) = (0, null_mut());
        let mut answers = Vec::new();
        if !context.is_null() {
            answers.push(unsafe_explain(context, &mut json));
            free_string(&mut json);
        }
        for writer in self.writers.iter().filter(|writer| !writer.is_null()) {
            // SAFETY: a live handle, and a place for a text.
            answers.push(unsafe { bywash_writer_statistics(*writer, &raw mut json, null_mut()) });
            free_string(&mut json);
        }
        for output in self.outputs.iter().filter(|output| !output.is_null()) {
            // SAFETY: a live handle, and a place for a number.
            answers.push(unsafe { bywash_output_partitions(*output, &raw mut count, null_mut()) });
        }
        let poisoned = answers.iter().filter(|code| **code == BYWASH_POISONED).count();
        let fine = answers.iter().filter(|code| **code == BYWASH_OK).count();
        assert!(poisoned <= 1 && poisoned + fine == answers.len(), "after {after}: {answers:?}");
    }
}

/// Opens nothing there is.
fn unsafe_open(task: *const bywash_task, dir: &CStr) -> i32 {
    let mut none = null_mut();
    // SAFETY: a live handle, a string and a place for a pointer.
    unsafe { bywash_output_open(task, dir.as_ptr(), 99, &raw mut none, null_mut()) }
}

unsafe extern "C" fn lend(lender: *mut c_void, bytes: u64) -> i64 {
    let bytes = bytes.min(1 << 40).cast_signed();
    // SAFETY: the lender of run.
    unsafe { &*lender.cast::<Lender>() }.lent.fetch_add(bytes, Ordering::SeqCst);
    bytes
}

unsafe extern "C" fn give_back(lender: *mut c_void, bytes: u64) {
    // SAFETY: the lender of run.
    unsafe { &*lender.cast::<Lender>() }.lent.fetch_sub(bytes.cast_signed(), Ordering::SeqCst);
}

unsafe extern "C" fn end(lender: *mut c_void) {
    // SAFETY: the lender of run.
    unsafe { &*lender.cast::<Lender>() }.ends.fetch_add(1, Ordering::SeqCst);
}

unsafe extern "C" fn log(lender: *mut c_void, level: i32, line: *const c_char) {
    // SAFETY: the library's string.
    assert!(!unsafe { CStr::from_ptr(line) }.is_empty() && level == BYWASH_LOG_WARNING);
    // SAFETY: the lender of run.
    unsafe { &*lender.cast::<Lender>() }.lines.fetch_add(1, Ordering::SeqCst);
}

unsafe extern "C" fn swallow(_: *mut c_void, _: u32, _: *const u8, _: usize) -> i32 {
    BYWASH_OK
}

/// Runs it, telling each call in `calls`; the first that fails ends it, after a look at its handle and
/// at the context.
pub(crate) fn run(calls: &mut Vec<&'static str>) -> Result<(), String> {
    let lender = Lender::default();
    let outcome = session(calls, &lender);
    let Lender { lent, lines, ends } = lender;
    assert_eq!(lent.into_inner(), 0, "all that was lent comes back; after {calls:?}");
    // Once, where a context was made: also where telling the host of it panicked.
    let made = u64::from(calls.last() != Some(&"context_new") && calls.contains(&"context_new"));
    assert_eq!((lines.into_inner() >= made, ends.into_inner()), (true, made), "after {calls:?}");
    outcome
}

fn session(calls: &mut Vec<&'static str>, lender: &Lender) -> Result<(), String> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = CString::new(dir.path().to_str().unwrap()).unwrap();
    // One that cannot be used: the host is warned of it.
    let spill_dirs = CString::new([path.as_bytes(), b":/dev/null/none"].concat()).unwrap();
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("key", DataType::Int64, false)]));
    let host = bywash_host {
        struct_size: u32::try_from(size_of::<bywash_host>()).unwrap(),
        reserved: 0,
        context: std::ptr::from_ref(lender).cast_mut().cast(),
        acquire: Some(lend),
        release: Some(give_back),
        destroy: Some(end),
        log: Some(log),
    };
    let sink = bywash_sink {
        struct_size: u32::try_from(size_of::<bywash_sink>()).unwrap(),
        reserved: 0,
        context: null_mut(),
        write: Some(swallow),
    };
    let mut h = Handles {
        options: null_mut(),
        context: null_mut(),
        task: null_mut(),
        shuffle: null_mut(),
        writers: [null_mut(); 2],
        outputs: [null_mut(); 3],
        stream: FFI_ArrowArrayStream::empty(),
    };
    let context: *const bywash_context = null();
    let (mut number, mut count, mut json) = (0u64, 0u32, null_mut());
    let mut partition = bywash_partition {
        struct_size: u32::try_from(size_of::<bywash_partition>()).unwrap(),
        crc32c: 0,
        bytes: 0,
        rows: 0,
    };
    let mut error: *mut bywash_error = null_mut();
    let e = &raw mut error;

    // A call, and a harmless one on the same handle that is to answer POISONED once it has panicked.
    macro_rules! call {
        ($name:literal, $call:expr, $again:expr) => {{
            calls.push($name);
            // SAFETY: live handles and places for results.
            let code = unsafe { $call };
            if code != BYWASH_OK {
                let message = taken(&mut error);
                assert_eq!(code, BYWASH_INTERNAL, "{}: {message}", $name);
                // SAFETY: as above.
                let again: Option<i32> = unsafe { $again };
                assert!(again.is_none_or(|code| code == BYWASH_POISONED), "{}: {again:?}", $name);
                h.check_others(context, $name);
                return Err(message);
            }
        }};
    }
    macro_rules! statistics {
        ($writer:expr) => {
            Some(bywash_writer_statistics($writer, &raw mut json, null_mut()))
        };
    }

    call!("options_new", bywash_options_new(&raw mut h.options, e), None);
    let settings =
        [(c"spill.dirs", spill_dirs.as_c_str()), (c"spill.memory_backed", c"unaccounted")];
    for (key, value) in settings {
        call!(
            "options_set",
            bywash_options_set(h.options, key.as_ptr(), value.as_ptr(), e),
            Some(bywash_options_set(h.options, key.as_ptr(), value.as_ptr(), null_mut()))
        );
    }
    check_refusal(h.options)?;
    call!(
        "context_new",
        bywash_context_new(h.options, &raw const host, &raw mut h.context, e),
        None
    );
    let context = h.context;
    let explain = |json| unsafe_explain(context, json);
    call!("explain", bywash_explain(context, &raw mut json, e), Some(explain(&mut json)));
    free_string(&mut json);
    call!("reclaim", bywash_reclaim(context, 1, &raw mut number, e), Some(explain(&mut json)));
    call!(
        "set_capacity",
        bywash_set_capacity(context, 1 << 30, null_mut(), e),
        Some(explain(&mut json))
    );
    let mut c_schema = FFI_ArrowSchema::try_from(schema.as_ref()).unwrap();
    call!(
        "shuffle_new",
        bywash_shuffle_new(&raw mut c_schema, 2, &0u32, 1, null(), &raw mut h.shuffle, e),
        None
    );
    call!(
        "minimum_budget",
        bywash_shuffle_minimum_budget(h.shuffle, 1, &raw mut number, e),
        Some(bywash_shuffle_minimum_budget(h.shuffle, 1, &raw mut number, null_mut()))
    );
    call!(
        "task_new",
        bywash_task_new(context, number, &raw mut h.task, e),
        Some(explain(&mut json))
    );
    let open = |task| unsafe_open(task, &path);
    for index in 0..2 {
        call!(
            "writer_new",
            bywash_writer_new(
                h.shuffle,
                h.task,
                path.as_ptr(),
                index as u64,
                0,
                &raw mut h.writers[index],
                e
            ),
            Some(open(h.task))
        );
        let writer = h.writers[index];
        let mut array = array(&schema);
        call!(
            "push",
            bywash_writer_push(writer, &raw mut array, null(), 0, e),
            statistics!(writer)
        );
        assert!(array.is_released());
    }
    let writer = h.writers[0];
    let batches = RecordBatchIterator::new([Ok(batch(&schema))], Arc::clone(&schema));
    let mut stream = FFI_ArrowArrayStream::new(Box::new(batches));
    call!(
        "push_stream",
        bywash_writer_push_stream(writer, &raw mut stream, e),
        statistics!(writer)
    );
    call!("statistics", bywash_writer_statistics(writer, &raw mut json, e), statistics!(writer));
    free_string(&mut json);
    call!("finish", bywash_writer_finish(writer, &raw mut h.outputs[0], e), statistics!(writer));
    let other = h.writers[1];
    call!(
        "finish_into",
        bywash_writer_finish_into(other, &raw const sink, &raw mut h.outputs[1], e),
        statistics!(other)
    );
    call!("cancel", bywash_writer_cancel(other, e), statistics!(other));
    call!(
        "output_open",
        bywash_output_open(h.task, path.as_ptr(), 0, &raw mut h.outputs[2], e),
        Some(open(h.task))
    );
    let output = h.outputs[2];
    call!(
        "attempt",
        bywash_output_attempt(output, &raw mut number, e),
        Some(bywash_output_partitions(output, &raw mut count, null_mut()))
    );
    call!(
        "partitions",
        bywash_output_partitions(output, &raw mut count, e),
        Some(bywash_output_partitions(output, &raw mut count, null_mut()))
    );
    call!(
        "partition",
        bywash_output_partition(output, 0, &raw mut partition, e),
        Some(bywash_output_partitions(output, &raw mut count, null_mut()))
    );
    call!(
        "read",
        bywash_output_read(output, h.task, 0, &raw mut h.stream, e),
        Some(bywash_output_partitions(output, &raw mut count, null_mut()))
    );
    drain(calls, &mut h.stream)?;
    let mut reason = null_mut();
    call!("stream_error", bywash_stream_error(&raw const h.stream, &raw mut reason, e), None);
    assert!(reason.is_null());

    // Damage: a stream that fails with a text.
    for entry in dir.path().read_dir().unwrap().map(|entry| entry.unwrap().path()) {
        if entry.extension().is_some_and(|extension| extension == "data") {
            let len = entry.metadata().unwrap().len();
            fs::write(&entry, vec![0xa5; usize::try_from(len).unwrap()]).unwrap();
        }
    }
    h.stream = FFI_ArrowArrayStream::empty();
    call!("read", bywash_output_read(output, h.task, 0, &raw mut h.stream, e), None);
    let mut array = FFI_ArrowArray::empty();
    // SAFETY: a live stream.
    assert_ne!(unsafe { get_next(&raw mut h.stream, &raw mut array) }, 0);
    // SAFETY: as above.
    let text = unsafe { get_last_error(&raw mut h.stream) };
    // SAFETY: NULL, or the stream's text.
    assert!(text.is_null() || unsafe { CStr::from_ptr(text) }.to_str().is_ok());
    // SAFETY: a live stream, and a place for its error.
    let code = unsafe { bywash_stream_error(&raw const h.stream, &raw mut reason, e) };
    // SAFETY: NULL or an error.
    let known = unsafe { bywash_error_code(reason) };
    // A panic in any of these leaves the number it was to give, or none.
    assert!([BYWASH_OK, BYWASH_INTERNAL].contains(&code), "{code}");
    assert!([0, BYWASH_CORRUPT, BYWASH_INTERNAL].contains(&known), "{known}");
    taken(&mut reason);
    taken(&mut error);
    call!(
        "output_remove",
        bywash_output_remove(context, path.as_ptr(), 0, null(), e),
        Some(explain(&mut json))
    );
    Ok(())
}

/// A call that is refused, and all that can be asked of an error. A panic in one of these gives what
/// NULL gives, and takes nothing else along.
fn check_refusal(options: *mut bywash_options) -> Result<(), String> {
    let mut error = null_mut();
    // SAFETY: a live handle, strings, and a place for an error.
    let code = unsafe {
        bywash_options_set(options, c"codec".as_ptr(), c"none such".as_ptr(), &raw mut error)
    };
    if code == BYWASH_INTERNAL {
        return Err(taken(&mut error));
    }
    assert_eq!(code, BYWASH_INVALID_ARGUMENT);
    let mut row = 1;
    // SAFETY: NULL or an error; a string and a place for a number.
    let answers = unsafe {
        [
            bywash_error_code(error),
            bywash_error_action(error),
            bywash_error_figure(error, c"row".as_ptr(), &raw mut row),
        ]
    };
    assert!([code, 0].contains(&answers[0]), "{answers:?}");
    assert!(answers[1] <= BYWASH_ACTION_RETRY_TASK && row == 0, "{answers:?}");
    taken(&mut error);
    Ok(())
}

/// Reads through the callbacks of the stream itself.
fn drain(calls: &mut Vec<&'static str>, stream: &mut FFI_ArrowArrayStream) -> Result<(), String> {
    let stream = std::ptr::from_mut(stream);
    let failed = |code: i32| {
        assert_ne!(code, 0);
        let mut reason = null_mut();
        // SAFETY: a live stream, and a place for its error.
        let told = unsafe { bywash_stream_error(stream, &raw mut reason, null_mut()) };
        assert_eq!(told, BYWASH_OK);
        // SAFETY: NULL or an error.
        assert_eq!(unsafe { bywash_error_code(reason) }, BYWASH_INTERNAL);
        let message = taken(&mut reason);
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: a live stream that failed answers the same again.
        assert_ne!(unsafe { get_next(stream, &raw mut array) }, 0);
        Err(message)
    };
    calls.push("get_schema");
    let mut schema = FFI_ArrowSchema::empty();
    // SAFETY: a live stream.
    let code = unsafe { get_schema(stream, &raw mut schema) };
    if code != 0 {
        return failed(code);
    }
    loop {
        calls.push("get_next");
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: as above.
        let code = unsafe { get_next(stream, &raw mut array) };
        if code != 0 {
            return failed(code);
        }
        if array.is_released() {
            return Ok(());
        }
    }
}

unsafe fn get_schema(stream: *mut FFI_ArrowArrayStream, out: *mut FFI_ArrowSchema) -> i32 {
    // SAFETY: the interface's first field.
    let call = unsafe {
        stream
            .cast::<unsafe extern "C" fn(*mut FFI_ArrowArrayStream, *mut FFI_ArrowSchema) -> i32>()
            .read()
    };
    // SAFETY: the caller's promise.
    unsafe { call(stream, out) }
}

unsafe fn get_next(stream: *mut FFI_ArrowArrayStream, out: *mut FFI_ArrowArray) -> i32 {
    // SAFETY: the interface's second field.
    let call = unsafe {
        stream
            .cast::<unsafe extern "C" fn(*mut FFI_ArrowArrayStream, *mut FFI_ArrowArray) -> i32>()
            .add(1)
            .read()
    };
    // SAFETY: the caller's promise.
    unsafe { call(stream, out) }
}

unsafe fn get_last_error(stream: *mut FFI_ArrowArrayStream) -> *const c_char {
    // SAFETY: the interface's third field.
    let call = unsafe {
        stream
            .cast::<unsafe extern "C" fn(*mut FFI_ArrowArrayStream) -> *const c_char>()
            .add(2)
            .read()
    };
    // SAFETY: the caller's promise.
    unsafe { call(stream) }
}

fn unsafe_explain(context: *const bywash_context, json: &mut *mut c_char) -> i32 {
    // SAFETY: a live context.
    unsafe { bywash_explain(context, json, null_mut()) }
}

fn free_string(json: &mut *mut c_char) {
    // SAFETY: given by the library.
    unsafe { bywash_string_free(std::mem::replace(json, null_mut())) }
}

fn taken(error: &mut *mut bywash_error) -> String {
    let error = std::mem::replace(error, null_mut());
    // SAFETY: NULL or given by the library.
    let message = unsafe { CStr::from_ptr(bywash_error_message(error)) };
    let message = message.to_str().unwrap().to_owned();
    // SAFETY: as above; used no more.
    unsafe { bywash_error_free(error) };
    message
}

fn batch(schema: &SchemaRef) -> RecordBatch {
    let keys = Int64Array::from_iter_values(0..1000);
    RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(keys)]).unwrap()
}

fn array(schema: &SchemaRef) -> FFI_ArrowArray {
    FFI_ArrowArray::new(&StructArray::from(batch(schema)).into_data())
}
