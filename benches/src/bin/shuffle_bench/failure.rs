//! Errors of the benchmark: a message is enough.

use std::fmt::Display;

/// `Result` with a message.
pub(crate) type Result<T> = std::result::Result<T, Box<str>>;

/// An error as its message.
pub(crate) fn fail(error: impl Display) -> Box<str> {
    error.to_string().into_boxed_str()
}
