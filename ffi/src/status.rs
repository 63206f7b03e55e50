//! Status codes, and what each tells a host to do.

use bywash::{Error, ErrorKind};

/// What every fallible function returns when it did what was asked.
pub const BYWASH_OK: i32 = 0;
/// An argument is wrong; the message says what would be right.
pub const BYWASH_INVALID_ARGUMENT: i32 = 1;
/// The object is in a state that does not allow the call: finished, in use by another thread, or made
/// before a fork.
pub const BYWASH_INVALID_STATE: i32 = 2;
/// A type, filesystem or option that this version does not support.
pub const BYWASH_UNSUPPORTED: i32 = 3;
/// The memory budget does not hold what was asked for.
pub const BYWASH_MEMORY_LIMIT: i32 = 4;
/// The filesystem is full.
pub const BYWASH_NO_SPACE: i32 = 5;
/// An operating system call failed.
pub const BYWASH_IO: i32 = 6;
/// Bytes read are not what was written.
pub const BYWASH_CORRUPT: i32 = 7;
/// A file, map output or partition does not exist.
pub const BYWASH_NOT_FOUND: i32 = 8;
/// Something that may come back: a directory, a service.
pub const BYWASH_UNAVAILABLE: i32 = 9;
/// The work was cancelled.
pub const BYWASH_CANCELLED: i32 = 10;
/// An earlier failure left the handle unusable; free it.
pub const BYWASH_POISONED: i32 = 11;
/// A defect in this library; the handle is unusable.
pub const BYWASH_INTERNAL: i32 = 12;
/// A byte quota of the spill or output directories is used up; the disk is not full.
pub const BYWASH_QUOTA: i32 = 13;
/// The reader needs memory that its own caller holds in batches it was given.
pub const BYWASH_BUDGET_HELD_BY_CALLER: i32 = 14;

/// The call was wrong, and would be again: fail the job and mend the program or its configuration.
pub const BYWASH_ACTION_FAIL_JOB: i32 = 1;
/// This attempt failed: free its handles and run the task again, as a new attempt.
pub const BYWASH_ACTION_RETRY_TASK: i32 = 2;
/// A map output is damaged, unreadable or gone: report a fetch failure, so that its map runs again.
pub const BYWASH_ACTION_REPORT_FETCH_FAILURE: i32 = 3;
/// Release batches that were read, then read the partition again from its beginning.
pub const BYWASH_ACTION_RELEASE_BATCHES: i32 = 4;
/// The host asked for it: nothing to do.
pub const BYWASH_ACTION_NONE: i32 = 5;

/// Whose bytes a call reads: the same damage means another task in one case than in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// What the task made itself: its spills, its output.
    Own,
    /// A committed map output.
    MapOutput,
}

/// What the host is to do about an error.
pub(crate) const fn action_of(kind: ErrorKind, source: Source) -> i32 {
    match (kind, source) {
        (ErrorKind::Cancelled, _) => BYWASH_ACTION_NONE,
        (ErrorKind::BudgetHeldByCaller, _) => BYWASH_ACTION_RELEASE_BATCHES,
        (ErrorKind::InvalidArgument | ErrorKind::InvalidState | ErrorKind::Unsupported, _) => {
            BYWASH_ACTION_FAIL_JOB
        }
        // Whoever reads on a bad disk would fail again; only the map can write it elsewhere.
        (ErrorKind::Corrupt | ErrorKind::NotFound | ErrorKind::Io, Source::MapOutput) => {
            BYWASH_ACTION_REPORT_FETCH_FAILURE
        }
        _ => BYWASH_ACTION_RETRY_TASK,
    }
}

/// The code of an error.
pub(crate) fn code_of(error: &Error) -> i32 {
    error.kind() as i32
}

/// The kind a host's callback answered with; what it does not know counts as unavailable.
pub(crate) fn kind_of(code: i32) -> ErrorKind {
    let known = CODES.iter().find(|(known, _)| *known == code);
    known.map_or(ErrorKind::Unavailable, |(_, kind)| *kind)
}

const CODES: [(i32, ErrorKind); 14] = [
    (BYWASH_INVALID_ARGUMENT, ErrorKind::InvalidArgument),
    (BYWASH_INVALID_STATE, ErrorKind::InvalidState),
    (BYWASH_UNSUPPORTED, ErrorKind::Unsupported),
    (BYWASH_MEMORY_LIMIT, ErrorKind::MemoryLimit),
    (BYWASH_NO_SPACE, ErrorKind::NoSpace),
    (BYWASH_IO, ErrorKind::Io),
    (BYWASH_CORRUPT, ErrorKind::Corrupt),
    (BYWASH_NOT_FOUND, ErrorKind::NotFound),
    (BYWASH_UNAVAILABLE, ErrorKind::Unavailable),
    (BYWASH_CANCELLED, ErrorKind::Cancelled),
    (BYWASH_POISONED, ErrorKind::Poisoned),
    (BYWASH_INTERNAL, ErrorKind::Internal),
    (BYWASH_QUOTA, ErrorKind::Quota),
    (BYWASH_BUDGET_HELD_BY_CALLER, ErrorKind::BudgetHeldByCaller),
];

/// The header's numbers are literals; they are the library's.
const _: () = {
    let mut at = 0;
    while at < CODES.len() {
        assert!(CODES[at].0 == CODES[at].1 as i32, "a code is its kind's number");
        at += 1;
    }
};
