//! Columns that do not lie as Arrow's types must: only the rows are copied, and they are charged.

#![expect(unsafe_code, reason = "a test of the C interface, from Rust")]
#![expect(clippy::unwrap_used, clippy::cast_possible_wrap, reason = "a test stops where it fails")]

mod counting;

use std::ffi::{CStr, CString, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use arrow_array::cast::AsArray;
use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::types::{Decimal128Type, Int64Type};
use arrow_array::{Array, RecordBatch, StructArray};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, Schema};
use bywash_ffi::*;

/// Rows before the first one of the slice: no multiple of 8.
const BEFORE: usize = 4 << 20 | 3;
/// 64 MiB of decimals.
const ALL: usize = BEFORE + 100;

/// Bytes lent by the host now, and at most.
struct Lent {
    now: AtomicI64,
    peak: AtomicI64,
}

unsafe extern "C" fn acquire(lent: *mut c_void, bytes: u64) -> i64 {
    // SAFETY: the figures of run.
    let lent = unsafe { &*lent.cast::<Lent>() };
    let bytes = bytes.min(1 << 40).cast_signed();
    lent.peak.fetch_max(lent.now.fetch_add(bytes, SeqCst) + bytes, SeqCst);
    bytes
}

unsafe extern "C" fn release(lent: *mut c_void, bytes: u64) {
    // SAFETY: as above.
    unsafe { &*lent.cast::<Lent>() }.now.fetch_sub(bytes.cast_signed(), SeqCst);
}

/// What a push did to memory.
#[derive(Debug)]
struct Pushed {
    allocated: i64,
    lent: i64,
}

/// Pushes `length` rows from `offset` on of columns `key` (8 bytes), `price` (16 bytes) and `text`, each
/// lying `shift` bytes beside a multiple of 64, and reads them back.
fn push(shift: usize, all: usize, offset: usize, length: usize, validate: &CStr) -> Pushed {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = CString::new(dir.path().to_str().unwrap()).unwrap();
    let schema = Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("price", DataType::Decimal128(38, 2), false),
        Field::new("text", DataType::Utf8, true),
    ]);
    let lent = Lent { now: AtomicI64::new(0), peak: AtomicI64::new(0) };
    let host = bywash_host {
        struct_size: u32::try_from(size_of::<bywash_host>()).unwrap(),
        reserved: 0,
        context: (&raw const lent).cast_mut().cast(),
        acquire: Some(acquire),
        release: Some(release),
        destroy: None,
        log: None,
    };
    let (mut options, mut context, mut task) = (null_mut(), null_mut(), null_mut());
    let (mut shuffle, mut writer, mut output) = (null_mut(), null_mut(), null_mut());
    let mut minimum = 0;
    let mut c_schema = FFI_ArrowSchema::try_from(&schema).unwrap();
    let mut stream = FFI_ArrowArrayStream::empty();
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
    ok!(bywash_options_new, &raw mut options);
    ok!(bywash_options_set, options, c"spill.dirs".as_ptr(), path.as_ptr());
    ok!(bywash_options_set, options, c"spill.memory_backed".as_ptr(), c"unaccounted".as_ptr());
    ok!(bywash_options_set, options, c"validate".as_ptr(), validate.as_ptr());
    ok!(bywash_context_new, options, &raw const host, &raw mut context);
    ok!(bywash_shuffle_new, &raw mut c_schema, 1, null(), 0, options, &raw mut shuffle);
    ok!(bywash_shuffle_minimum_budget, shuffle, 1, &raw mut minimum);
    ok!(bywash_task_new, context, minimum, &raw mut task);
    ok!(bywash_writer_new, shuffle, task, path.as_ptr(), 1, 0, &raw mut writer);

    let mut array = unaligned(&schema, shift, all, offset, length);
    let ids = vec![0u32; length];
    lent.peak.store(lent.now.load(SeqCst), SeqCst);
    let before = lent.now.load(SeqCst);
    let allocated = counting::counted(|| {
        ok!(bywash_writer_push, writer, &raw mut array, ids.as_ptr(), length);
    })
    .peak;
    let lent_more = lent.peak.load(SeqCst) - before;

    ok!(bywash_writer_finish, writer, &raw mut output);
    ok!(bywash_output_read, output, task, 0, &raw mut stream);
    let rows = rows_of(stream, &schema);
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
    check(&rows, offset, length);
    drop(rows);
    assert_eq!(lent.now.load(SeqCst), 0, "all that was lent comes back");
    Pushed { allocated, lent: lent_more }
}

/// All batches of a stream.
fn rows_of(mut stream: FFI_ArrowArrayStream, schema: &Schema) -> Vec<RecordBatch> {
    type GetNext = unsafe extern "C" fn(*mut FFI_ArrowArrayStream, *mut FFI_ArrowArray) -> i32;
    // SAFETY: the interface's second field; Arrow's newest versions hide it.
    let [_, get_next] = unsafe { (&raw const stream).cast::<[GetNext; 2]>().read() };
    let mut batches = Vec::new();
    loop {
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: a live stream, and a place for an array.
        assert_eq!(unsafe { get_next(&raw mut stream, &raw mut array) }, 0);
        if array.is_released() {
            return batches;
        }
        let fields = DataType::Struct(schema.fields().clone());
        // SAFETY: the library's own array.
        let data = unsafe { from_ffi_and_data_type(array, fields) }.unwrap();
        batches.push(StructArray::from(data).into());
    }
}

/// A struct of columns whose rows are their number; every third key and every fifth text is null.
fn unaligned(
    schema: &Schema,
    shift: usize,
    all: usize,
    offset: usize,
    length: usize,
) -> FFI_ArrowArray {
    let beside = |bytes: Vec<u8>| {
        let mut moved = vec![0; shift];
        moved.extend(bytes);
        let buffer = Buffer::from(moved).slice(shift);
        assert_eq!(buffer.as_ptr().addr() % 64 % 16, shift % 16, "where the test wants it");
        buffer
    };
    let keys = beside((0..all as i64).flat_map(i64::to_le_bytes).collect());
    let prices = beside((0..all as i128).flat_map(i128::to_le_bytes).collect());
    let ends =
        beside((0..=i32::try_from(all).unwrap()).flat_map(|row| (row * 3).to_le_bytes()).collect());
    let text = Buffer::from((0..all).flat_map(|row| [letter(row); 3]).collect::<Vec<_>>());
    let nulls = |every: usize| {
        let mut bits = vec![0u8; all.div_ceil(8)];
        (0..all).filter(|row| row % every > 0).for_each(|row| bits[row / 8] |= 1 << (row % 8));
        Buffer::from(bits)
    };
    let column = |index: usize, validity: Option<Buffer>, buffers: Vec<Buffer>| {
        let data_type = schema.field(index).data_type().clone();
        let data =
            ArrayData::builder(data_type).len(all).null_bit_buffer(validity).buffers(buffers);
        // SAFETY: it goes to C, where nothing is aligned by promise.
        unsafe { data.build_unchecked() }
    };
    let children = vec![
        column(0, Some(nulls(3)), vec![keys]),
        column(1, None, vec![prices]),
        column(2, Some(nulls(5)), vec![ends, text]),
    ];
    let fields = DataType::Struct(schema.fields().clone());
    let data = ArrayData::builder(fields).len(length).offset(offset).child_data(children);
    // SAFETY: as above.
    FFI_ArrowArray::new(&unsafe { data.build_unchecked() })
}

/// The letter that a row's text is made of.
fn letter(row: usize) -> u8 {
    b"abcdefghijklmnopqrstuvwxyz"[row % 26]
}

fn check(batches: &[RecordBatch], offset: usize, length: usize) {
    let mut row = offset;
    for batch in batches {
        let keys = batch.column(0).as_primitive::<Int64Type>();
        let prices = batch.column(1).as_primitive::<Decimal128Type>();
        let texts = batch.column(2).as_string::<i32>();
        for at in 0..batch.num_rows() {
            let text = char::from(letter(row)).to_string().repeat(3);
            assert_eq!(
                keys.is_valid(at).then(|| keys.value(at)),
                (!row.is_multiple_of(3)).then_some(row as i64)
            );
            assert_eq!(prices.value(at), row as i128);
            assert_eq!(
                texts.is_valid(at).then(|| texts.value(at)),
                (!row.is_multiple_of(5)).then_some(&*text)
            );
            row += 1;
        }
    }
    assert_eq!(row, offset + length, "all rows");
}

/// 64 rows, 1 KiB of decimals, of columns of 32 and 64 MiB.
#[test]
fn a_small_slice_of_a_large_unaligned_column_costs_its_rows() {
    let pushed = push(1, ALL, BEFORE, 64, c"none");
    assert!(pushed.allocated < 1 << 20, "{pushed:?}");
    let pushed = push(8, ALL, BEFORE, 64, c"full");
    assert!(pushed.allocated < 1 << 20, "{pushed:?}");
}

#[test]
fn every_shift_and_offset_brings_the_right_rows() {
    for shift in [0, 1, 2, 3, 4, 7, 8, 9, 15] {
        for (offset, length) in [(0, 100), (1, 99), (7, 50), (8, 1), (9, 64), (63, 37)] {
            for validate in [c"none", c"full"] {
                push(shift, 100, offset, length, validate);
            }
        }
    }
}

/// What is copied is lent by the host before, and comes back.
#[test]
fn a_copy_is_charged() {
    let rows = 1 << 18;
    let aligned = push(0, rows, 0, rows, c"none");
    let unaligned = push(1, rows, 0, rows, c"none");
    let copies = (rows * (8 + 16 + 4)) as i64;
    assert!(unaligned.lent >= aligned.lent.max(copies), "{aligned:?} {unaligned:?}");
    assert!(unaligned.allocated >= copies, "the test sees allocations: {unaligned:?}");
}
