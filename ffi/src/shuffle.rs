//! The shape of a shuffle.

#![expect(unsafe_code, reason = "pointers come from C")]

use std::ptr;
use std::sync::Arc;

use arrow_array::ffi::FFI_ArrowSchema;
use bywash::{Partitioning, ShuffleSpec, minimum_budget};

use crate::call;
use crate::error::bywash_error;
use crate::fork::ForkMark;
use crate::handle::{self, Opaque};
use crate::input;
use crate::options::bywash_options;

/// What a shuffle writes: schema, partitions, placement, codec. Any thread at any time.
#[derive(Debug)]
pub struct bywash_shuffle(());

impl Opaque for bywash_shuffle {
    type Value = Shuffle;
}

#[derive(Debug, Clone)]
pub(crate) struct Shuffle {
    pub(crate) spec: ShuffleSpec,
    pub(crate) validate: bool,
}

/// Describes a shuffle of rows of `schema` (a struct of columns; consumed, whatever comes of it) into
/// `partitions` from 1 to 16777216. With `hash_columns`, the indexes of columns, rows go where Spark puts
/// them; with none, each push brings a partition id for each row. Of `options`, which may be NULL,
/// `codec` and `validate` count.
///
/// Errors: `UNSUPPORTED` for a type that cannot be shuffled or hashed; `INVALID_ARGUMENT`.
///
/// # Safety
/// `schema` points to a valid `ArrowSchema`; `hash_columns` to `hash_columns_len` numbers; `options` is
/// NULL or a live handle; `out` points to a place for a pointer; `error_out` too, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_shuffle_new(
    schema: *mut FFI_ArrowSchema,
    partitions: u32,
    hash_columns: *const u32,
    hash_columns_len: usize,
    options: *const bywash_options,
    out: *mut *mut bywash_shuffle,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let schema = input::Moved::schema(schema);
        let out = call::output(out, ptr::null_mut());
        call::free_standing(error_out, || {
            let out = out.present()?;
            let columns = input::slice(hash_columns, hash_columns_len)?;
            let settings = bywash_options::settings(options)?;
            let partitioning = if columns.is_empty() {
                Partitioning::Ids
            } else {
                Partitioning::Hash(columns.iter().map(|column| *column as usize).collect())
            };
            let spec = ShuffleSpec::new(schema.into_schema()?, partitions, partitioning)?
                .with_codec(settings.codec);
            let mark = Arc::new(ForkMark::try_new()?);
            out.set(handle::into_raw(Shuffle { spec, validate: settings.validate }, &mark));
            Ok(())
        })
    }
}

/// The least capacity with which `tasks` tasks write this shuffle at once, in bytes.
///
/// # Safety
/// `shuffle` is a live handle; `bytes_out` points to a place for a number; `error_out` is NULL or points
/// to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_shuffle_minimum_budget(
    shuffle: *const bywash_shuffle,
    tasks: usize,
    bytes_out: *mut u64,
    error_out: *mut *mut bywash_error,
) -> i32 {
    // SAFETY: the caller's promises.
    unsafe {
        let out = call::output(bytes_out, 0);
        call::on(shuffle, error_out, |handle| {
            let out = out.present()?;
            out.set(minimum_budget(&handle.value().spec, tasks)?);
            Ok(())
        })
    }
}

/// Frees the description of a shuffle; NULL is fine.
///
/// # Safety
/// `shuffle` is NULL or a live handle that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bywash_shuffle_free(shuffle: *mut bywash_shuffle) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(shuffle) }
}
