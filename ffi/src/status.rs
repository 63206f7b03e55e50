//! Status codes, and what each tells a host to do.

use bywash::{Error, ErrorKind};

/// What every fallible function returns when it did what was asked.
pub const BYWASH_OK: i32 = 0;
/// An argument is wrong; the message says what would be right.
pub const BYWASH_INVALID_ARGUMENT: i32 = ErrorKind::InvalidArgument as i32;
/// The object is in a state that does not allow the call: finished, in use by another thread, or made
/// before a fork.
pub const BYWASH_INVALID_STATE: i32 = ErrorKind::InvalidState as i32;
/// A type, filesystem or option that this version does not support.
pub const BYWASH_UNSUPPORTED: i32 = ErrorKind::Unsupported as i32;
/// The memory budget does not hold what was asked for.
pub const BYWASH_MEMORY_LIMIT: i32 = ErrorKind::MemoryLimit as i32;
/// The filesystem is full.
pub const BYWASH_NO_SPACE: i32 = ErrorKind::NoSpace as i32;
/// An operating system call failed.
pub const BYWASH_IO: i32 = ErrorKind::Io as i32;
/// Bytes read are not what was written.
pub const BYWASH_CORRUPT: i32 = ErrorKind::Corrupt as i32;
/// A file, map output or partition does not exist.
pub const BYWASH_NOT_FOUND: i32 = ErrorKind::NotFound as i32;
/// Something that may come back: a directory, a service.
pub const BYWASH_UNAVAILABLE: i32 = ErrorKind::Unavailable as i32;
/// The work was cancelled.
pub const BYWASH_CANCELLED: i32 = ErrorKind::Cancelled as i32;
/// An earlier failure left the handle unusable; free it.
pub const BYWASH_POISONED: i32 = ErrorKind::Poisoned as i32;
/// A defect in this library; the handle is unusable.
pub const BYWASH_INTERNAL: i32 = ErrorKind::Internal as i32;
/// A byte quota of the spill or output directories is used up.
pub const BYWASH_QUOTA: i32 = ErrorKind::Quota as i32;
/// The reader needs memory that its own caller holds in batches it was given; release some.
pub const BYWASH_BUDGET_HELD_BY_CALLER: i32 = ErrorKind::BudgetHeldByCaller as i32;

/// The call was wrong: fix the program or its configuration; a retry will not help.
pub const BYWASH_ACTION_FAIL_JOB: i32 = 1;
/// This attempt failed: free its handles and run the task again as a new attempt.
pub const BYWASH_ACTION_RETRY_TASK: i32 = 2;
/// A map output is damaged or gone: report it as a fetch failure, so that the map runs again.
pub const BYWASH_ACTION_REPORT_FETCH_FAILURE: i32 = 3;
/// Release memory (batches, other tasks) and call again; the handle is as it was.
pub const BYWASH_ACTION_RELEASE_MEMORY: i32 = 4;
/// The host asked for it: nothing to do.
pub const BYWASH_ACTION_NONE: i32 = 5;

/// What the host is to do about an error.
pub(crate) const fn action_of(kind: ErrorKind) -> i32 {
    match kind {
        ErrorKind::MemoryLimit
        | ErrorKind::NoSpace
        | ErrorKind::Io
        | ErrorKind::Unavailable
        | ErrorKind::Quota
        | ErrorKind::Poisoned
        | ErrorKind::Internal => BYWASH_ACTION_RETRY_TASK,
        ErrorKind::Corrupt | ErrorKind::NotFound => BYWASH_ACTION_REPORT_FETCH_FAILURE,
        ErrorKind::BudgetHeldByCaller => BYWASH_ACTION_RELEASE_MEMORY,
        ErrorKind::Cancelled => BYWASH_ACTION_NONE,
        _ => BYWASH_ACTION_FAIL_JOB,
    }
}

/// The code of an error.
pub(crate) fn code_of(error: &Error) -> i32 {
    error.kind() as i32
}

/// The kind a host's callback answered with; what it does not know counts as unavailable.
pub(crate) fn kind_of(code: i32) -> ErrorKind {
    const KINDS: [ErrorKind; 14] = [
        ErrorKind::InvalidArgument,
        ErrorKind::InvalidState,
        ErrorKind::Unsupported,
        ErrorKind::MemoryLimit,
        ErrorKind::NoSpace,
        ErrorKind::Io,
        ErrorKind::Corrupt,
        ErrorKind::NotFound,
        ErrorKind::Unavailable,
        ErrorKind::Cancelled,
        ErrorKind::Poisoned,
        ErrorKind::Internal,
        ErrorKind::Quota,
        ErrorKind::BudgetHeldByCaller,
    ];
    KINDS.into_iter().find(|kind| *kind as i32 == code).unwrap_or(ErrorKind::Unavailable)
}
