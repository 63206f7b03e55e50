//! What is allocated around a batch for C is charged with it: of many columns and few rows it is most.

#![expect(unsafe_code, reason = "a test of the C interface, from Rust")]
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod counting;

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::ptr::{null, null_mut};
use std::sync::Arc;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field, Schema};
use bywash_ffi::*;

type GetNext = unsafe extern "C" fn(*mut FFI_ArrowArrayStream, *mut FFI_ArrowArray) -> i32;

/// `ArrowArray`, as far as this test looks.
#[repr(C)]
struct Fields {
    numbers: [i64; 5],
    buffers: usize,
    children: *mut *mut FFI_ArrowArray,
}

macro_rules! ok {
    ($function:ident, $($argument:expr),*) => {{
        let mut error = null_mut();
        // SAFETY: live handles and places for results.
        let code = unsafe { $function($($argument),*, &raw mut error) };
        // SAFETY: NULL or an error of the library.
        let message = unsafe { CStr::from_ptr(bywash_error_message(error)) };
        assert_eq!(code, BYWASH_OK, "{}: {message:?}", stringify!($function));
    }};
}

/// Writes `batch` and hands `look` the context and the first batch of it that comes back.
fn read_back(batch: &RecordBatch, look: impl FnOnce(*mut bywash_context, FFI_ArrowArray)) {
    read_stream(batch, |context, stream| {
        // SAFETY: the interface's second field; Arrow's newest versions hide it.
        let [_, get_next] = unsafe { (&raw const *stream).cast::<[GetNext; 2]>().read() };
        let mut first = FFI_ArrowArray::empty();
        // SAFETY: a live stream, and a place for an array.
        let code = unsafe { get_next(stream, &raw mut first) };
        assert!(code == 0 && !first.is_released());
        look(context, first);
    });
}

/// Writes `batch` and hands `look` the context and a stream of it.
fn read_stream(
    batch: &RecordBatch,
    look: impl FnOnce(*mut bywash_context, &mut FFI_ArrowArrayStream),
) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = CString::new(dir.path().to_str().unwrap()).unwrap();
    let (mut options, mut context, mut task) = (null_mut(), null_mut(), null_mut());
    let (mut shuffle, mut writer, mut output) = (null_mut(), null_mut(), null_mut());
    let mut minimum = 0;
    let mut schema = FFI_ArrowSchema::try_from(batch.schema().as_ref()).unwrap();
    let mut stream = FFI_ArrowArrayStream::empty();
    ok!(bywash_options_new, &raw mut options);
    ok!(bywash_options_set, options, c"spill.dirs".as_ptr(), path.as_ptr());
    ok!(bywash_options_set, options, c"spill.memory_backed".as_ptr(), c"unaccounted".as_ptr());
    ok!(bywash_context_new, options, null(), &raw mut context);
    ok!(bywash_shuffle_new, &raw mut schema, 1, null(), 0, options, &raw mut shuffle);
    ok!(bywash_shuffle_minimum_budget, shuffle, 1, &raw mut minimum);
    ok!(bywash_task_new, context, minimum, &raw mut task);
    ok!(bywash_writer_new, shuffle, task, path.as_ptr(), 1, 0, &raw mut writer);
    let ids = vec![0u32; batch.num_rows()];
    let mut array = FFI_ArrowArray::new(&StructArray::from(batch.clone()).into_data());
    ok!(bywash_writer_push, writer, &raw mut array, ids.as_ptr(), ids.len());
    ok!(bywash_writer_finish, writer, &raw mut output);
    ok!(bywash_output_read, output, task, 0, &raw mut stream);
    look(context, &mut stream);
    drop(stream);
    // SAFETY: live handles, used no more; so are all below.
    unsafe { bywash_output_free(output) };
    // SAFETY: as above.
    unsafe { bywash_writer_free(writer) };
    // SAFETY: as above.
    unsafe { bywash_task_free(task) };
    // SAFETY: as above.
    unsafe { bywash_shuffle_free(shuffle) };
    // SAFETY: as above.
    unsafe { bywash_context_free(context) };
    // SAFETY: as above.
    unsafe { bywash_options_free(options) };
}

/// Bytes charged for batches that are out.
fn exported(context: *mut bywash_context) -> i64 {
    figure(context, "exported_bytes")
}

/// A figure of the context's explanation: the first of that name.
fn figure(context: *mut bywash_context, name: &str) -> i64 {
    let mut json = null_mut();
    ok!(bywash_explain, context, &raw mut json);
    // SAFETY: a string of the library.
    let text = unsafe { CStr::from_ptr(json) }.to_str().unwrap();
    let (_, figure) = text.split_once(&format!("\"{name}\":")).unwrap();
    let digits: String = figure.chars().take_while(char::is_ascii_digit).collect();
    let bytes = digits.parse().unwrap();
    // SAFETY: given by the library, used no more.
    unsafe { bywash_string_free(json) };
    bytes
}

fn batch(columns: usize) -> RecordBatch {
    let column = |index: usize| -> (Field, ArrayRef) {
        let name = format!("c{index}");
        match index % 2 {
            0 => (
                Field::new(name, DataType::Int64, true),
                Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
            ),
            _ => (
                Field::new(name, DataType::Utf8, false),
                Arc::new(StringArray::from(vec!["a", "", "ccc"])),
            ),
        }
    };
    let (fields, arrays): (Vec<_>, Vec<_>) = (0..columns).map(column).unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

#[test]
fn what_is_around_a_batch_is_charged() {
    for columns in [1, 2, 10, 300] {
        let batch = batch(columns);
        read_back(&batch, |context, array| {
            let charged = exported(context);
            let freed = -counting::counted(|| drop(array)).held;
            // A block of a page or more is mapped, and not seen by the counting.
            assert!(freed <= charged, "{columns} columns: {charged} of {freed} bytes were charged");
            assert!(freed > 200 * i64::try_from(columns).unwrap(), "it counts: {freed}");
            assert_eq!(exported(context), 0);
        });
        read_back(&batch, |context, array| {
            let fields = DataType::Struct(batch.schema().fields().clone());
            // SAFETY: the library's own array.
            let data = unsafe { from_ffi_and_data_type(array, fields) }.unwrap();
            assert_eq!(RecordBatch::from(StructArray::from(data)), batch);
            assert_eq!(exported(context), 0);
        });
    }
}

/// What a schema takes is charged to the task; a little more, for Arrow's insides differ.
#[test]
fn a_schema_is_charged_until_it_is_released() {
    let metadata = HashMap::from([("key".to_owned(), "v".repeat(1000))]);
    for columns in [1, 300] {
        let plain = batch(columns);
        let schema = plain.schema().as_ref().clone().with_metadata(metadata.clone());
        let batch = RecordBatch::try_new(Arc::new(schema), plain.columns().to_vec()).unwrap();
        read_stream(&batch, |context, stream| {
            type GetSchema =
                unsafe extern "C" fn(*mut FFI_ArrowArrayStream, *mut FFI_ArrowSchema) -> i32;
            // SAFETY: the interface's first field.
            let get_schema = unsafe { (&raw const *stream).cast::<GetSchema>().read() };
            let before = figure(context, "granted_bytes");
            let mut schema = FFI_ArrowSchema::empty();
            // SAFETY: a live stream, and a place for a schema.
            assert_eq!(unsafe { get_schema(stream, &raw mut schema) }, 0);
            assert_eq!(&Schema::try_from(&schema).unwrap(), batch.schema().as_ref());
            let charged = figure(context, "granted_bytes") - before;
            let freed = -counting::counted(|| drop(schema)).held;
            assert!(freed <= charged && charged < 2 * freed + 4096, "{charged} for {freed}");
            assert_eq!(figure(context, "granted_bytes"), before);
        });
    }
}

/// The interface lets a consumer keep some children and release the rest with their parent.
#[test]
fn columns_moved_away_live_longer_than_their_batch() {
    let batch = batch(5);
    read_back(&batch, |context, mut array| {
        // SAFETY: the struct that the interface lays out.
        let children = unsafe { (&raw mut array).cast::<Fields>().read() }.children;
        // SAFETY: there are five.
        let children = unsafe { std::slice::from_raw_parts(children, 5) };
        let moved: Vec<FFI_ArrowArray> = [3, 0]
            .into_iter()
            .map(|index| {
                // SAFETY: a live child; it is left released.
                unsafe { FFI_ArrowArray::from_raw(children[index]) }
            })
            .collect();
        // SAFETY: a live child, released before its parent.
        drop(unsafe { FFI_ArrowArray::from_raw(children[4]) });
        drop(array);
        assert!(exported(context) > 0);
        for (array, index) in moved.into_iter().zip([3, 0]) {
            let data_type = batch.column(index).data_type().clone();
            // SAFETY: the library's own array.
            let data = unsafe { from_ffi_and_data_type(array, data_type) }.unwrap();
            assert_eq!(data, batch.column(index).to_data());
        }
        assert_eq!(exported(context), 0);
    });
}
