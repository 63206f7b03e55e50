//! Arrow streams, out to the caller and in from it.

use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{RecordBatch, RecordBatchReader};
use arrow_schema::{ArrowError, SchemaRef};
use bywash::{Error, ErrorKind, PartitionReader};

use crate::call::{injected, panic_error};
use crate::fork::ForkMark;

pub(crate) mod pull;

/// A reader as a stream for C. Its callbacks are Arrow's own; the guard is below them.
pub(crate) fn export(reader: PartitionReader, mark: &Arc<ForkMark>) -> FFI_ArrowArrayStream {
    let schema = SchemaRef::clone(reader.schema());
    let reader = ManuallyDrop::new(reader);
    let guarded = Guarded { reader, schema, mark: Arc::clone(mark), failed: false };
    FFI_ArrowArrayStream::new(Box::new(guarded))
}

/// A reader whose panics are errors, and that does nothing in a forked child.
struct Guarded {
    /// Dropped by hand: never in a forked child.
    reader: ManuallyDrop<PartitionReader>,
    schema: SchemaRef,
    mark: Arc<ForkMark>,
    failed: bool,
}

impl Iterator for Guarded {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.mark.is_in_child() {
            return Some(Err(as_arrow(&IN_CHILD)));
        }
        if self.failed {
            return Some(Err(as_arrow(&FAILED)));
        }
        let next = catch_unwind(AssertUnwindSafe(|| {
            injected::panic_if_asked();
            self.reader.next()
        }));
        let next = next.unwrap_or_else(|payload| Some(Err(panic_error(payload))));
        next.map(|batch| {
            batch.map_err(|error| {
                // After the first error nothing more can be believed.
                self.failed = error.kind() != ErrorKind::BudgetHeldByCaller;
                as_arrow(&error)
            })
        })
    }
}

impl RecordBatchReader for Guarded {
    fn schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.schema)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if !self.mark.is_in_child() {
            let reader = AssertUnwindSafe(&mut self.reader);
            drop(catch_unwind(move || drop_reader(reader)));
        }
    }
}

#[expect(unsafe_code, reason = "a reader is dropped by hand so that a forked child does not")]
fn drop_reader(mut reader: AssertUnwindSafe<&mut ManuallyDrop<PartitionReader>>) {
    // SAFETY: called once, from the owner's drop; nobody uses the reader afterwards.
    unsafe { ManuallyDrop::drop(&mut reader) }
}

/// As what Arrow turns into `ENOMEM`, `EIO`, `ENOSYS` or `EINVAL`, without NULs inside.
fn as_arrow(error: &Error) -> ArrowError {
    let text = error.to_string().replace('\0', " ");
    match error.kind() {
        ErrorKind::MemoryLimit | ErrorKind::BudgetHeldByCaller => ArrowError::MemoryError(text),
        ErrorKind::Unsupported => ArrowError::NotYetImplemented(text),
        ErrorKind::Io
        | ErrorKind::NoSpace
        | ErrorKind::Corrupt
        | ErrorKind::NotFound
        | ErrorKind::Unavailable => ArrowError::IoError(text.clone(), std::io::Error::other(text)),
        _ => ArrowError::InvalidArgumentError(text),
    }
}

const IN_CHILD: Error = Error::new(
    ErrorKind::InvalidState,
    "this stream was made before a fork; a child makes its own",
);
const FAILED: Error =
    Error::new(ErrorKind::Poisoned, "an earlier batch of this stream failed; release it");
