//! What is allocated around a batch for C is charged with it: of many columns and few rows it is most.

#![expect(unsafe_code, reason = "a test of the C interface, from Rust")]
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod counting;

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
    // SAFETY: the interface's second field; Arrow's newest versions hide it.
    let [_, get_next] = unsafe { (&raw const stream).cast::<[GetNext; 2]>().read() };
    let mut first = FFI_ArrowArray::empty();
    // SAFETY: a live stream, and a place for an array.
    let code = unsafe { get_next(&raw mut stream, &raw mut first) };
    assert!(code == 0 && !first.is_released());
    look(context, first);
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
    let mut json = null_mut();
    ok!(bywash_explain, context, &raw mut json);
    // SAFETY: a string of the library.
    let text = unsafe { CStr::from_ptr(json) }.to_str().unwrap();
    let (_, figure) = text.split_once("\"exported_bytes\":").unwrap();
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

/// The interface lets a consumer keep some children and release the rest with their parent.
#[test]
fn columns_moved_away_live_longer_than_their_batch() {
    let batch = batch(5);
    read_back(&batch, |context, mut array| {
        // SAFETY: the struct that the interface lays out.
        let children = unsafe { (&raw mut array).cast::<Fields>().read() }.children;
        let moved: Vec<FFI_ArrowArray> = [3, 0]
            .into_iter()
            .map(|index| {
                // SAFETY: there are five.
                let child = unsafe { children.add(index).read() };
                // SAFETY: a live child; it is left released.
                unsafe { FFI_ArrowArray::from_raw(child) }
            })
            .collect();
        // SAFETY: there are five.
        let child = unsafe { children.add(4).read() };
        // SAFETY: a live child, released before its parent.
        drop(unsafe { FFI_ArrowArray::from_raw(child) });
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
