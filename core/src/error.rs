//! The one error type of the workspace.
//!
//! An [`Error`] can be made, cloned and returned without allocating: a spill or a finish must be
//! able to fail while every allocation is refused. Text that needs memory is added only by
//! [`Error::with_detail`], which paths that must not allocate never call.

use std::fmt;
use std::sync::Arc;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error. Numbers are stable and are the C status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(i32)]
pub enum ErrorKind {
    /// An argument is wrong; the message says what would be right.
    InvalidArgument = 1,
    /// The object is in a state that does not allow the call.
    InvalidState = 2,
    /// A type, filesystem or option that this version does not support.
    Unsupported = 3,
    /// The memory budget does not hold what was asked for.
    MemoryLimit = 4,
    /// The filesystem is full.
    NoSpace = 5,
    /// An operating system call failed.
    Io = 6,
    /// Bytes read are not what was written.
    Corrupt = 7,
    /// A file, map output or partition does not exist.
    NotFound = 8,
    /// Something that may come back: a directory, a peer.
    Unavailable = 9,
    /// The work was cancelled.
    Cancelled = 10,
    /// An earlier failure left the object unusable.
    Poisoned = 11,
    /// A defect in this library.
    Internal = 12,
    /// A byte quota of the spill or output directories is used up (the disk is not full).
    Quota = 13,
    /// The reader needs memory that its own caller holds in batches it was given.
    BudgetHeldByCaller = 14,
}

/// The names of the figures an [`Error`] carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Figure {
    /// Bytes that were asked for.
    Requested,
    /// Bytes that were free.
    Available,
    /// The memory budget in bytes.
    Budget,
    /// The bytes of one row.
    RowBytes,
    /// Bytes held by the caller.
    Held,
    /// A partition id.
    Partition,
    /// A number of partitions.
    Partitions,
    /// A column index.
    Column,
    /// A row number.
    Row,
    /// A byte offset in a file or buffer.
    Offset,
    /// A length in bytes.
    Length,
    /// What was expected.
    Expected,
    /// What was found.
    Found,
    /// The index of a directory in the order given.
    Dir,
    /// A map id.
    Map,
    /// An attempt id.
    Attempt,
    /// A byte quota.
    Quota,
    /// Milliseconds that a request waited.
    WaitedMillis,
}

impl Figure {
    /// The name as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Available => "available",
            Self::Budget => "budget",
            Self::RowBytes => "row_bytes",
            Self::Held => "held",
            Self::Partition => "partition",
            Self::Partitions => "partitions",
            Self::Column => "column",
            Self::Row => "row",
            Self::Offset => "offset",
            Self::Length => "length",
            Self::Expected => "expected",
            Self::Found => "found",
            Self::Dir => "dir",
            Self::Map => "map",
            Self::Attempt => "attempt",
            Self::Quota => "quota",
            Self::WaitedMillis => "waited_ms",
        }
    }
}

const FIGURES_MAX: usize = 4;

/// A kind, a message, up to four figures, an operating system error number, a place and a detail.
///
/// Making, cloning (but for the detail) and dropping one does not allocate.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    errno: i32,
    message: &'static str,
    figures: [Option<(Figure, u64)>; FIGURES_MAX],
    place: Option<Arc<str>>,
    detail: Option<Box<str>>,
}

impl Error {
    /// An error of `kind` whose `message` says what is wrong and what would be right.
    #[cold]
    pub const fn new(kind: ErrorKind, message: &'static str) -> Self {
        Self { kind, errno: 0, message, figures: [None; FIGURES_MAX], place: None, detail: None }
    }

    /// An [`ErrorKind::InvalidArgument`].
    #[cold]
    pub const fn invalid(message: &'static str) -> Self {
        Self::new(ErrorKind::InvalidArgument, message)
    }

    /// An [`ErrorKind::Corrupt`].
    #[cold]
    pub const fn corrupt(message: &'static str) -> Self {
        Self::new(ErrorKind::Corrupt, message)
    }

    /// An [`ErrorKind::Internal`].
    #[cold]
    pub const fn internal(message: &'static str) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds a figure; beyond four it is dropped.
    #[must_use]
    pub fn with(mut self, figure: Figure, value: impl TryInto<u64>) -> Self {
        if let Some(slot) = self.figures.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some((figure, value.try_into().unwrap_or(u64::MAX)));
        }
        self
    }

    /// Adds the operating system's error number (`errno`).
    #[must_use]
    pub const fn with_os_error(mut self, errno: i32) -> Self {
        self.errno = errno;
        self
    }

    /// Adds the directory or file it happened at.
    #[must_use]
    pub fn at(mut self, place: &Arc<str>) -> Self {
        self.place = Some(Arc::clone(place));
        self
    }

    /// Adds text made for this error. Allocates: not for paths that run without memory.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// What a caller can do about it.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without figures.
    pub const fn message(&self) -> &'static str {
        self.message
    }

    /// The operating system's error number, if that is where the error came from.
    pub const fn os_error(&self) -> Option<i32> {
        if self.errno == 0 { None } else { Some(self.errno) }
    }

    /// A figure by name.
    pub fn figure(&self, figure: Figure) -> Option<u64> {
        self.figures.iter().flatten().find(|(name, _)| *name == figure).map(|(_, value)| *value)
    }

    /// The directory or file it happened at.
    pub fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        let mut separator = " (";
        for (figure, value) in self.figures.iter().flatten() {
            write!(f, "{separator}{} {value}", figure.name())?;
            separator = ", ";
        }
        if let Some(place) = &self.place {
            write!(f, "{separator}at {place}")?;
            separator = ", ";
        }
        if self.errno != 0 {
            let source = std::io::Error::from_raw_os_error(self.errno);
            write!(f, "{separator}{source}")?;
            separator = ", ";
        }
        if separator == ", " { f.write_str(")") } else { Ok(()) }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_figures_place_and_source() {
        let place: Arc<str> = Arc::from("/spill");
        let error = Error::new(ErrorKind::Quota, "the quota is used up; raise it")
            .with(Figure::Requested, 5u64)
            .with(Figure::Quota, 4u64)
            .at(&place);
        assert_eq!(
            error.to_string(),
            "the quota is used up; raise it (requested 5, quota 4, at /spill)"
        );
        assert_eq!(error.figure(Figure::Quota), Some(4));
        assert!(size_of::<Error>() <= 128, "errors travel by value");
    }
}
